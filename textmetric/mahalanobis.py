"""A learnt Mahalanobis distance on top of any embedding: MMC of Xing et al. 2002."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing

with needing("Mahalanobis", "train"):
    from pydantic import Field
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data

from textmetric.labels import check_labels
from textmetric.schema import Count, Section, Seed, validated
from textmetric.types import Float64, Floats, Int64


class _Parameters(Section):
    """The parameters of :class:`Mahalanobis` that are checked."""

    diagonal: bool = False
    pairs: Count = 10_000
    ridge: float = Field(default=1e-6, gt=0, le=1000)
    tol: float = Field(default=1e-3, gt=0, lt=1)
    max_iter: int = Field(default=1000, ge=1, le=1_000_000)
    random_state: Seed | None = 0


class Mahalanobis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn a linear map that brings rows of a class together and moves rows of two classes apart.

    ``max_M mean_D ‖x_i − x_j‖_M`` subject to ``mean_S ‖x_i − x_j‖²_M ≤ 1`` and M positive
    semi-definite, with ``‖v‖²_M = vᵀMv``, S pairs of one class and D pairs of two classes. Xing,
    Ng, Jordan & Russell, "Distance metric learning, with application to clustering with
    side-information", NeurIPS 2002 ("MMC"); this is the full matrix of the paper, or its diagonal.

    Deviations from the paper. Means replace sums, which changes the scale of the distances and no
    neighbour. The paper ascends the gradient and alternates projections on the two constraints.
    Here, in coordinates where the similar pairs scatter evenly, both constraints are
    ``tr N ≤ 1``, and each step is ``N ← G N G / tr(G N G)`` with G the gradient of the mean
    distance with respect to N. The mean distance is convex in the factors of N, so no step lowers
    it, and there is no step size. The problem is concave, so ``λ_max(G) − ½ mean_D`` bounds the
    distance to the optimum; the ascent stops when that is below ``tol`` times the mean distance.

    Args:
        diagonal: learn a weight for each column instead of a full matrix.
        pairs: the number of pairs of either kind, drawn uniformly and with replacement. If there
            are at most ``2 · pairs`` pairs of rows, all of them are used.
        ridge: added to the similar pairs' scatter, as a share of its mean variance, so that a
            direction in which they do not differ gets a finite weight.
        tol: relative distance to the optimum at which to stop.
        max_iter: largest number of steps.
        random_state: of the draw of pairs; same state, same result.

    Attributes:
        matrix_: (d, d) float64, the symmetric matrix M.
        components_: (d, d) float64, the map W with M = WᵀW; rows by falling weight, or in the
            order of the columns if diagonal.
        n_iter_: number of steps.
        gap_: upper bound of the relative distance to the optimum.
        n_features_in_: d.
        feature_names_in_: (d,) the names of the columns, if ``X`` was a table whose columns have
            strings as names; :meth:`transform` refuses others, or another order.

    >>> rows = np.array([[0, 0], [0, 9], [1, 0], [1, 9]])
    >>> learnt = Mahalanobis().fit(rows, ["left", "left", "right", "right"])
    >>> near, far = learnt.transform([[0, 5], [0.6, 5]])
    >>> bool(np.linalg.norm(far - near) > 100 * np.linalg.norm(near - learnt.transform([[0, 6]])))
    True
    """

    def __init__(
        self,
        *,
        diagonal: bool = False,
        pairs: int = 10_000,
        ridge: float = 1e-6,
        tol: float = 1e-3,
        max_iter: int = 1000,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.diagonal = diagonal
        self.pairs = pairs
        self.ridge = ridge
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Mahalanobis:  # noqa: N803
        """Learn from rows ``X`` (n, d) and their classes ``y`` (n,).

        Raises:
            UserError: a parameter is out of range, a label is missing or of another type than the
                others, or there is no pair of one kind.
            ValueError: scikit-learn refuses ``X`` or ``y``.
        """
        settings = self._checked_parameters()
        rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        check_labels(enumerate(np.asarray(y, dtype=object).ravel()))  # numpy makes strings of a mix
        random = check_random_state(self.random_state)
        return self._fit(settings, rows, *_pairs(labels, settings.pairs, random))

    def fit_pairs(
        self,
        X: npt.ArrayLike,  # noqa: N803
        similar: npt.ArrayLike,
        dissimilar: npt.ArrayLike,
    ) -> Mahalanobis:
        """Learn from pairs of rows instead of classes.

        Args:
            X: (n, d).
            similar: (s, 2) row numbers of pairs that should be close.
            dissimilar: (t, 2) row numbers of pairs that should be far apart.

        Raises:
            UserError: a parameter is out of range, a pair is no two rows, or there is no pair of
                one kind.
        """
        settings = self._checked_parameters()
        rows = validate_data(self, X, dtype=np.float64)
        return self._fit(
            settings,
            rows,
            _checked_pairs(similar, "similar", len(rows)),
            _checked_pairs(dissimilar, "dissimilar", len(rows)),
        )

    def _fit(
        self, settings: _Parameters, rows: Float64, similar: Int64, dissimilar: Int64
    ) -> Mahalanobis:
        near, far = _differences(rows, similar), _differences(rows, dissimilar)
        if not len(near) or not len(far):
            raise UserError(
                f"there are {len(near)} similar and {len(far)} dissimilar pairs, expected some of "
                "both: add rows"
            )
        if settings.diagonal:
            self._learn_diagonal(settings, near, far)
        else:
            self._learn_full(settings, near, far)
        self._n_features_out = len(self.components_)
        return self

    def transform(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """``X`` (n, d) in coordinates whose Euclidean distance is the learnt one, (n, d)."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        mapped: Floats = rows @ self.components_.T.astype(rows.dtype)
        return mapped

    def _checked_parameters(self) -> _Parameters:
        given = {name: getattr(self, name) for name in _Parameters.model_fields}
        if isinstance(self.random_state, np.random.RandomState):
            return validated(_Parameters, given | {"random_state": None})
        return validated(_Parameters, given)

    def _learn_full(self, settings: _Parameters, near: Float64, far: Float64) -> None:
        scatter = near.T @ near / len(near)
        scatter += settings.ridge * _mean_variance(scatter) * np.eye(len(scatter))
        values, vectors = np.linalg.eigh(scatter)
        white = vectors / np.sqrt(np.maximum(values, values.max() * 1e-15))  # whiteᵀ A white = I
        points = far @ white
        factor, self.n_iter_, self.gap_ = _ascend(points, settings.tol, settings.max_iter)
        mapped = white @ factor
        left, singular, _ = np.linalg.svd(mapped)
        # Rows by falling weight; signs such that the largest entry is positive.
        signs = np.sign(left[np.abs(left).argmax(0), np.arange(len(left))])
        self.components_ = (left * signs * singular).T
        self.matrix_ = self.components_.T @ self.components_

    def _learn_diagonal(self, settings: _Parameters, near: Float64, far: Float64) -> None:
        scatter = np.square(near).mean(0)
        scatter = scatter + settings.ridge * _mean_variance(np.diag(scatter))
        points = np.square(far) / scatter
        weights, self.n_iter_, self.gap_ = _ascend_diagonal(points, settings.tol, settings.max_iter)
        weights = weights / scatter
        self.matrix_ = np.diag(weights)
        self.components_ = np.diag(np.sqrt(weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _ascend(points: Float64, tol: float, max_iter: int) -> tuple[Float64, int, float]:
    """L, steps and gap of ``max mean_p ‖Lᵀp‖`` over ``‖L‖ ≤ 1`` (Frobenius), ``points`` (t, d)."""
    factor = np.eye(points.shape[1]) / np.sqrt(points.shape[1])
    for step in range(1, max_iter + 1):
        lengths = np.linalg.norm(points @ factor, axis=1)
        weights = np.divide(0.5, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        gradient = (points.T * weights) @ points / len(points)
        gap = _gap(float(np.linalg.eigvalsh(gradient)[-1]), float(lengths.mean()))
        if gap <= tol or step == max_iter:
            break
        factor = gradient @ factor
        factor /= np.linalg.norm(factor)
    return factor, step, gap


def _ascend_diagonal(squares: Float64, tol: float, max_iter: int) -> tuple[Float64, int, float]:
    """As :func:`_ascend` for a diagonal N (d,) of sum 1; ``squares`` (t, d) of the points."""
    diagonal = np.full(squares.shape[1], 1 / squares.shape[1])
    for step in range(1, max_iter + 1):
        lengths = np.sqrt(squares @ diagonal)
        weights = np.divide(0.5, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        gradient = weights @ squares / len(squares)
        gap = _gap(float(gradient.max()), float(lengths.mean()))
        if gap <= tol or step == max_iter:
            break
        diagonal = diagonal * np.square(gradient)
        diagonal /= diagonal.sum()
    return diagonal, step, gap


def _gap(largest: float, mean: float) -> float:
    # A concave function lies below its tangent, which is largest in a single direction.
    return max(0.0, largest / mean - 0.5) if mean else 0.0


def _mean_variance(scatter: Float64) -> float:
    # 1 if all similar pairs are equal and so have no scale.
    return float(np.trace(scatter) / len(scatter)) or 1.0


def _checked_pairs(pairs: npt.ArrayLike, name: str, rows: int) -> Int64:
    """Pairs (p, 2) of row numbers.

    Raises:
        UserError: they have another shape, or there is no such row.
    """
    places = np.asarray(pairs)
    if not places.size:
        return np.empty((0, 2), dtype=np.int64)
    if places.ndim != 2 or places.shape[1] != 2 or places.dtype.kind not in "iu":
        raise UserError(
            f"{name} is {places.dtype} of shape {places.shape}, expected whole numbers of shape "
            "(pairs, 2): give two row numbers a pair"
        )
    if places.min() < 0 or places.max() >= rows:
        raise UserError(
            f"{name} names the rows {places.min()} to {places.max()}, but X has the rows 0 to "
            f"{rows - 1}: give row numbers of X"
        )
    return places.astype(np.int64)


def _differences(rows: Float64, pairs: Int64) -> Float64:
    return rows[pairs[:, 0]] - rows[pairs[:, 1]]


def _pairs(
    labels: npt.NDArray[Any], most: int, random: np.random.RandomState
) -> tuple[Int64, Int64]:
    """Pairs of rows of one class (s, 2) and of two classes (t, 2), as row numbers."""
    rows = len(labels)
    if rows * (rows - 1) // 2 <= 2 * most:
        every = np.column_stack(np.triu_indices(rows, 1))
        same = labels[every[:, 0]] == labels[every[:, 1]]
        return every[same], every[~same]
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(counts) - counts
    groups = np.empty((0, 2), dtype=np.int64), np.empty((0, 2), dtype=np.int64)
    if counts.max() > 1:
        pairs_of = counts * (counts - 1.0)
        drawn = random.choice(len(counts), most, p=pairs_of / pairs_of.sum())
        one = random.randint(counts[drawn])
        other = (one + random.randint(1, counts[drawn])) % counts[drawn]
        groups = np.column_stack([starts[drawn] + one, starts[drawn] + other]), groups[1]
    if len(counts) > 1:
        pairs_of = counts * (rows - counts.astype(float))
        drawn = random.choice(len(counts), most, p=pairs_of / pairs_of.sum())
        one = starts[drawn] + random.randint(counts[drawn])
        # Rows of other classes are before and after those of this class.
        other = (starts + counts)[drawn] + random.randint(rows - counts[drawn])
        groups = groups[0], np.column_stack([one, other % rows])
    return order[groups[0]], order[groups[1]]

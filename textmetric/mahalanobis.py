"""A learnt Mahalanobis distance on top of any embedding: MMC of Xing et al. 2002."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from textmetric.errors import UserError
from textmetric.schema import Section, validated

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Settings(Section):
    """What is checked of the parameters of :class:`Mahalanobis`."""

    diagonal: bool = False
    pairs: int = Field(default=10_000, ge=1)
    ridge: float = Field(default=1e-6, gt=0)
    tol: float = Field(default=1e-3, gt=0)
    max_iter: int = Field(default=1000, ge=1)


class Mahalanobis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn a linear map under which rows of one class are near and rows of two classes far.

    ``max_M mean_D ‖x_i − x_j‖_M`` subject to ``mean_S ‖x_i − x_j‖²_M ≤ 1`` and M positive
    semi-definite, with ``‖v‖²_M = vᵀMv``, S pairs of one class and D pairs of two classes. Xing,
    Ng, Jordan & Russell, "Distance metric learning, with application to clustering with
    side-information", NeurIPS 2002 ("MMC"); this is the full matrix of the paper, or its diagonal.

    Deviations. Means in place of sums: a change of unit, which no neighbour notices. The paper
    ascends the gradient and alternates projections on the two constraints; here, in coordinates
    where the similar pairs scatter evenly, both are ``tr N ≤ 1``, and each step is
    ``N ← G N G / tr(G N G)`` with the gradient G of the mean distance by N: that of the factors of
    N, in which the mean distance is convex, so no step lowers it and there is no step size. The
    problem is concave, so ``λ_max(G) − ½ mean_D`` bounds what is missing to the optimum; steps end
    when that is below ``tol`` of the mean distance.

    Args:
        diagonal: learn a weight a column instead of a whole matrix.
        pairs: this many pairs of either kind are drawn, uniformly and with replacement. If there
            are at most ``2 · pairs`` pairs of rows, all of them are taken.
        ridge: added to the similar pairs' scatter, as a share of its mean variance, so that a
            direction in which they do not differ gets no infinite weight.
        tol: relative distance to the optimum at which to stop.
        max_iter: steps at most.
        random_state: of the pairs; same state, same result.

    Attributes:
        matrix_: (d, d) float64, M, symmetric.
        components_: (d, d) float64, the map W with M = WᵀW; rows by falling weight, in the
            diagonal case by column.
        n_iter_: steps taken.
        gap_: relative distance to the optimum, at most.
        n_features_in_: d.

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
            UserError: a bad parameter, or there are no two rows of one class, or of two.
            ValueError: ``X`` or ``y`` is no data, as scikit-learn has it.
        """
        self._check_parameters()
        rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        similar, dissimilar = _pairs(labels, self.pairs, check_random_state(self.random_state))
        return self.fit_pairs(rows, similar, dissimilar)

    def fit_pairs(
        self,
        X: npt.ArrayLike,  # noqa: N803
        similar: npt.ArrayLike,
        dissimilar: npt.ArrayLike,
    ) -> Mahalanobis:
        """Learn from pairs of rows instead of classes.

        Args:
            X: (n, d).
            similar: (s, 2) row numbers of pairs that belong together.
            dissimilar: (t, 2) row numbers of pairs that do not.

        Raises:
            UserError: a bad parameter, or there are none of either.
        """
        self._check_parameters()
        rows = validate_data(self, X, dtype=np.float64)
        near, far = _differences(rows, similar), _differences(rows, dissimilar)
        if not len(near) or not len(far):
            raise UserError(
                f"there are {len(near)} pairs of one class and {len(far)} of two, expected some "
                "of both: add rows"
            )
        if self.diagonal:
            self._learn_diagonal(near, far)
        else:
            self._learn_full(near, far)
        self._n_features_out = len(self.components_)
        return self

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:  # noqa: N803
        """``X`` (n, d) in coordinates whose Euclidean distance is the learnt one, (n, d)."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        mapped: npt.NDArray[np.floating[Any]] = rows @ self.components_.T.astype(rows.dtype)
        return mapped

    def _check_parameters(self) -> None:
        given = self.get_params()
        validated(Settings, {name: given[name] for name in Settings.model_fields})

    def _learn_full(self, near: Floats, far: Floats) -> None:
        scatter = near.T @ near / len(near)
        scatter += self.ridge * _mean_variance(scatter) * np.eye(len(scatter))
        values, vectors = np.linalg.eigh(scatter)
        white = vectors / np.sqrt(np.maximum(values, values.max() * 1e-15))  # whiteᵀ A white = I
        points = far @ white
        factor, self.n_iter_, self.gap_ = _ascend(points, self.tol, self.max_iter)
        mapped = white @ factor
        left, singular, _ = np.linalg.svd(mapped)
        # Rows by falling weight; of the two signs that of a positive largest entry.
        signs = np.sign(left[np.abs(left).argmax(0), np.arange(len(left))])
        self.components_ = (left * signs * singular).T
        self.matrix_ = self.components_.T @ self.components_

    def _learn_diagonal(self, near: Floats, far: Floats) -> None:
        scatter = np.square(near).mean(0)
        scatter = scatter + self.ridge * _mean_variance(np.diag(scatter))
        points = np.square(far) / scatter
        weights, self.n_iter_, self.gap_ = _ascend_diagonal(points, self.tol, self.max_iter)
        weights = weights / scatter
        self.matrix_ = np.diag(weights)
        self.components_ = np.diag(np.sqrt(weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _ascend(points: Floats, tol: float, max_iter: int) -> tuple[Floats, int, float]:
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


def _ascend_diagonal(squares: Floats, tol: float, max_iter: int) -> tuple[Floats, int, float]:
    """The same over a diagonal N, whose n (d,) sum to 1; ``squares`` (t, d) of the points."""
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
    # A concave function lies under its tangent, and that is largest in one direction alone.
    return max(0.0, largest / mean - 0.5) if mean else 0.0


def _mean_variance(scatter: Floats) -> float:
    # Similar pairs that are all equal have no scale of their own.
    return float(np.trace(scatter) / len(scatter)) or 1.0


def _differences(rows: Floats, pairs: npt.ArrayLike) -> Floats:
    places = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return rows[places[:, 0]] - rows[places[:, 1]]


def _pairs(labels: npt.NDArray[Any], most: int, random: np.random.RandomState) -> tuple[Rows, Rows]:
    """Pairs of one class and pairs of two, (s, 2) and (t, 2) row numbers."""
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
        # Rows of the other classes are before and after those of this one.
        other = (starts + counts)[drawn] + random.randint(rows - counts[drawn])
        groups = groups[0], np.column_stack([one, other % rows])
    return order[groups[0]], order[groups[1]]

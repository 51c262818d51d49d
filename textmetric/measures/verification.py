"""Verification: are two texts of the same class?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.distances import Distance, check_distance, pair_distances, placed
from textmetric.measures.roc import equal_error_rate, roc_auc, threshold_at
from textmetric.measures.rows import check_rows, checked_labels
from textmetric.types import Bools, Float64, Floats, Int64, Integers

PAIRS = 200_000
"""All pairs are compared if there are no more than this, else as many are drawn."""
_AT_ONCE = 1 << 14  # pairs, so that their rows fit in a cache


class Pairs(NamedTuple):
    """Pairs of rows; all are (m,).

    Attributes:
        first: row numbers.
        second: row numbers, other ones.
        same: whether both rows are of one class.
        weights: how much a pair counts among those of its kind.
    """

    first: Int64
    second: Int64
    same: Bools
    weights: Float64


class Verification(NamedTuple):
    """How well distances tell pairs of one class from pairs of two.

    Attributes:
        auc: area under the ROC curve, in [0, 1]; NaN without pairs of both kinds.
        eer: equal error rate, in [0, 1]; NaN alike.
        same: how many pairs of one class were compared.
        different: how many pairs of two classes were compared.
    """

    auc: float
    eer: float
    same: int
    different: int


class OperatingPoint(NamedTuple):
    """A threshold that was chosen on validation pairs, and its errors on test pairs.

    Attributes:
        threshold: pairs at most this far apart are taken for pairs of one class; −∞ if no pair is.
        false_accepts: share of the test pairs of two classes that are taken for one.
        false_rejects: share of the test pairs of one class that are taken for two.
    """

    threshold: float
    false_accepts: float
    false_rejects: float


def draw_pairs(labels: Integers, *, most: int = PAIRS, seed: int = 0) -> Pairs:
    """Pairs of rows, of one class and of two, in which no class outweighs another.

    Of n rows there are n (n − 1) / 2 pairs, nearly all of two classes, and most of them of the
    largest classes. So each class has the same weight among the pairs of one class, and each two
    classes have the same weight among the pairs of two. If all pairs are too many, half of
    ``most`` are drawn of each kind, with replacement, with the same expectation: of one class, as
    many of each class; of two, as many with each class, and the other class by chance.

    Args:
        labels: (n,) class ids from 0.
        most: the number of pairs, at least 2.
        seed: of the draw.

    Returns:
        The pairs. A class with one row has no pair of its own; there may be no pair of a kind.

    Raises:
        UserError: a label is not a class id, or ``most`` is below 2.

    >>> draw_pairs(np.array([0, 0, 1])).same.tolist()
    [True, False, False]
    """
    if most < 2:
        raise UserError(f"most is {most}, expected at least 2 pairs: {PAIRS} is usual")
    labels = checked_labels(labels, len(labels))
    if len(labels) * (len(labels) - 1) // 2 <= most:
        first, second = np.triu_indices(len(labels), k=1)
        same = labels[first] == labels[second]
        sizes = np.bincount(labels)[labels].astype(np.float64)
        weights = 1 / (sizes[first] * np.where(same, (sizes[first] - 1) / 2, sizes[second]))
        return Pairs(first, second, same, weights)
    rng = np.random.default_rng(seed)
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = _ByClass(np.argsort(places, kind="stable"), np.cumsum(counts) - counts, counts)
    half = most // 2
    found = [by_class.of_one(half, rng), by_class.of_two(half, rng)]
    first, second = np.concatenate(found, axis=1)
    same = np.repeat([True, False], [one.shape[1] for one in found])
    return Pairs(first, second, same, np.ones(len(first)))


class _ByClass(NamedTuple):
    """Rows sorted by class, and where each class starts and how many rows it has."""

    rows: Int64
    starts: Int64
    counts: Int64

    def of_one(self, pairs: int, rng: np.random.Generator) -> Int64:
        """(2, pairs) two rows of one class, as many of each class that has two; or (2, 0)."""
        classes = np.flatnonzero(self.counts > 1)
        if not len(classes):
            return np.empty((2, 0), dtype=np.int64)
        chosen = classes[np.arange(pairs) % len(classes)]
        first = rng.integers(self.counts[chosen])
        second = rng.integers(self.counts[chosen] - 1)
        second += second >= first
        return self.rows[self.starts[chosen] + np.stack([first, second])]

    def of_two(self, pairs: int, rng: np.random.Generator) -> Int64:
        """(2, pairs) rows of two classes, as many with each class; or (2, 0)."""
        total = len(self.counts)
        if total < 2:
            return np.empty((2, 0), dtype=np.int64)
        first = np.arange(pairs) % total
        second = rng.integers(total - 1, size=pairs)
        second += second >= first
        chosen = np.stack([first, second])
        found: Int64 = self.rows[self.starts[chosen] + rng.integers(self.counts[chosen])]
        return found


def verification(
    embeddings: Floats,
    labels: Integers,
    *,
    distance: Distance = "cosine",
    most: int = PAIRS,
    seed: int = 0,
) -> Verification:
    """ROC AUC and equal error rate over pairs of one class and of two, by their distance.

    Args:
        embeddings: (n, d).
        labels: (n,) class ids from 0.
        distance: ``cosine`` or ``euclidean``.
        most: see :func:`draw_pairs`.
        seed: see :func:`draw_pairs`.

    Raises:
        UserError: see :func:`.placed` and :func:`draw_pairs`.

    >>> verification(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
    ...              np.array([0, 0, 1, 1]))
    Verification(auc=1.0, eer=0.0, same=2, different=4)
    """
    return verification_of(*_scored(embeddings, labels, distance, most, seed))


def verification_of(pairs: Pairs, scores: Float64) -> Verification:
    """:func:`verification` of pairs by their scores.

    Args:
        pairs: of :func:`draw_pairs`.
        scores: (m,) large for near pairs, such as minus their distances.
    """
    same = int(pairs.same.sum())
    return Verification(
        roc_auc(scores, pairs.same, pairs.weights),
        equal_error_rate(scores, pairs.same, pairs.weights),
        same,
        len(scores) - same,
    )


def operating_point(
    validation: tuple[Floats, Integers],
    test: tuple[Floats, Integers],
    *,
    false_accepts: float = 0.01,
    distance: Distance = "cosine",
    most: int = PAIRS,
    seed: int = 0,
) -> OperatingPoint:
    """The errors on test pairs at a threshold that validation pairs chose.

    It is the largest distance at which at most a share ``false_accepts`` of the validation pairs
    of two classes would be taken for pairs of one. The share among the test pairs is another one:
    chosen on test, the threshold would know the answers.

    Args:
        validation: embeddings (n, d) and labels (n,).
        test: embeddings (m, d) and labels (m,); the classes may be other ones.
        false_accepts: the share, in [0, 1].
        distance: ``cosine`` or ``euclidean``.
        most: see :func:`draw_pairs`.
        seed: see :func:`draw_pairs`.

    Returns:
        All NaN if the validation pairs are not of both kinds; an error is NaN if there is no test
        pair of its kind.

    Raises:
        UserError: see :func:`verification`; ``false_accepts`` is out of range.
    """
    chosen, scores = _scored(*validation, distance, most, seed)
    threshold = threshold_at(scores, chosen.same, false_accepts, chosen.weights)
    if np.isnan(threshold):
        return OperatingPoint(np.nan, np.nan, np.nan)
    pairs, scores = _scored(*test, distance, most, seed)
    accepted = scores >= threshold
    return OperatingPoint(
        -threshold,
        _share(accepted, pairs.weights, ~pairs.same),
        _share(~accepted, pairs.weights, pairs.same),
    )


def _scored(
    embeddings: Floats, labels: Integers, distance: Distance, most: int, seed: int
) -> tuple[Pairs, Float64]:
    """The pairs, and minus the distance of each."""
    rows = np.asarray(embeddings)
    check_rows(rows)
    check_distance(distance)
    pairs = draw_pairs(checked_labels(labels, len(rows)), most=most, seed=seed)
    scores = np.empty(len(pairs.first))
    for start in range(0, len(scores), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # Only the rows of these pairs are put in place, not all rows.
        one, other = (placed(rows[ids[part]], distance) for ids in (pairs.first, pairs.second))
        scores[part] = -pair_distances(one, other, distance)
    return pairs, scores


def _share(chosen: Bools, weights: Float64, among: Bools) -> float:
    total = weights[among].sum()
    return float(weights[among & chosen].sum() / total) if total else float("nan")

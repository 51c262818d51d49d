"""Separation: how far apart the classes are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textmetric.measures.class_sums import ClassSums
from textmetric.measures.distances import Distance, placed
from textmetric.measures.rows import checked_labels, class_sums, mean, unit
from textmetric.types import Bools, Float64, Floats, Int64, Integers


def class_centroids(
    embeddings: Floats, labels: Integers, classes: int, distance: Distance = "cosine"
) -> Float64:
    """Mean of the unit rows of every class.

    Args:
        embeddings: (n, d) float32.
        labels: (n,) class ids from 0.
        classes: C, the number of classes.
        distance: with ``euclidean``, the mean of the rows as they are.

    Returns:
        (C, d), of norm at most 1 for unit rows; a row of NaN for a class without rows.

    Raises:
        UserError: see ``unit``; a label is not a class id.

    >>> class_centroids(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([0, 0]), 2)
    array([[0.5, 0.5],
           [nan, nan]])
    """
    if distance == "cosine":
        return ClassSums.of(embeddings, labels, classes).centroids()
    labels = checked_labels(labels, len(embeddings), classes)
    sums = class_sums(placed(embeddings, distance), labels, classes)
    counts = np.bincount(labels, minlength=classes)[:, None]
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def centroid_cosines(centroids: Float64) -> Float64:
    """Cosine between every pair of centroids.

    Args:
        centroids: (C, d), NaN rows for absent classes.

    Returns:
        (C, C) symmetric, in [−1, 1]; NaN in the row and column of an absent class; 0 for a
        centroid that is the zero vector.

    >>> centroid_cosines(np.array([[1.0, 0.0], [1.0, 1.0]])).round(3)
    array([[1.   , 0.707],
           [0.707, 1.   ]])
    """
    absent = np.flatnonzero(np.isnan(centroids).any(axis=1))
    present = centroids.copy()
    present[absent] = 0.0
    rows = unit(present)
    # Not `rows @ rows.T`: the last bit of a matrix product depends on the number of threads.
    cosines: Float64 = np.clip(np.einsum("ad,bd->ab", rows, rows), -1.0, 1.0)
    cosines[absent, :] = np.nan
    cosines[:, absent] = np.nan
    return cosines


def between_class_cosine(
    cosines: Float64,
    rows: Sequence[int] | Integers | None = None,
    columns: Sequence[int] | Integers | None = None,
) -> float:
    """Mean cosine over the pairs of different classes.

    Args:
        cosines: (C, C) of ``centroid_cosines``.
        rows: ids of the classes on one side; None for all.
        columns: ids of the classes on the other side; None for those of ``rows``.

    Returns:
        A value in [−1, 1], small if the classes are far apart; NaN if there is no pair of two
        different classes that are present.

    >>> cosines = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])
    >>> round(between_class_cosine(cosines), 3)
    0.4
    >>> round(between_class_cosine(cosines, [0], [1, 2]), 3)
    0.3
    >>> between_class_cosine(cosines, [0])
    nan
    """
    _, pairs, different = _pairs(cosines, rows, columns)
    return mean(pairs[different])


def cosines_to_others(
    cosines: Float64,
    rows: Sequence[int] | Integers | None = None,
    columns: Sequence[int] | Integers | None = None,
) -> Float64:
    """Mean cosine of each class to the other classes; see :func:`between_class_cosine`.

    Args:
        cosines: (C, C) of ``centroid_cosines``.
        rows: ids of the classes to compare; None for all.
        columns: ids of the classes to compare them with; None for those of ``rows``. A class is
            not compared with itself.

    Returns:
        (C,); NaN for a class that is not in ``rows``, is absent, or has no present class to
        compare with.

    >>> cosines = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])
    >>> cosines_to_others(cosines).round(3)
    array([0.3, 0.4, 0.5])
    >>> cosines_to_others(cosines, [0], [1, 2]).round(3)
    array([0.3, nan, nan])
    """
    one, pairs, different = _pairs(cosines, rows, columns)
    means = np.full(len(cosines), np.nan)
    means[one] = [mean(row[keep]) for row, keep in zip(pairs, different, strict=True)]
    return means


def _pairs(
    cosines: Float64,
    rows: Sequence[int] | Integers | None,
    columns: Sequence[int] | Integers | None,
) -> tuple[Int64, Float64, Bools]:
    """The ids of the rows, the cosines, and which of the cosines are of two different classes."""
    one = np.arange(len(cosines)) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
    other = one if columns is None else np.unique(np.asarray(columns, dtype=np.int64))
    return one, cosines[np.ix_(one, other)], np.not_equal.outer(one, other)

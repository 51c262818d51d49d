"""Confusion: which classes are near each other, and which are taken for each other?"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from textmetric.errors import UserError, unknown_name
from textmetric.measures.distances import Distance, all_distances, centroid_distances, placed
from textmetric.measures.rows import checked_labels
from textmetric.types import Floats, Int64, Integers


class ClassPair(NamedTuple):
    """Two classes.

    Attributes:
        first: class id.
        second: class id, larger than ``first``.
        distance: between their centroids.
        confused: rows of one of them that were taken for the other.
        share: of the rows of both.
    """

    first: int
    second: int
    distance: float
    confused: int
    share: float


def confusion_counts(predicted: Integers, labels: Integers, classes: int) -> Int64:
    """How many rows of each class were predicted as each class.

    Args:
        predicted: (n,) class ids.
        labels: (n,) class ids.
        classes: C.

    Returns:
        (C, C), a row for each true class, as in scikit-learn.

    Raises:
        UserError: the shapes differ, or an id is not below ``classes``.
    """
    labels = checked_labels(labels, len(labels), classes)
    predicted = checked_labels(predicted, len(labels), classes)
    joint = labels.astype(np.int64) * classes + predicted
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def confused_classes(
    embeddings: Floats,
    labels: Integers,
    centroids: Floats,
    *,
    predicted: Integers | None = None,
    top: int = 10,
    by: Literal["confused", "distance"] = "confused",
    distance: Distance = "cosine",
) -> list[ClassPair]:
    """The pairs of classes that are confused most often, or whose centroids are nearest.

    Args:
        embeddings: (n, d) of test rows.
        labels: (n,) class ids below C.
        centroids: (C, d) of the train rows; pairs with an absent class (NaN) are left out.
        predicted: (n,) class ids; None for the nearest centroid.
        top: at most this many pairs.
        by: ``confused``: by falling ``confused``, then rising distance, pairs that are never
            confused left out; ``distance``: by rising distance.
        distance: ``cosine`` or ``euclidean``.

    Returns:
        The pairs, the worst first; of equal ones, that of the lower ids.

    Raises:
        UserError: see :func:`.centroid_distances` and :func:`confusion_counts`; ``by`` is another
            word; all centroids are NaN.

    >>> embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2]])
    >>> confused_classes(embeddings, np.array([0, 1, 1]), np.eye(2))
    [ClassPair(first=0, second=1, distance=1.0, confused=1, share=0.3333333333333333)]
    """
    if by not in ("confused", "distance"):
        raise unknown_name("order", by, ("confused", "distance"))
    centroids = np.asarray(centroids)
    present = np.flatnonzero(~np.isnan(centroids).any(axis=1))
    if not len(present):
        raise UserError("all centroids are NaN, expected one or more that are not: pass train rows")
    if predicted is None:
        predicted = centroid_distances(centroids, embeddings, distance).argmin(axis=1)
    counts = confusion_counts(predicted, labels, len(centroids))
    rows = placed(centroids[present], distance)
    one, other = np.triu_indices(len(present), k=1)
    between = all_distances(rows, rows, distance)[one, other]
    one, other = present[one], present[other]
    confused = counts[one, other] + counts[other, one]
    of_class = counts.sum(axis=1)
    total = of_class[one] + of_class[other]
    order = np.lexsort((between, -confused) if by == "confused" else (between,))
    if by == "confused":
        order = order[confused[order] > 0]
    return [
        ClassPair(
            int(one[pair]),
            int(other[pair]),
            float(between[pair]),
            int(confused[pair]),
            float(confused[pair] / total[pair]) if total[pair] else float("nan"),
        )
        for pair in order[:top]
    ]

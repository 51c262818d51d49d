"""Distances of rows to each other and to class centroids: by the angle, or Euclidean."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from textmetric.errors import needing, unknown_name
from textmetric.measures.rows import unit
from textmetric.types import Float64, Floats

Distance = Literal["cosine", "euclidean"]
"""``cosine``: 1 − cos, in 0 … 2, and 1 to a zero row. ``euclidean``: of rows as they are."""


def check_distance(distance: Distance) -> Distance:
    """Check that there is such a distance, and return it.

    Raises:
        UserError: there is none.
    """
    if distance not in get_args(Distance):
        raise unknown_name("distance", distance, get_args(Distance))
    return distance


def placed(embeddings: Floats, distance: Distance) -> Float64:
    """Rows as a distance sees them: unit rows for ``cosine``, unchanged for ``euclidean``.

    Args:
        embeddings: (n, d), any float type.
        distance: ``cosine`` or ``euclidean``.

    Returns:
        (n, d) float64.

    Raises:
        UserError: see :func:`.unit`; there is no such distance.
    """
    rows = unit(embeddings)  # also checks them
    return (
        rows if check_distance(distance) == "cosine" else np.asarray(embeddings, dtype=np.float64)
    )


def pair_distances(rows: Float64, others: Float64, distance: Distance) -> Float64:
    """The distance of each row to the row of the same number.

    Args:
        rows: (m, d) of :func:`placed`.
        others: (m, d) of :func:`placed`.
        distance: ``cosine`` or ``euclidean``.

    Returns:
        (m,) at least 0. Equal rows are at exactly 0, unless they are zero rows and the distance is
        ``cosine``.

    >>> pair_distances(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), "cosine")
    array([1.])
    """
    differences = rows - others
    squares = np.einsum("md,md->m", differences, differences)
    if distance == "euclidean":
        return np.asarray(np.sqrt(squares))
    zero = ~(rows.any(axis=1) & others.any(axis=1))
    return np.where(zero, 1.0, squares / 2)


def all_distances(rows: Float64, others: Float64, distance: Distance) -> Float64:
    """The distance of every row to every other row; see :func:`pair_distances`.

    Distances are sums of squared differences. Products of rows would lose half of the digits where
    a space has nearly collapsed.

    Args:
        rows: (n, d) of :func:`placed`.
        others: (m, d) of :func:`placed`.
        distance: ``cosine`` or ``euclidean``.

    Returns:
        (n, m).
    """
    with needing("all_distances", "train"):
        from scipy.spatial.distance import cdist  # slow to import

    if distance == "euclidean":
        return np.asarray(cdist(rows, others))
    found = np.asarray(cdist(rows, others, "sqeuclidean")) / 2
    found[~rows.any(axis=1), :] = 1.0
    found[:, ~others.any(axis=1)] = 1.0
    return found


def centroid_distances(
    centroids: Floats, embeddings: Floats, distance: Distance = "cosine"
) -> Float64:
    """The distance of every row to every class centroid.

    Args:
        centroids: (C, d), such as ``class_centroids``; NaN for an absent class.
        embeddings: (n, d).
        distance: ``cosine`` or ``euclidean``.

    Returns:
        (n, C); infinite to an absent class.

    Raises:
        UserError: see :func:`placed`.

    >>> centroid_distances(np.array([[2.0, 0.0], [np.nan, np.nan]]), np.array([[0.0, 3.0]]))
    array([[ 1., inf]])
    """
    present = np.flatnonzero(~np.isnan(centroids).any(axis=1))
    found = np.full((len(embeddings), len(centroids)), np.inf)
    found[:, present] = all_distances(
        placed(embeddings, distance), placed(np.asarray(centroids)[present], distance), distance
    )
    return found

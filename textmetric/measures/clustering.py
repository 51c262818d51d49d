"""Clustering: does k-means find the classes again, without their labels?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmetric.errors import UserError, needing
from textmetric.measures.distances import Distance, placed
from textmetric.measures.rows import check_rows, checked_labels
from textmetric.sampling.draws import apportion, first_of_each
from textmetric.types import Float64, Floats, Int64, Integers

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROWS = 20_000
"""More rows than this are sampled."""
STARTS = 10


class Clustering(NamedTuple):
    """How well clusters agree with classes; all three are 1 if they are the same.

    Attributes:
        nmi: normalised mutual information, in [0, 1], by the arithmetic mean of both entropies. It
            grows with the number of clusters, also by chance.
        ami: the same adjusted for chance, at most 1, 0 on average for clusters by chance.
        ari: adjusted Rand index, at most 1, 0 on average for clusters by chance.
        rows: how many rows were clustered.
    """

    nmi: float
    ami: float
    ari: float
    rows: int


def kmeans(
    embeddings: Floats,
    clusters: int,
    *,
    distance: Distance = "cosine",
    starts: int = STARTS,
    seed: int = 0,
) -> Int64:
    """The cluster of every row by k-means (Lloyd 1982) from k-means++ starts, the best of several.

    One thread: the last digits of sums over rows depend on their number, and a row between two
    clusters can move with them.

    Args:
        embeddings: (n, d), n ≥ ``clusters``.
        clusters: k, at least 1.
        distance: ``cosine``: of the unit rows; ``euclidean``: of the rows as they are.
        starts: how often to start, at least 1; the one with the least inertia counts.
        seed: of the starts.

    Returns:
        (n,) cluster ids from 0. Fewer than k clusters have rows if fewer rows are different.

    Raises:
        UserError: see :func:`.placed`; ``clusters`` or ``starts`` is out of range.
    """
    return _lloyd(placed(embeddings, distance), clusters, starts, seed)


def _lloyd(rows: Float64 | csr_array, clusters: int, starts: int, seed: int) -> Int64:
    with needing("k-means", "train"):
        from sklearn.cluster import KMeans  # slow to import
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

    if not 1 <= clusters <= rows.shape[0]:
        raise UserError(
            f"clusters is {clusters}, expected 1 to {rows.shape[0]} (the number of rows): ask for "
            "fewer"
        )
    if starts < 1:
        raise UserError(f"starts is {starts}, expected at least 1: {STARTS} is usual")
    with threadpool_limits(1), warnings.catch_warnings():
        # fewer different rows than clusters, as in a collapsed space
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(clusters, n_init=starts, random_state=seed).fit_predict(rows)
    return np.asarray(found, dtype=np.int64)


def clustering(
    embeddings: Floats,
    labels: Integers,
    *,
    distance: Distance = "cosine",
    starts: int = STARTS,
    seed: int = 0,
    most: int = ROWS,
) -> Clustering:
    """Agreement of k-means clusters with the classes, k being the number of classes.

    NMI (Strehl & Ghosh 2002), AMI (Vinh, Epps & Bailey 2010) and ARI (Hubert & Arabie 1985), as
    scikit-learn defines them.

    Args:
        embeddings: (n, d).
        labels: (n,) class ids from 0; a class that is absent does not count.
        distance: see :func:`kmeans`.
        starts: see :func:`kmeans`.
        seed: of the starts, and of the sample.
        most: with more rows, this many are drawn, each class in proportion to its rows and with
            one row at least.

    Returns:
        All NaN with fewer than two classes, where there is nothing to find.

    Raises:
        UserError: see :func:`kmeans`; a label is not a class id; ``most`` is below the number of
            classes.

    >>> found = clustering(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
    ...                    np.array([0, 0, 1, 1]))
    >>> round(found.ami, 6), round(found.ari, 6), found.rows
    (1.0, 1.0, 4)
    """
    embeddings = np.asarray(embeddings)
    check_rows(embeddings)
    labels = checked_labels(labels, len(embeddings))
    drawn = _drawn(labels, seed, most)
    if drawn is not None:  # the rows that are not drawn need not be in place
        embeddings, labels = embeddings[drawn], labels[drawn]
    return clustering_of(placed(embeddings, distance), labels, starts, seed, most)


def clustering_of(
    rows: Float64 | csr_array, labels: Integers, starts: int, seed: int = 0, most: int = ROWS
) -> Clustering:
    """:func:`clustering` of rows that are in place, dense as of :func:`.placed` or sparse.

    Args:
        rows: (n, d).
        labels: see :func:`clustering`, as for the others, what it returns and its errors.
        starts: see :func:`kmeans`.
        seed: of the starts, and of the sample.
        most: of the sample.
    """
    labels = checked_labels(labels, rows.shape[0])
    present, places = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return Clustering(np.nan, np.nan, np.nan, len(labels))
    drawn = _drawn(labels, seed, most)
    if drawn is not None:
        rows, places = rows[drawn], places[drawn]
    return agreement(places, _lloyd(rows, len(present), starts, seed))


def _drawn(labels: Integers, seed: int, most: int) -> Int64 | None:
    """The rows of the sample; None where all rows are clustered, or none."""
    if len(labels) <= most:
        return None
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return None
    if most < len(counts):
        raise UserError(
            f"most is {most}, expected at least {len(counts)}, a row of each class: {ROWS} is usual"
        )
    share = apportion(counts, most, np.ones_like(counts), counts)
    return first_of_each(np.random.default_rng(seed).permutation(len(labels)), places, share)


def agreement(classes: Integers, clusters: Integers) -> Clustering:
    """NMI, AMI and ARI of two ways to divide the same rows.

    Args:
        classes: (n,) ids.
        clusters: (n,) ids.
    """
    with needing("agreement of clusters", "train"):
        from sklearn import metrics  # slow to import

    return Clustering(
        float(metrics.normalized_mutual_info_score(classes, clusters)),
        float(metrics.adjusted_mutual_info_score(classes, clusters)),
        float(metrics.adjusted_rand_score(classes, clusters)),
        len(classes),
    )

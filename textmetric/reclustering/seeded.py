"""Learn a space and its clusters from corrections: seeded k-means under a learnt distance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textmetric.errors import needing
from textmetric.measures.rows import class_sums
from textmetric.reclustering.assign import assign
from textmetric.reclustering.border import WEAK, border
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.types import Bools, Float64, Floats, Int64

with needing("clusters that learn", "train"):
    from scipy.optimize import linear_sum_assignment
    from threadpoolctl import threadpool_limits

ITERATIONS = 5
CORRECTED = 20.0
"""How many other rows a corrected row counts for in the covariance, and at most in a centre."""
SHRINKAGE = 0.3
"""Share of the covariance that is the same in every direction."""
PRIOR = 3.0
"""How many corrected rows the old centre counts for that a new name starts from."""
PULL = 0.5
"""The weight of all corrected rows in the centres, as a share of that of all rows."""
CONFIRMED = 0.1
"""With a smaller share of corrected rows that are right where they are, sizes stay."""
UNEVEN_DRAWS = 4.0
"""From this many standard deviations on, corrections are taken not to be random draws."""
_EVEN = 1e3
"""The most rows that every cluster is given when sizes are estimated; they are even then."""
_UNEVEN = 0.05
"""The fewest."""
SOFTNESS = 0.1
"""Temperature of the memberships by which sizes are counted, as a share of a typical distance."""
_SIZE_STEPS = 15
_SIZE_ROWS = 4000
"""Rows, evenly spaced, by which sizes are counted."""


class Fit(NamedTuple):
    """Clusters, and the space in which they were found.

    Attributes:
        clusters: (n,) ids below k.
        mapping: (d, d) to the space of the learnt distance.
        centres: (k, d) in that space.
        open: (k,) whether a cluster may have rows.
        distances: (n, k) how little each row belongs to each cluster: −log of the probability, see
            :func:`.border`, or the squared distance to its centre where there is no border;
            infinite for a cluster that is not open.
    """

    clusters: Int64
    mapping: Float64
    centres: Float64
    open: Bools
    distances: Float64


def to_centres(rows: Float64, mapping: Float64, centres: Float64, opened: Bools) -> Float64:
    """(n, k) squared distances of rows (n, d) to centres; infinite where ``opened`` (k,) is not."""
    with threadpool_limits(1):
        found = _squares(rows @ mapping, centres)
    found[:, ~opened] = np.inf
    return found


def fit(
    rows: Float64,
    constraints: Constraints,
    k: int,
    *,
    mapping: Float64 | None = None,
    iterations: int = ITERATIONS,
    uncorrected: float = 1.0,
    shrinkage: float = SHRINKAGE,
    sized: bool = True,
    weak: float = WEAK,
    before: Float64 | None = None,
) -> Fit:
    """Cluster again, and learn the distance on the way.

    Seeded k-means (Basu, Banerjee & Mooney 2002): an old cluster starts at the mean of its rows and
    of those that were corrected to it; a new name at the mean of its corrected rows, and of the
    centre of the old cluster that it takes the place of, as if that were a few rows. Then three
    steps alternate.

    The distance becomes that of Mahalanobis of the covariance within the clusters, in which
    corrected rows count more: what differs between texts that belong together matters less from
    then on. It is the estimate of linear discriminant analysis, shrunk so that directions without
    evidence keep their weight.

    The rows go to the nearest centres that the constraints allow, see :func:`.assign`, where a
    cluster is nearer by a constant if it would get fewer rows than expected, and farther if more.
    Without it, k-means lets a few clusters grow at the cost of the others. What is expected is
    estimated from the corrected rows, see :func:`shares`. If some clusters have more of them than
    random draws would give, each old cluster counts by its size. If hardly any of them confirms its
    cluster, they are mistakes that somebody found, and say nothing about sizes: then those of
    before are expected, and a new name may have any.

    The centres become the means of their rows, in which the corrected rows count as much, together,
    as :data:`PULL` says.

    In the end the clusters are the weak labels of a classifier, see :func:`.border`, and the rows
    go where it says, as far as the constraints allow.

    Args:
        rows: (n, d) of :func:`.principal`.
        constraints: of the rows.
        k: the number of clusters; with fewer than there are names, old clusters close that no
            correction names.
        mapping: (d, d) to start from, that of the last turn; None to estimate one.
        iterations: of the three steps.
        uncorrected: what a row that nobody corrected counts for in the covariance, where a
            corrected one counts for :data:`CORRECTED`.
        shrinkage: in [0, 1], share of the covariance that is the same in every direction; with 1
            the distance is not learnt.
        sized: whether clusters are held to the sizes that they are expected to have.
        weak: what an uncorrected row counts for in the classifier; 0 for no classifier.
        before: (n, e) the rows before anything was trained on the corrections, which the classifier
            is trained on: it is then less sure of what ``rows`` was trained to say. None for the
            same.
    """
    with threadpool_limits(1):
        centres, opened, expected = _start(rows, constraints, k)
        fixed, count = constraints.fixed, len(centres)
        known = fixed != NONE
        heavy = np.where(known, CORRECTED, uncorrected)
        share = PULL * len(rows) / max(int(known.sum()), 1)
        pull = np.where(known, min(max(share, 1.0), CORRECTED), 1.0)
        sizes = np.bincount(constraints.groups).astype(np.float64)
        means = class_sums(rows, constraints.groups, len(sizes)) / sizes[:, None]
        clusters = np.where(known, fixed, constraints.clusters)
        space = np.eye(rows.shape[1]) if mapping is None else mapping
        offsets = np.zeros(count)
        counted = slice(None, None, max(1, len(means) // _SIZE_ROWS))
        for step in range(iterations):
            if step:
                centres = _means(rows, clusters, pull, centres)
            if step or mapping is None:
                placed = clusters != NONE
                space = _within(rows[placed] - centres[clusters[placed]], heavy[placed], shrinkage)
            mapped = centres[opened] @ space
            if sized:
                squares = _squares(means[counted] @ space, mapped)
                offsets[opened] = _handicaps(squares, sizes[counted], expected)
            # squared distances, less what is the same for all clusters of a row
            squares = means @ (space @ (-2 * mapped).T)
            squares += np.square(mapped).sum(axis=1) - offsets[opened]
            if len(sizes) < len(rows):
                squares *= sizes[:, None]
            costs = np.full((len(sizes), count), np.inf)
            costs[:, opened] = squares
            last, clusters = clusters, assign(costs, constraints)[constraints.groups]
            if step and (last == clusters).all():
                break
        mapped = centres @ space
        if not weak or (clusters == clusters[0]).all():
            far = to_centres(rows, space, mapped, opened) - offsets
            return Fit(clusters, space, mapped, opened, far)
        seen = rows if before is None else before
        far = border(seen, clusters, np.where(known, 1.0, weak), count)
        costs = class_sums(far, constraints.groups, len(sizes))
        clusters = assign(costs, constraints)[constraints.groups]
        return Fit(clusters, space, mapped, opened, far)


def _drawn_evenly(drawn: Float64, sizes: Float64) -> bool:
    """Whether clusters could have been drawn from in proportion to their sizes.

    Pearson's statistic is compared with its mean and standard deviation under multinomial draws.
    """
    share, rows, many = sizes / sizes.sum(), drawn.sum(), len(sizes)
    statistic = (np.square(drawn - rows * share) / (rows * share)).sum()
    variance = 2 * (many - 1) + ((1 / share).sum() - many**2 - 2 * many + 2) / rows
    return bool(statistic - (many - 1) <= UNEVEN_DRAWS * np.sqrt(max(variance, 0.0)))


def shares(counts: Floats) -> Float64:
    """The shares that k clusters are expected to have, of counts (k,) of rows.

    The counts are smoothed by as many rows for each cluster as they suggest themselves: many if
    they differ no more than draws from clusters of one size would, few if they differ by more. It
    is the mean of a Dirichlet prior and multinomial counts, with the prior's parameter from the
    variance of the counts.

    >>> shares(np.array([9.0, 11.0])).round(2), shares(np.array([2.0, 98.0])).round(2)
    (array([0.5, 0.5]), array([0.02, 0.98]))
    """
    drawn, many = float(counts.sum()), len(counts)
    if many < 2 or not drawn:
        return np.full(many, 1 / many)
    spread = counts.var() / (drawn / many * (1 - 1 / many))  # 1 for clusters of one size
    rows = (drawn - spread) / (spread - 1) / many if spread > 1 else _EVEN
    smoothed = counts + min(max(rows, _UNEVEN), _EVEN)
    return np.asarray(smoothed / smoothed.sum())


def _means(rows: Float64, clusters: Int64, weights: Float64, before: Float64) -> Float64:
    """The centres (k, d) of rows in clusters; of a cluster without rows the one before."""
    total = np.bincount(clusters, weights, len(before))
    sums = class_sums(rows * weights[:, None], clusters, len(before))
    return np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], before)


def _handicaps(distances: Float64, weights: Float64, expected: Float64) -> Float64:
    """(k,) by how much each cluster must be nearer so that it gets its expected share.

    Memberships are soft: they fall with the distance, and the factors by which clusters are more
    likely are found by iterative proportional fitting (Sinkhorn & Knopp 1967), damped.

    Args:
        distances: (g, k) squared.
        weights: (g,) how many rows a group has.
        expected: (k,) shares, see :func:`shares`; NaN for a cluster of any size.
    """
    nearest = distances.min(axis=1)
    temperature = SOFTNESS * float(np.median(nearest))
    sized = ~np.isnan(expected)
    if not temperature > 0 or not sized.any():
        return np.zeros(len(expected))
    likely = np.exp((nearest[:, None] - distances) / temperature)
    factors = np.ones(len(expected))
    for _ in range(_SIZE_STEPS):
        share = weights / np.maximum(likely @ factors, np.finfo(float).tiny)
        found = factors * (share @ likely)
        target = expected[sized] * found[sized].sum()  # a cluster of any size keeps what it gets
        factors[sized] *= np.sqrt((target + 1) / (found[sized] + 1))
    return np.asarray(temperature * np.log(factors))


def _start(rows: Float64, constraints: Constraints, k: int) -> tuple[Float64, Bools, Float64]:
    """How clusters start.

    Returns:
        The centres (C, d) of all names; (C,) whether a name is open, k of them or more; and the
        shares of the rows that the open ones are expected to have, NaN for any.
    """
    names, old, fixed = len(constraints.names), constraints.clusters, constraints.fixed
    seeded, placed = np.flatnonzero(fixed != NONE), np.flatnonzero(old != NONE)
    before = np.bincount(old[placed], minlength=names).astype(np.float64)
    seeds = np.bincount(fixed[seeded], minlength=names).astype(np.float64)
    sums = class_sums(rows[placed], old[placed], names)
    means = np.divide(sums, before[:, None], out=np.zeros_like(sums), where=before[:, None] > 0)
    named = seeds > 0
    moved = np.zeros((names, names))  # rows by where they belong and where they are
    both = seeded[old[seeded] != NONE]
    np.add.at(moved, (fixed[both], old[both]), 1)
    heir = np.full(names, NONE)  # the old cluster of which a name is a continuation
    existing = named & (before > 0)
    heir[existing] = np.flatnonzero(existing)
    if k < (named | (before > 0)).sum():
        # a new name takes the place of the old cluster that its rows come from
        new, free = np.flatnonzero(named & (before == 0)), np.flatnonzero(~named & (before > 0))
        one, other = linear_sum_assignment(-moved[np.ix_(new, free)])
        taken = moved[new[one], free[other]] > 0
        heir[new[one[taken]]] = free[other[taken]]
    prior = np.where(existing, before, np.where(heir == NONE, 0.0, PRIOR))
    centres = means.copy()
    centres[named] = (
        class_sums(rows[seeded], fixed[seeded], names) + prior[:, None] * means[heir]
    )[named] / (seeds + prior)[named, None]
    rest = np.flatnonzero(~named & (before > 0))
    # those stay of which fewest rows were corrected away, the larger first
    order = np.lexsort((-before[rest], moved.sum(axis=0)[rest]))
    opened = named.copy()
    opened[rest[order[: max(k - int(named.sum()), 0)]]] = True
    expected = _counts(moved, seeds, before, heir, opened)[opened]
    sized = ~np.isnan(expected)
    if sized.any():
        expected[sized] = shares(expected[sized])
    return centres, opened, expected


def _counts(moved: Float64, seeds: Float64, before: Float64, heir: Int64, opened: Bools) -> Float64:
    """How many rows each cluster would have (C,), of as many as tell about it; NaN if none does.

    Args:
        moved: (C, C) corrected rows by where they belong and where they were.
        seeds: (C,) corrected rows by where they belong.
        before: (C,) the sizes of the old clusters.
        heir: (C,) the old cluster that a name continues; -1 for none.
        opened: (C,) whether a name may have rows.
    """
    told, continued = moved.sum(axis=0), np.flatnonzero(heir != NONE)
    stay = np.where(opened, before, 0.0)
    if moved[continued, heir[continued]].sum() <= CONFIRMED * told.sum():
        stay[continued] = before[heir[continued]]
        return np.where(opened & (stay == 0), np.nan, stay)
    if _drawn_evenly(told[before > 0], before[before > 0]):
        return seeds
    asked = told > 0
    weight = np.divide(before, told, out=np.zeros_like(before), where=asked)
    sizes = moved @ weight + np.where(asked, 0.0, stay)
    return np.asarray(sizes * told.sum() / sizes.sum())


def _within(differences: Float64, weights: Float64, shrinkage: float) -> Float64:
    """The map (d, d) that makes the differences of rows to their centres even, nearly."""
    covariance = (differences * weights[:, None]).T @ differences / weights.sum()
    mean = np.trace(covariance) / len(covariance)
    if not mean > 0:
        return np.eye(len(covariance))
    covariance *= 1 - shrinkage
    covariance[np.diag_indices_from(covariance)] += shrinkage * mean
    values, directions = np.linalg.eigh(covariance)
    return np.asarray(directions / np.sqrt(values) @ directions.T)


def _squares(rows: Floats, centres: Floats) -> Float64:
    """(n, k) squared distances."""
    found = -2 * rows @ centres.T
    found += np.square(centres).sum(axis=1)
    found += np.square(rows).sum(axis=1)[:, None]
    return np.asarray(np.maximum(found, 0.0, out=found), dtype=np.float64)

"""How well corrected rows are clustered when their correction is hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from textmetric.measures import Clustering, agreement, fit_temperature
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.reclustering.seeded import Fit
from textmetric.types import Bools, Float64, Int64

FOLDS = 3
FEWEST = 12
"""With fewer groups of corrected rows nothing is held out."""


class HeldOut(NamedTuple):
    """Corrected rows, clustered without their own correction.

    Attributes:
        rows: (m,) their places.
        clusters: (m,) where they were put.
        right: (m,) where they belong.
        doubts: (m,) by how much nearer the one is than the other, see :class:`.Fit`; infinite if
            no correction was left that names the cluster where a row belongs.
        before: agreement of the old clusters with the corrections.
        after: agreement of ``clusters`` with them.
        temperature: of the distances of :class:`.Fit`, such that they give probabilities.
    """

    rows: Int64
    clusters: Int64
    right: Int64
    doubts: Float64
    before: Clustering
    after: Clustering
    temperature: float


def held_out(
    constraints: Constraints, fitted: Callable[[Constraints], Fit], seed: int
) -> HeldOut | None:
    """Cluster with a third of the corrections hidden, three times; None with too few corrections.

    Rows that must-links join are hidden together.

    Args:
        constraints: of the rows.
        fitted: from constraints to clusters.
        seed: of the folds.
    """
    labelled = np.flatnonzero(constraints.labels != NONE)
    if len(labelled) < FEWEST:
        return None
    fold = np.full(len(constraints.labels), NONE)
    fold[np.random.default_rng(seed).permutation(labelled)] = np.arange(len(labelled)) % FOLDS
    places = np.flatnonzero(constraints.corrected != NONE)
    clusters = np.empty(len(places), dtype=np.int64)
    scores = np.empty((len(places), len(constraints.names)))
    for each in range(FOLDS):
        found = fitted(_hidden(constraints, fold == each))
        asked = fold[constraints.groups[places]] == each
        clusters[asked] = found.clusters[places[asked]]
        scores[asked] = -found.distances[places[asked]]
    right = constraints.corrected[places]
    each_row = np.arange(len(places))
    own = scores[each_row, right]
    known = np.isfinite(own)
    old = constraints.clusters[places]
    return HeldOut(
        places,
        clusters,
        right,
        scores[each_row, clusters] - own,
        agreement(right, old),
        agreement(right, clusters),
        fit_temperature(scores[known], right[known]) if known.any() else 1.0,
    )


def _hidden(constraints: Constraints, groups: Bools) -> Constraints:
    """The constraints, as if nobody had said where some groups belong."""
    return replace(
        constraints,
        labels=np.where(groups, NONE, constraints.labels),
        corrected=np.where(groups[constraints.groups], NONE, constraints.corrected),
    )

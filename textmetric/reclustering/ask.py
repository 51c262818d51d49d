"""What to ask next: the texts whose correction would help most, each with its reason."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from textmetric.measures.rows import unit
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.reclustering.seeded import Fit
from textmetric.types import Bools, Float64, Int64

ASKED = 20
Reason = Literal["new group", "between two clusters", "likely mistake"]
_ALIKE = 0.9
"""Texts with a larger cosine are not both asked about."""
_TRIED = 50
"""Texts that are looked at for each question, since many may be alike."""
_SAMPLE = 1000
"""Rows by which the density around a text is measured."""


class Question(NamedTuple):
    """A text to correct.

    Attributes:
        row: its place, counted from 0.
        reason: ``new group``: nobody has corrected a text of its cluster. ``between two
            clusters``: two are about as near. ``likely mistake``: it was corrected, and a model
            that did not see this correction puts it elsewhere.
        cluster: where it is.
        other: the other cluster that is near, or that the model proposes; "" for a new group.
    """

    row: int
    reason: Reason
    cluster: str
    other: str


def questions(
    rows: Float64,
    constraints: Constraints,
    fit: Fit,
    names: list[str],
    suspects: dict[int, int],
    *,
    count: int = ASKED,
    seed: int = 0,
) -> list[Question]:
    """The texts to ask about, in the order in which to ask.

    Up to a quarter are likely mistakes. Half of the others are for clusters of which no text was
    corrected, the largest first: of each the text nearest to its centre, so that a name for it
    names the cluster. The rest is between two clusters: the margin is small, and many texts are
    near, so that the answer matters for them, too. No two that are nearly alike are asked about.

    Args:
        rows: (n, d) of :func:`.principal`.
        constraints: of the rows.
        fit: of the turn.
        names: of its k clusters.
        suspects: corrected rows → the cluster that a model proposes, the likeliest mistakes first.
        count: how many at most.
        seed: of the sample by which density is measured.
    """
    distances = fit.distances(rows)
    free = constraints.fixed == NONE
    chosen = _Chosen(unit(rows), count)
    for row, other in list(suspects.items())[: count // 4]:
        chosen.add(row, "likely mistake", names[fit.clusters[row]], names[other])
    room = count - len(chosen.found)
    for row in _unseen(distances, fit.clusters, free, len(names))[: -(-room // 2)].tolist():
        chosen.add(row, "new group", names[fit.clusters[row]], "")
    if fit.open.sum() > 1:
        order = _between(rows, distances, free, seed)[: _TRIED * count]
        second = np.argsort(distances[order], axis=1, kind="stable")[:, :2]
        for row, nearest in zip(order.tolist(), second, strict=True):
            here = fit.clusters[row]
            other = nearest[1] if nearest[0] == here else nearest[0]
            chosen.add(row, "between two clusters", names[here], names[other])
    return chosen.found


class _Chosen:
    """Questions so far, of which no two are nearly alike."""

    def __init__(self, rows: Float64, count: int) -> None:
        self._rows = rows
        self._count = count
        self.found: list[Question] = []

    def add(self, row: int, reason: Reason, cluster: str, other: str) -> None:
        before = [each.row for each in self.found]
        if len(before) < self._count and not (self._rows[before] @ self._rows[row] > _ALIKE).any():
            self.found.append(Question(row, reason, cluster, other))


def _unseen(distances: Float64, clusters: Int64, free: Bools, names: int) -> Int64:
    """The most central row of each cluster without a corrected row, the largest cluster first."""
    sizes = np.bincount(clusters, minlength=names)
    seen = np.bincount(clusters[~free], minlength=names) > 0
    own = distances[np.arange(len(clusters)), clusters]
    order = np.lexsort((own, clusters))
    first = order[np.searchsorted(clusters[order], np.flatnonzero((sizes > 0) & ~seen))]
    return np.asarray(first[np.argsort(-sizes[clusters[first]], kind="stable")])


def _between(rows: Float64, distances: Float64, free: Bools, seed: int) -> Int64:
    """The rows that nobody corrected, the smallest margin in the densest place first."""
    places = np.flatnonzero(free)
    two = np.partition(distances[places], 1, axis=1)[:, :2]
    margin = two[:, 1] - two[:, 0]
    doubt = 1 / (1 + margin / (np.median(margin) or 1.0))
    sample = np.random.default_rng(seed).permutation(len(rows))[:_SAMPLE]
    density = np.square(np.maximum(rows[places] @ rows[sample].T, 0)).mean(axis=1)
    score = doubt * density
    return places[np.argsort(-score, kind="stable")]

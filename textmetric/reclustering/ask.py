"""What to ask next: the texts whose correction would help most, each with its reason."""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple

import numpy as np

from textmetric.errors import needing
from textmetric.measures import softmax
from textmetric.measures.rows import unit
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.reclustering.seeded import Fit
from textmetric.types import Float64, Int64

with needing("questions", "train"):
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

ASKED = 20
Reason = Literal["new group", "between two clusters", "likely mistake"]
_ALIKE = 0.9
"""Texts with a larger cosine are not both asked about."""
UNSEEN = 5.0
"""What a text counts for if nobody has corrected one of its cluster."""
_STEPS = 10


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

    Up to a quarter are likely mistakes. The others are spread over what is in doubt, as in diverse
    mini-batch active learning (Zhdanov 2019). A text that nobody corrected counts for more the
    likelier its second cluster is next to the first, and more again if nobody has corrected a text
    of its cluster. K-means with these weights finds as many groups of texts as there are questions;
    of each, the text is asked about that is in doubt and near to the centre, the heaviest group
    first. No two that are nearly alike are asked about.

    Args:
        rows: (n, d) of :func:`.principal`.
        constraints: of the rows.
        fit: of the turn.
        names: of its k clusters.
        suspects: corrected rows → the cluster that a model proposes, the likeliest mistakes first.
        count: how many at most.
        seed: of k-means.
    """
    if not count:
        return []
    free = np.flatnonzero(constraints.fixed == NONE)
    chosen = _Chosen(unit(rows), count)
    for row, other in list(suspects.items())[: count // 4]:
        chosen.add(row, "likely mistake", names[fit.clusters[row]], names[other])
    room = min(count - len(chosen.found), len(free))
    if not room:
        return chosen.found
    corrected = np.bincount(fit.clusters[constraints.fixed != NONE], minlength=len(names))
    unseen = corrected[fit.clusters] == 0
    likely = np.sort(softmax(-fit.distances[free], 1.0), axis=1)[:, ::-1]
    second = likely[:, 1] if likely.shape[1] > 1 else np.zeros(len(free))
    weights = (1 - likely[:, 0] + second) * np.where(unseen[free], UNSEEN, 1.0)
    for row in free[_spread(rows[free], weights, room, seed)].tolist():
        if unseen[row]:
            chosen.add(row, "new group", names[fit.clusters[row]], "")
        else:
            nearest = np.argsort(fit.distances[row], kind="stable")[:2]
            other = nearest[1] if nearest[0] == fit.clusters[row] else nearest[0]
            chosen.add(row, "between two clusters", names[fit.clusters[row]], names[other])
    return chosen.found


def _spread(rows: Float64, weights: Float64, count: int, seed: int) -> Int64:
    """Places of rows in the order in which to ask: one a group, then the others.

    Args:
        rows: (n, d).
        weights: (n,) above 0 where there is doubt.
        count: of groups, n at most.
        seed: of k-means.
    """
    weights = weights + 1e-9  # k-means needs some
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than groups
        found = KMeans(count, n_init=1, max_iter=_STEPS, random_state=seed).fit(
            rows, sample_weight=weights
        )
    group = found.labels_
    far = np.square(rows - found.cluster_centers_[group]).sum(axis=1) / weights
    heavy = np.bincount(group, weights, minlength=count)
    order = np.lexsort((far, -heavy[group], group))  # within a group the nearest first
    first = np.ones(len(order), dtype=bool)
    first[1:] = group[order][1:] != group[order][:-1]
    first, others = order[first], order[~first]
    first = first[np.argsort(-heavy[group[first]], kind="stable")]
    return np.concatenate([first, others[np.argsort(-weights[others], kind="stable")]])


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

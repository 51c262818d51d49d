"""New clusters of rows that are far from all centres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from textmetric.errors import needing
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.reclustering.seeded import Fit
from textmetric.types import Float64, Int64

with needing("new clusters", "train"):
    from sklearn.cluster import AgglomerativeClustering
    from threadpoolctl import threadpool_limits

FAR = 0.05
"""Share of the rows that are looked at: those farthest from the centre of their cluster."""
MOST = 3000
"""No more rows than this are looked at."""
FEWEST = 5
"""Rows of a new cluster."""
_NEARER = 0.5
"""Their mean squared distance to each other's centre, as a share of that to their old centres."""


def far_groups(rows: Float64, constraints: Constraints, fit: Fit) -> list[Int64]:
    """Rows that nobody corrected, far from their centres, but near to each other.

    The farthest rows are joined by average linkage in the learnt space, up to the distance of two
    rows that are as far from their centre as the median row. A group of them is a new cluster if it
    is large enough, and if its rows are much nearer to their own mean than to the centres where
    they are.

    Args:
        rows: (n, d) of :func:`.principal`.
        constraints: of the rows.
        fit: of the turn.

    Returns:
        The places of the rows of each group, the largest group first.
    """
    with threadpool_limits(1):
        mapped = rows @ fit.mapping
        own = np.square(mapped - fit.centres[fit.clusters]).sum(axis=1)
        sizes = np.bincount(constraints.groups)
        free = (constraints.fixed == NONE) & (sizes[constraints.groups] == 1)
        most = min(MOST, int(FAR * len(rows)))
        places = np.flatnonzero(free)
        places = np.sort(places[np.argsort(-own[places], kind="stable")[:most]])
        if len(places) < FEWEST:
            return []
        joined = AgglomerativeClustering(
            None, linkage="average", distance_threshold=float(np.sqrt(2 * np.median(own)))
        ).fit_predict(mapped[places])
    found = []
    for each in np.flatnonzero(np.bincount(joined) >= FEWEST):
        members = places[joined == each]
        spread = np.square(mapped[members] - mapped[members].mean(axis=0)).sum(axis=1).mean()
        if spread < _NEARER * own[members].mean():
            found.append(members)
    return sorted(found, key=lambda members: (-len(members), int(members[0])))


def with_new(constraints: Constraints, groups: list[Int64]) -> Constraints:
    """The constraints, with groups of rows as clusters of their own, ``new 1``, ``new 2`` …."""
    clusters, names = constraints.clusters.copy(), [*constraints.names]
    number = 0
    for members in groups:
        number += 1
        while f"new {number}" in names:
            number += 1
        clusters[members] = len(names)
        names.append(f"new {number}")
    return replace(constraints, names=names, clusters=clusters)

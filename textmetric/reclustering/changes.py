"""What a turn changed: moves, merges, splits, new and vanished clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textmetric.errors import needing
from textmetric.reclustering.corrections import NONE
from textmetric.types import Bools, Int64

with needing("what a turn changed", "train"):
    from scipy.optimize import linear_sum_assignment

PART = 0.5
"""A cluster is merged into another one if more than this share of its rows went there. A new name
continues one that vanished if it has more than this share of its rows, or its own are from there.
"""
SPLIT = 0.2
"""A cluster is split if this share of its rows, or more, is in each of two clusters or more."""


class Move(NamedTuple):
    """Rows that went from one cluster to another.

    Attributes:
        source: the name of the old cluster; "" for rows that were in none.
        target: the name of the new one.
        rows: how many.
        share: of the rows that were in the old cluster.
    """

    source: str
    target: str
    rows: int
    share: float


class Changes(NamedTuple):
    """The difference between two clusterings of the same n rows.

    Attributes:
        moved: (n,) whether a row is in another cluster than before, renamed or not.
        moves: from each old cluster to each other one, the most rows first.
        merged: a name → the old clusters, two or more, most of whose rows are in it now.
        split: an old cluster → the clusters, two or more, that each have a good part of its rows.
        renamed: an old cluster → the new name that continues it.
        new: other names that no row had.
        vanished: other names that no row has any more.
    """

    moved: Bools
    moves: list[Move]
    merged: dict[str, list[str]]
    split: dict[str, list[str]]
    renamed: dict[str, str]
    new: list[str]
    vanished: list[str]


def changes(names: Sequence[str], old: Int64, new: Int64) -> Changes:
    """Compare the clusters of n rows before and after a turn.

    Args:
        names: of the C clusters.
        old: (n,) ids; -1 for a row without a cluster.
        new: (n,) ids.

    >>> found = changes(["a", "b"], np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 1]))
    >>> found.moves
    [Move(source='a', target='b', rows=1, share=0.5)]
    """
    count = len(names)
    flow = np.zeros((count + 1, count), dtype=np.int64)  # the last row: from no cluster
    np.add.at(flow, (np.where(old == NONE, count, old), new), 1)
    before, after = flow.sum(axis=1), flow.sum(axis=0)
    shares = flow / np.maximum(before, 1)[:, None]
    source, target = np.nonzero(flow)
    order = np.lexsort((target, source, -flow[source, target]))
    called = [*names, ""]
    came, gone = (before[:-1] == 0) & (after > 0), (before[:-1] > 0) & (after == 0)
    heir = np.arange(count + 1)  # where a row is that did not move
    for one, other in _continued(flow, gone, came):
        heir[one] = other
        came[other] = gone[one] = False
    moves = [
        Move(called[one], names[other], int(flow[one, other]), float(shares[one, other]))
        for one, other in zip(source[order].tolist(), target[order].tolist(), strict=True)
        if heir[one] != other
    ]
    mostly, parts = shares[:-1] > PART, shares[:-1] >= SPLIT

    def listed(chosen: Bools) -> list[str]:
        return [names[each] for each in np.flatnonzero(chosen).tolist()]

    renamed = np.flatnonzero(heir[:-1] != np.arange(count)).tolist()
    return Changes(
        np.asarray(heir[old] != new),
        moves,
        {
            names[one]: listed(mostly[:, one])
            for one in np.flatnonzero(mostly.sum(axis=0) > 1).tolist()
        },
        {names[one]: listed(parts[one]) for one in np.flatnonzero(parts.sum(axis=1) > 1).tolist()},
        {names[one]: names[heir[one]] for one in renamed},
        listed(came),
        listed(gone),
    )


def _continued(flow: Int64, gone: Bools, came: Bools) -> list[tuple[int, int]]:
    """Clusters that vanished, each with the new name that continues it, by the most rows in all."""
    old, new = np.flatnonzero(gone), np.flatnonzero(came)
    shared = flow[np.ix_(old, new)]
    most = PART * np.minimum.outer(flow[old].sum(axis=1), flow[:, new].sum(axis=0))
    one, other = linear_sum_assignment(-shared)
    kept = shared[one, other] > most[one, other]
    return list(zip(old[one[kept]].tolist(), new[other[kept]].tolist(), strict=True))

"""What a turn changed: moves, merges, splits, new and vanished clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textmetric.reclustering.corrections import NONE
from textmetric.types import Bools, Int64

PART = 0.5
"""A cluster is merged into another one if more than this share of its rows went there."""
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
        moved: how many rows are in another cluster than before.
        moves: from each old cluster to each other one, the most rows first.
        merged: a name → the old clusters, two or more, most of whose rows are in it now.
        split: an old cluster → the clusters, two or more, that each have a good part of its rows.
        new: names that no row had.
        vanished: names that no row has any more.
    """

    moved: int
    moves: list[Move]
    merged: dict[str, list[str]]
    split: dict[str, list[str]]
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
    moves = [
        Move(called[one], names[other], int(flow[one, other]), float(shares[one, other]))
        for one, other in zip(source[order].tolist(), target[order].tolist(), strict=True)
        if one != other
    ]
    mostly, parts = shares[:-1] > PART, shares[:-1] >= SPLIT

    def listed(chosen: Bools) -> list[str]:
        return [names[each] for each in np.flatnonzero(chosen).tolist()]

    return Changes(
        int((old != new).sum()),
        moves,
        {
            names[one]: listed(mostly[:, one])
            for one in np.flatnonzero(mostly.sum(axis=0) > 1).tolist()
        },
        {names[one]: listed(parts[one]) for one in np.flatnonzero(parts.sum(axis=1) > 1).tolist()},
        listed((before[:-1] == 0) & (after > 0)),
        listed((before[:-1] > 0) & (after == 0)),
    )

"""Assign groups of rows to clusters at the least cost that honours every constraint."""

from __future__ import annotations

import numpy as np

from textmetric.errors import UserError, needing
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.types import Bools, Float64, Int64

with needing("constrained clusters", "train"):
    from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

_NAMED = 6
"""This many rows are named in an error."""


def assign(costs: Float64, constraints: Constraints) -> Int64:
    """The cluster of each group, such that the sum of the costs is the least that is allowed.

    Must-links are honoured because a group is assigned as a whole. A label leaves a group one
    cluster, and takes that cluster from the groups that must be apart from it. What is left are
    cannot-links between groups without a label. Most do not bind: both ends are nearest to
    different clusters. Where one does, all groups that such links join are assigned together: by
    the Hungarian method if each must be apart from each, otherwise by an integer programme. So the
    result is optimal, and not greedy as in COP-KMeans (Wagstaff et al. 2001), which can fail where
    there is a solution.

    Args:
        costs: (g, k) of putting a group into a cluster, infinite for a cluster that is not open. It
            is changed, see :func:`allowed`.
        constraints: of the g groups.

    Returns:
        (g,) cluster ids.

    Raises:
        UserError: no assignment honours all cannot-links; it names the rows.
    """
    costs = allowed(costs, constraints)
    nearest: Int64 = costs.argmin(axis=1).astype(np.int64)
    groups = np.arange(len(costs))
    for group in np.flatnonzero(~np.isfinite(costs[groups, nearest]))[:1]:
        raise _unsatisfiable(np.array([group]), constraints, costs.shape[1])
    free = (constraints.labels[constraints.apart] == NONE).all(axis=1)
    apart = constraints.apart[free]
    clashes = nearest[apart[:, 0]] == nearest[apart[:, 1]]
    if not clashes.any():
        return nearest
    graph = coo_array((np.ones(len(apart), np.int8), (apart[:, 0], apart[:, 1])), (len(costs),) * 2)
    _, part = connected_components(graph, directed=False)
    for each in np.unique(part[apart[clashes, 0]]):
        members = np.flatnonzero(part == each)
        edges = np.searchsorted(members, apart[part[apart[:, 0]] == each])
        found = _cheapest(costs[members], edges)
        if found is None:
            raise _unsatisfiable(members, constraints, costs.shape[1])
        nearest[members] = found
    return nearest


def allowed(costs: Float64, constraints: Constraints) -> Float64:
    """The costs (g, k), made infinite where a label or a ban rules a cluster out."""
    labels, apart = constraints.labels, constraints.apart
    costs[constraints.banned[:, 0], constraints.banned[:, 1]] = np.inf
    for one, other in ((0, 1), (1, 0)):
        known = labels[apart[:, other]] != NONE
        costs[apart[known, one], labels[apart[known, other]]] = np.inf
    labelled = np.flatnonzero(labels != NONE)
    costs[labelled] = np.inf
    costs[labelled, labels[labelled]] = 0
    return costs


def _cheapest(costs: Float64, edges: Int64) -> Int64 | None:
    """The cheapest clusters of groups that edges keep apart; None if there are none.

    Args:
        costs: (m, k), infinite where a group must not be.
        edges: (e, 2) groups, each pair once.
    """
    groups = len(costs)
    if len(edges) == groups * (groups - 1) // 2:
        try:
            return np.asarray(linear_sum_assignment(costs)[1], dtype=np.int64) if (
                groups <= costs.shape[1]
            ) else None  # fmt: skip
        except ValueError:  # scipy's word for an infeasible matrix
            return None
    return _programme(costs, edges)


def _programme(costs: Float64, edges: Int64) -> Int64 | None:
    """:func:`_cheapest` as an integer programme: a variable for each group and cluster.

    A group with D neighbours gets one of its D + 1 cheapest clusters: the neighbours block D at
    most, and moving to a cheaper one that is free hurts nobody.
    """
    degree = np.bincount(edges.ravel(), minlength=len(costs))
    order = np.argsort(costs, axis=1, kind="stable")
    wanted = np.zeros(costs.shape, dtype=bool)
    rank = np.arange(costs.shape[1])
    np.put_along_axis(wanted, order, rank[None] <= degree[:, None], axis=1)
    wanted &= np.isfinite(costs)
    if not wanted.any(axis=1).all():
        return None
    group, cluster = np.nonzero(wanted)
    place = np.full(costs.shape, NONE)
    place[group, cluster] = np.arange(len(group))
    one = coo_array((np.ones(len(group)), (group, np.arange(len(group)))))
    pairs = place[edges]  # (e, 2, k)
    both: Bools = (pairs != NONE).all(axis=1)
    ends = pairs.transpose(0, 2, 1)[both]  # (c, 2) variables that must not both be 1
    rules = [LinearConstraint(one.tocsr(), 1, 1)]
    if len(ends):
        rows = np.repeat(np.arange(len(ends)), 2)
        matrix = coo_array((np.ones(2 * len(ends)), (rows, ends.ravel())), (len(ends), len(group)))
        rules.append(LinearConstraint(matrix.tocsr(), -np.inf, 1))
    # from 0 for each group, so that the tolerance is not about what all clusters cost
    price = costs[group, cluster] - costs.min(axis=1)[group]
    scale = price.max() or 1.0
    solved = milp(
        price / scale,
        integrality=np.ones(len(group)),
        bounds=Bounds(0, 1),
        constraints=rules,
        options={"mip_rel_gap": 0},
    )
    if solved.x is None:
        return None
    chosen = solved.x > 0.5
    found = np.empty(len(costs), dtype=np.int64)
    found[group[chosen]] = cluster[chosen]
    return found


def _unsatisfiable(groups: Int64, constraints: Constraints, clusters: int) -> UserError:
    rows = [int(np.flatnonzero(constraints.groups == group)[0]) for group in groups[:_NAMED]]
    listed = [str(constraints.numbers[row]) for row in rows]
    if len(listed) == 1:
        return UserError(
            f"row {listed[0]} can be in none of the {clusters} clusters: each is ruled out by a "
            "correction, so take one back or ask for more clusters"
        )
    named = f"{', '.join(listed[:-1])} and {listed[-1]}"
    more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
    return UserError(
        f"rows {named}{more} cannot all be kept apart as they should in {clusters} clusters: take "
        "a link back, or ask for more clusters"
    )

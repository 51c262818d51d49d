from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.errors import UserError
from textmetric.reclustering.assign import assign
from textmetric.reclustering.corrections import Constraints, Corrections, checked
from textmetric.types import Float64

NAMES = ["a", "b", "c"]


def _cheapest(costs: Float64, constraints: Constraints) -> float:
    """The least cost of all assignments that honour every constraint; infinite if none does."""
    groups, clusters = costs.shape
    best = np.inf
    for each in product(range(clusters), repeat=groups):
        if all(label in (-1, each[group]) for group, label in enumerate(constraints.labels)) and (
            all(each[one] != each[other] for one, other in constraints.apart)
            and all(each[group] != cluster for group, cluster in constraints.banned)
        ):
            best = min(best, sum(
                costs[group, cluster] for group, cluster in enumerate(each)
                if constraints.labels[group] == -1
            ))  # fmt: skip
    return best


def _cost(costs: Float64, constraints: Constraints, found: list[int]) -> float:
    return float(sum(
        costs[group, cluster] for group, cluster in enumerate(found)
        if constraints.labels[group] == -1
    ))  # fmt: skip


ROWS = 6
rows = st.integers(0, ROWS - 1)
apart = st.tuples(rows, rows).filter(lambda pair: pair[0] != pair[1])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(apart, max_size=12),
    st.lists(st.sampled_from([None, None, None, *NAMES]), min_size=ROWS, max_size=ROWS),
    st.lists(st.tuples(rows, st.sampled_from(NAMES)), max_size=4),
    st.lists(st.tuples(rows, rows), max_size=1),
    st.integers(0, 2**32 - 1),
)
def test_the_assignment_costs_what_the_best_of_all_does(
    cannot: list[tuple[int, int]],
    labels: list[str | None],
    bans: list[tuple[int, str]],
    must: list[tuple[int, int]],
    seed: int,
) -> None:
    try:
        constraints = checked(
            NAMES * 2, Corrections(labels, must=must, cannot=cannot, not_here=bans)
        )
    except UserError:
        return  # a contradiction
    groups = len(constraints.labels)
    # few different costs, so that there are ties
    costs = np.random.default_rng(seed).integers(4, size=(groups, 3)).astype(float)
    best = _cheapest(costs, constraints)
    if np.isinf(best):
        with pytest.raises(UserError, match=r"cannot all be kept apart|can be in none"):
            assign(costs.copy(), constraints)
        return
    found = assign(costs.copy(), constraints)
    assert constraints.violations(found[constraints.groups]) == 0
    assert _cost(costs, constraints, found.tolist()) == pytest.approx(best)


def test_a_greedy_order_would_fail_where_there_is_a_solution() -> None:
    # row 0 is nearest to a, and so is row 1, which may be nowhere else
    constraints = checked(["a", "b"], Corrections(cannot=[(0, 1)], not_here=[(1, "b")]))
    assert assign(np.array([[0.0, 5.0], [1.0, 0.0]]), constraints).tolist() == [1, 0]


def test_an_odd_circle_does_not_fit_into_two_clusters() -> None:
    circle = [(row, (row + 1) % 5) for row in range(5)]
    constraints = checked(["a", "b", "a", "b", "a"], Corrections(cannot=circle))
    with pytest.raises(UserError, match=r"rows 0, 1, 2, 3 and 4 cannot all be kept apart .* in 2"):
        assign(np.zeros((5, 2)), constraints)


def test_more_rows_apart_than_there_are_clusters_are_refused() -> None:
    everyone = [(one, other) for one in range(9) for other in range(one)]
    constraints = checked(["a", "b", "c"] * 3, Corrections(cannot=everyone))
    with pytest.raises(UserError, match=r"and 3 more cannot all be kept apart .* in 3 clusters"):
        assign(np.zeros((9, 3)), constraints)


def test_a_row_that_may_be_nowhere_is_named() -> None:
    said = Corrections([None, "a"], cannot=[(0, 1)], not_here=[(0, "b")])
    with pytest.raises(UserError, match="row 7 can be in none of the 2 clusters"):
        assign(np.zeros((2, 2)), checked(["a", "b"], said, numbers=[7, 8]))


def test_many_links_are_solved_exactly_where_they_bind() -> None:
    rng = np.random.default_rng(0)
    rows = 400
    pairs = rng.integers(rows, size=(500, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    clusters = [str(each) for each in rng.integers(8, size=rows)]
    constraints = checked(clusters, Corrections(cannot=pairs))
    costs = rng.random((rows, 8))
    found = assign(costs.copy(), constraints)
    assert constraints.violations(found) == 0
    # no row could move to a cheaper cluster by itself
    for row in range(rows):
        others = {int(found[b if a == row else a]) for a, b in pairs if row in (a, b)}
        free = [cluster for cluster in range(8) if cluster not in others]
        assert costs[row, found[row]] == min(costs[row, free])

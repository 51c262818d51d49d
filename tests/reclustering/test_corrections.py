from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.errors import UserError
from textmetric.reclustering.corrections import Corrections, checked

Pairs = list[tuple[int, int]]


def test_names_are_those_of_the_clusters_then_the_new_ones() -> None:
    found = checked([2, 10, None, 2], Corrections(["new", None, float("nan"), ""]))
    assert found.names == ["10", "2", "new"]
    assert found.clusters.tolist() == [1, 0, -1, 1]
    assert found.corrected.tolist() == [2, -1, -1, -1]


def test_the_number_minus_one_is_no_cluster_and_the_string_is_one() -> None:
    assert checked([-1, 0], Corrections()).names == ["0"]
    assert checked(["-1", "0"], Corrections()).names == ["-1", "0"]


def test_a_cluster_that_is_right_confirms_its_rows_and_no_others() -> None:
    found = checked(["a", "b", "a"], Corrections([None, "c", "a"], right=["a"]))
    assert found.corrected.tolist() == [0, 2, 0]


def _closure(rows: int, must: Pairs) -> list[set[int]]:
    """The sets of rows that must-links join: sets are merged until nothing changes."""
    sets = [{row} for row in range(rows)]
    changed = True
    while changed:
        changed = False
        for one, other in must:
            first = next(each for each in sets if one in each)
            second = next(each for each in sets if other in each)
            if first is not second:
                sets.remove(second)
                first |= second
                changed = True
    return sets


def _contradicts(
    rows: int, labels: list[str | None], must: Pairs, cannot: Pairs, bans: list[tuple[int, str]]
) -> bool:
    for joined in _closure(rows, must):
        said = {labels[row] for row in joined} - {None}
        if len(said) > 1 or any({one, other} <= joined for one, other in cannot):
            return True
        if any(row in joined and name in said for row, name in bans):
            return True
    label = {
        row: name for joined in _closure(rows, must) for name in
        {labels[each] for each in joined} - {None} for row in joined
    }  # fmt: skip
    return any(label.get(one) == label.get(other) is not None for one, other in cannot)


ROWS = 7
rows = st.integers(0, ROWS - 1)
pairs = st.lists(st.tuples(rows, rows), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([None, None, "a", "b"]), min_size=ROWS, max_size=ROWS),
    pairs,
    pairs,
    st.lists(st.tuples(rows, st.sampled_from("ab")), max_size=2),
)
def test_contradictions_are_those_of_the_closure_by_loops(
    labels: list[str | None], must: Pairs, cannot: Pairs, bans: list[tuple[int, str]]
) -> None:
    said = Corrections(labels, must, cannot, not_here=bans)
    if _contradicts(ROWS, labels, must, cannot, bans):
        with pytest.raises(UserError, match="take one of these"):
            checked(["a", "b"] * 3 + ["a"], said)
        return
    found = checked(["a", "b"] * 3 + ["a"], said)
    sets = _closure(ROWS, must)
    for one in range(ROWS):
        for other in range(ROWS):
            together = any({one, other} <= joined for joined in sets)
            assert (found.groups[one] == found.groups[other]) == together
    for joined in _closure(ROWS, must):
        names = {labels[row] for row in joined} - {None}
        expected = found.names.index(str(names.pop())) if names else -1
        assert {int(found.fixed[row]) for row in joined} == {expected}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"labels": ["a", None, "b", None], "must": [(0, 1), (2, 1), (1, 3)]},
            "row 10 is corrected to 'a' and row 12 to 'b', but must-links join 10–11–12",
        ),
        (
            {"must": [(0, 1), (1, 2)], "cannot": [(2, 0)]},
            "rows 12 and 10 cannot be together, but must-links join 12–11–10",
        ),
        (
            {"labels": ["a", None, "a", None], "must": [(0, 1)], "cannot": [(1, 2)]},
            "rows 11 and 12 cannot be together, but row 10 is corrected to 'a' and must-links join "
            "11–10, and row 12 is corrected to 'a'",
        ),
        (
            {"labels": [None, "a", None, None], "must": [(0, 1)], "not_here": [(0, "a")]},
            "row 10 is said not to be in 'a', but row 11 is corrected to 'a' and must-links join "
            "10–11",
        ),
        ({"cannot": [(3, 3)]}, "rows 13 and 13 cannot be together, but they are one row"),
        (
            {"labels": [None, "a", None, None], "right": ["y"]},
            "row 11 of the cluster 'y' is corrected to 'a', but 'y' is said to be right",
        ),
        ({"right": ["z"]}, "no row is in the cluster 'z'"),
        ({"not_here": [(0, "z")]}, "there is no cluster 'z'"),
        ({"must": [(0, 4)]}, "must names the row 4, but there are the rows 0 to 3"),
        ({"must": [(0, 1, 2)]}, "give two rows a pair"),
        ({"cannot": [(0.5, 1)]}, "give whole numbers"),
        ({"labels": ["a"]}, "4 clusters came with 1 corrections"),
    ],
)
def test_what_is_wrong_is_said_with_the_rows_that_lead_to_it(
    said: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as raised:
        checked(["x", "y", "y", "x"], Corrections(**said), numbers=range(10, 14))
    assert sentence in str(raised.value)


def test_violations_are_counted_one_by_one() -> None:
    said = Corrections(
        ["a", None, None, None, None], must=[(1, 2)], cannot=[(3, 4)], not_here=[(4, "b")]
    )
    found = checked(["a", "b", "a", "b", "a"], said)
    assert found.violations(np.array([0, 1, 1, 1, 0])) == 0
    assert found.violations(np.array([1, 1, 1, 1, 0])) == 1  # the label
    assert found.violations(np.array([0, 1, 0, 1, 0])) == 1  # the must-link
    assert found.violations(np.array([0, 1, 1, 0, 0])) == 1  # the cannot-link
    assert found.violations(np.array([0, 1, 1, 1, 1])) == 2  # the cannot-link and the ban

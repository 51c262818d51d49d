from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.reclustering.changes import PART, SPLIT, changes

NAMES = ["a", "b", "c", "d"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_changes_are_those_that_loops_find(rows: list[tuple[int, int]]) -> None:
    old, new = (np.array(each) for each in zip(*rows, strict=True))
    found = changes(NAMES, old, new)
    assert found.moved == sum(one != other for one, other in rows)
    sizes = {one: sum(each[0] == one for each in rows) for one, _ in rows}
    listed = {(each.source, each.target): (each.rows, each.share) for each in found.moves}
    expected = {
        ("" if one < 0 else NAMES[one], NAMES[other]): (
            rows.count((one, other)), rows.count((one, other)) / sizes[one]
        )
        for one, other in rows if one != other
    }  # fmt: skip
    assert listed == expected
    assert [each.rows for each in found.moves] == sorted(
        (each.rows for each in found.moves), reverse=True
    )
    share = {(one, other): rows.count((one, other)) / sizes[one] for one, other in rows if one >= 0}
    for target in range(4):
        into = [NAMES[one] for one in range(4) if share.get((one, target), 0) > PART]
        assert found.merged.get(NAMES[target], []) == (into if len(into) > 1 else [])
    for source in range(4):
        parts = [NAMES[other] for other in range(4) if share.get((source, other), 0) >= SPLIT]
        assert found.split.get(NAMES[source], []) == (parts if len(parts) > 1 else [])
    assert found.new == [NAMES[each] for each in range(4) if each in new and each not in old]
    assert found.vanished == [NAMES[each] for each in range(4) if each in old and each not in new]

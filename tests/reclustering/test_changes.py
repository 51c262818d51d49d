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
    ids = {name: each for each, name in enumerate(NAMES)}
    heir = {each: each for each in range(-1, 4)}
    heir |= {ids[one]: ids[other] for one, other in found.renamed.items()}
    assert found.moved.tolist() == [heir[one] != other for one, other in rows]
    sizes = {one: sum(each[0] == one for each in rows) for one, _ in rows}
    listed = {(each.source, each.target): (each.rows, each.share) for each in found.moves}
    expected = {
        ("" if one < 0 else NAMES[one], NAMES[other]): (
            rows.count((one, other)), rows.count((one, other)) / sizes[one]
        )
        for one, other in rows if heir[one] != other
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
    came = [NAMES[each] for each in range(4) if each in new and each not in old]
    gone = [NAMES[each] for each in range(4) if each in old and each not in new]
    assert found.new == [each for each in came if each not in found.renamed.values()]
    assert found.vanished == [each for each in gone if each not in found.renamed]
    assert set(found.renamed) <= set(gone)
    assert set(found.renamed.values()) <= set(came)
    for one, other in found.renamed.items():
        shared = rows.count((ids[one], ids[other]))
        both = [
            sum(each[0] == ids[one] for each in rows),
            sum(each[1] == ids[other] for each in rows),
        ]
        assert shared > PART * min(both)


def test_a_new_name_continues_the_old_cluster_that_it_has_most_rows_of() -> None:
    old = np.array([0] * 6 + [1] * 6 + [2])
    new = np.array([3] * 5 + [4] + [4] * 4 + [3] * 2 + [3])
    found = changes(["0", "1", "2", "apple", "pear"], old, new)
    assert found.renamed == {"0": "apple", "1": "pear"}
    assert np.flatnonzero(found.moved).tolist() == [5, 10, 11, 12]
    assert found.new == []
    assert found.vanished == ["2"]
    # a part of an old cluster that stays is a new cluster
    found = changes(["0", "apple"], np.array([0] * 6), np.array([0] * 2 + [1] * 4))
    assert (found.renamed, found.new) == ({}, ["apple"])

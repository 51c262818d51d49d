from __future__ import annotations

import mmap
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.errors import UserError
from textmetric.text import RaggedTokens, RaggedView
from textmetric.text import ragged as ragged_module
from textmetric.types import Int32, Int64


def ragged(rows: list[list[int]]) -> RaggedTokens:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return RaggedTokens(np.array(list(chain(*rows)), np.int32), offsets)


def lists(tokens: RaggedTokens) -> list[list[int]]:
    return [tokens.ids[start:end].tolist() for start, end in pairwise(tokens.offsets)]


rows_of_ids = st.lists(st.lists(st.integers(1, 9), max_size=4), max_size=8)


@given(rows_of_ids, st.data())
@settings(deadline=None)
def test_take_equals_picking_rows_from_a_list(rows: list[list[int]], data: st.DataObject) -> None:
    places = st.integers(-len(rows), len(rows) - 1) if rows else st.nothing()
    picked = data.draw(st.lists(places))
    assert lists(ragged(rows).take(picked)) == [rows[place] for place in picked]


def test_take_by_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ragged([[1, 2], [], [3], [4, 5, 6], []])
    picked = [3, 3, 1, 4, 0, 2, -1, 0]
    whole = rows.take(picked)
    monkeypatch.setattr(ragged_module, "_ROWS_AT_ONCE", 3)
    assert lists(rows.take(picked)) == lists(whole)


@given(rows_of_ids)
@settings(deadline=None)
def test_counts_are_how_often_each_id_occurs(rows: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged_module, "_TOKENS_AT_ONCE", 3)
        counts = ragged(rows).counts(10)
    assert counts.tolist() == [list(chain(*rows)).count(i) for i in range(10)]


def test_taking_a_row_that_does_not_exist_fails() -> None:
    with pytest.raises(IndexError):
        ragged([[1], [2]]).take([2])


@given(rows_of_ids, st.lists(st.integers(0, 5), min_size=10, max_size=10))
@settings(deadline=None)
def test_remap_renames_ids_and_drops_those_renamed_to_0(
    rows: list[list[int]], new_ids: list[int]
) -> None:
    remapped = ragged(rows).remap(np.array(new_ids, np.int32))
    assert lists(remapped) == [[new_ids[i] for i in row if new_ids[i]] for row in rows]


def test_lengths_count_tokens_by_row() -> None:
    assert ragged([[1, 2], [], [3]]).lengths.tolist() == [2, 0, 1]
    assert len(ragged([[1, 2], [], [3]])) == 3


@pytest.mark.parametrize("rows", [[], [[]], [[], []], [[1]], [[1, 2], [], [3]]])
def test_saved_rows_read_back_the_same_and_memory_mapped(
    tmp_path: Path, rows: list[list[int]]
) -> None:
    ragged(rows).save(tmp_path / "deep" / "train")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [
        "train.ids.npy",
        "train.offsets.npy",
    ]
    loaded = RaggedTokens.load(tmp_path / "deep" / "train")
    assert lists(loaded) == rows
    for array in (loaded.ids, loaded.offsets):
        assert not array.flags.writeable
        assert type(array) is np.ndarray
        assert isinstance(array.base, np.memmap)
        assert isinstance(array.base._mmap, mmap.mmap)  # type: ignore[attr-defined]
    assert lists(loaded.take(range(len(rows)))) == rows


@pytest.mark.parametrize(
    ("ids", "offsets"),
    [
        (np.zeros(2, np.int64), np.array([0, 2])),
        (np.zeros((2, 1), np.int32), np.array([0, 2])),
        (np.zeros(2, np.int32), np.array([0, 2], np.int32)),
        (np.zeros(2, np.int32), np.array([], np.int64)),
        (np.zeros(2, np.int32), np.array([0, 1])),
        (np.zeros(2, np.int32), np.array([1, 2])),
        (np.zeros(2, np.int32), np.array([0, 3, 1, 2])),
    ],
)
def test_arrays_that_do_not_match_are_refused(
    ids: Int32,
    offsets: Int64,
) -> None:
    with pytest.raises(ValueError, match=r"ids|offsets"):
        RaggedTokens(ids, offsets)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    ragged([[1]]).save(tmp_path / "train")
    (tmp_path / "train.offsets.npy").unlink()
    with pytest.raises(UserError, match=r"train\.offsets\.npy is missing: run the stage"):
        RaggedTokens.load(tmp_path / "train")


@pytest.mark.parametrize("kept", [0, 5, 60, 130])
def test_a_truncated_file_is_named(tmp_path: Path, kept: int) -> None:
    ragged([[1, 2, 3]]).save(tmp_path / "train")
    path = tmp_path / "train.ids.npy"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"train\.ids\.npy cannot be read as an array"):
        RaggedTokens.load(tmp_path / "train")


def test_a_file_of_another_type_is_named(tmp_path: Path) -> None:
    ragged([[1]]).save(tmp_path / "train")
    np.save(tmp_path / "train.ids.npy", np.zeros(1))
    with pytest.raises(UserError, match=r"ids\.npy holds float64 of shape \(1,\), expected int32"):
        RaggedTokens.load(tmp_path / "train")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    ragged([[1]]).save(tmp_path / "train")
    np.save(tmp_path / "train.ids.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"ids\.npy cannot be read"):
        RaggedTokens.load(tmp_path / "train")


def test_files_of_different_corpora_are_refused(tmp_path: Path) -> None:
    ragged([[1, 2]]).save(tmp_path / "train")
    np.save(tmp_path / "train.ids.npy", np.zeros(5, np.int32))
    with pytest.raises(UserError, match=r"train\.ids\.npy does not match its offsets"):
        RaggedTokens.load(tmp_path / "train")


def test_a_cut_is_the_rows_before_and_after() -> None:
    rows = RaggedTokens(np.arange(6, dtype=np.int32), np.array([0, 2, 2, 5, 6]))
    for place in range(5):
        before, after = rows.cut(place)
        for found, expected in ((before, range(place)), (after, range(place, 4))):
            assert found.ids.tolist() == rows.take(list(expected)).ids.tolist()
            assert found.offsets.tolist() == rows.take(list(expected)).offsets.tolist()
        assert before.ids.base is not None  # no copy
    assert len(RaggedTokens.empty()) == 0


@given(st.lists(rows_of_ids, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_rows_of_several_sources_behave_as_one(
    sources: list[list[list[int]]], data: st.DataObject
) -> None:
    """Against the rows joined in a list, with rows chosen twice and ids renamed or dropped."""
    joined = list(chain(*sources))
    view = RaggedView.over([ragged(rows) for rows in sources])
    assert lists(view.whole()) == joined
    places = st.integers(-len(joined), len(joined) - 1) if joined else st.nothing()
    for _ in range(2):  # a view of all rows, then a view of that view
        picked = data.draw(st.lists(places))
        view, joined = view.view(picked), [joined[place] for place in picked]
        places = st.integers(-len(joined), len(joined) - 1) if joined else st.nothing()
    for _ in range(2):
        new_ids = [0, *data.draw(st.lists(st.integers(0, 9), min_size=9, max_size=9))]
        view = view.remap(np.array(new_ids, np.int32))
        joined = [[new_ids[i] for i in row if new_ids[i]] for row in joined]
        places = st.integers(-len(joined), len(joined) - 1) if joined else st.nothing()
        picked = data.draw(st.lists(places))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ragged_module, "_ROWS_AT_ONCE", 3)
            assert lists(view.take(picked)) == [joined[place] for place in picked]
            assert [row for block in view.blocks() for row in lists(block)] == joined
            assert lists(view.whole()) == joined
            assert len(view) == len(joined)
            assert view.lengths.tolist() == [len(row) for row in joined]
            assert view.counts(10).tolist() == [list(chain(*joined)).count(i) for i in range(10)]
            assert view.rows_with(10).tolist() == [
                sum(i in row for row in joined) for i in range(10)
            ]


def test_a_view_has_no_row_beyond_its_own() -> None:
    view = ragged([[1], [2], [3]]).view([0, 1])
    with pytest.raises(IndexError):
        view.take([2])
    assert lists(ragged([[1, 2], [], [3]]).view([2, 0]).whole()) == [[3], [1, 2]]


def test_all_rows_of_a_mapped_file_are_no_copy(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ragged([[1, 2], [3], [], [4]]).save(tmp_path / name)
    one, two = (RaggedTokens.load(tmp_path / name) for name in ("one", "two"))
    view = RaggedView.over([one, two])
    assert np.shares_memory(view.view([4, 5, 6, 7]).whole().ids, two.ids)
    assert np.shares_memory(view.view([5, 6]).whole().ids, two.ids)
    assert lists(view.view([5, 6]).whole()) == [[3], []]
    for rows in ([5, 4], [3, 4], [5, 5], [4, 6], [4, 6, 5, 7]):
        assert not np.shares_memory(view.view(rows).whole().ids, two.ids)


@pytest.mark.parametrize("rows", [[], [[]], [[1], [2, 3], []]])
def test_blocks_of_rows_are_all_rows_in_their_order(
    rows: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragged_module, "_ROWS_AT_ONCE", 2)
    blocks = list(ragged(rows).blocks())
    assert [len(block) for block in blocks] == [2, 1][: len(rows)] if len(rows) != 1 else [1]
    assert [row for block in blocks for row in lists(block)] == rows


def resident(path: Path) -> int:
    """How many KiB of a mapped file are in the memory of this process."""
    found, of_file = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:  # the range of a mapping
            of_file = line.endswith(str(path))
        elif of_file and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc/self/smaps here")
def test_a_view_gives_the_pages_of_a_mapped_file_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 9, 1 << 18, dtype=np.int32)
    RaggedTokens(ids, np.arange(0, len(ids) + 1, 8)).save(tmp_path / "train")
    loaded = RaggedTokens.load(tmp_path / "train")
    path = tmp_path / "train.ids.npy"
    np.testing.assert_array_equal(loaded.take(range(len(loaded))).ids, ids)
    assert resident(path) >= 1024
    view = RaggedView.over([loaded])
    np.testing.assert_array_equal(view.take(range(len(loaded))).ids, ids)
    assert resident(path) == 0
    np.testing.assert_array_equal(loaded.ids, ids)  # read again

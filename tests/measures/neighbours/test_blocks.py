from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.measures.neighbours import slowly
from textmetric.errors import UserError
from textmetric.measures import knn_predict, nearest_neighbours
from textmetric.measures.neighbours import blocks, search
from textmetric.measures.neighbours.blocks import Blocks
from textmetric.measures.neighbours.keys import exact_rows, order


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read few rows as if they were many."""
    for name, value in (
        ("_ROWS", 100), ("_EXACT", 30), ("_TILE", 40), ("_QUERIES", 7), ("_SAMPLED", 5),
        ("_LEAST_SAMPLE", 64), ("_GROUP_BYTES", 50_000), ("_YIELDED_BYTES", 4000),
    ):  # fmt: skip
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(search, "_HELD_ROWS", 0)
    monkeypatch.setattr(search, "_SCREENED_PAIRS", 0)
    monkeypatch.setattr(search, "_ASKED_ROWS", 13)


def rows_of(kind: str, rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return {
        "normal": random.normal(size=(rows, 8)).astype(np.float32),
        "ties": slowly.signs(seed, rows),
        "collapsed": slowly.collapsed(seed, rows, 8, 1e-6),
        "points": slowly.collapsed(seed, rows, 8, 1e-6, points=5),
        "zero": np.zeros((rows, 8), dtype=np.float32),
    }[kind]


EXACT = ("normal", "ties", "zero")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(31, 450),
    kind=st.sampled_from(["normal", "ties", "collapsed", "points", "zero"]),
    threads=st.sampled_from([1, 3]),
)
def test_neighbours_by_blocks_equal_those_of_a_sort(
    small: None, seed: int, rows: int, kind: str, threads: int
) -> None:
    embeddings, itself = rows_of(kind, rows, seed), np.arange(30)
    depths = np.sort(np.random.default_rng(seed).integers(1, rows, 30))
    apart = slowly.distances(embeddings[:30], embeddings)
    apart[itself, itself] = np.inf
    asked = exact_rows(embeddings[:30])
    seen = np.zeros(30, dtype=int)
    for some, ids in Blocks(embeddings, threads).ranked(asked, depths, itself):
        seen[some] += 1
        for query, of_query in zip(some, ids, strict=True):
            assert len(of_query) >= depths[query]
            assert of_query.max() < rows
            found = of_query[: depths[query]]
            expected = np.argsort(apart[query], kind="stable")[: len(found)]
            if kind in EXACT:
                np.testing.assert_array_equal(found, expected)
            else:  # 1 - cos of rows this close has some seven digits, so almost equal ones may swap
                assert len(set(found)) == len(found)
                near = apart[query, found]
                np.testing.assert_allclose(near, apart[query, expected], rtol=1e-5, atol=1e-17)
    assert (seen == 1).all()


def test_a_threshold_of_the_sample_that_is_too_high_is_noticed(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings = rows_of("normal", 400, 0)
    expected = slowly.nearest(embeddings, embeddings[:20], 30)
    monkeypatch.setattr(blocks, "rank", lambda *_: 1)
    np.testing.assert_array_equal(nearest_neighbours(embeddings, embeddings[:20], 30), expected)


def test_most_rows_are_ruled_out_before_their_exact_distances(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, kept = rows_of("normal", 4000, 0), []
    collect = blocks.collect

    def counted(*arguments: object) -> None:
        before = arguments[8].sum()  # type: ignore[attr-defined]
        collect(*arguments)  # type: ignore[arg-type]
        kept.append(arguments[8].sum() - before)  # type: ignore[attr-defined]

    monkeypatch.setattr(blocks, "collect", counted)
    nearest_neighbours(embeddings, embeddings[:20], 3)
    assert 20 * 3 <= sum(kept) < 20 * 4000 / 4


def test_a_mapped_file_of_many_rows_gives_the_same_neighbours(small: None, tmp_path: Path) -> None:
    embeddings = rows_of("normal", 300, 1)
    np.save(tmp_path / "rows.npy", embeddings)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = slowly.nearest(embeddings, embeddings[::3], 4)
    np.testing.assert_array_equal(nearest_neighbours(mapped, mapped[::3], 4), expected)
    labels = np.random.default_rng(0).integers(0, 3, 300)
    votes = labels[expected]
    winners = [max(dict.fromkeys(row), key=list(row).count) for row in votes.tolist()]
    assert knn_predict(mapped, labels, mapped[::3], 4).tolist() == winners


def test_a_broken_row_is_named_by_its_number_among_all(small: None) -> None:
    embeddings = rows_of("normal", 300, 1)
    embeddings[217, 3] = np.nan
    with pytest.raises(UserError, match="row 217 of the embeddings holds NaN"):
        nearest_neighbours(embeddings, embeddings[:5], 4)


@pytest.mark.parametrize("distinct", [2, 50, 3000])
def test_order_is_that_of_a_stable_sort_where_many_distances_are_almost_equal(
    distinct: int,
) -> None:
    random = np.random.default_rng(0)
    close = 0.5 + random.integers(0, distinct, (2, 3000)) * 2.0**-47
    # order rounds to 47 bits
    rounded = ((close.view(np.int64) + 32) & -64).view(np.float64)
    expected = np.argsort(rounded, axis=1, kind="stable")
    np.testing.assert_array_equal(order(close.copy(), 3000), expected)

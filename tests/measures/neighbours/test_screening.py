from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from tests.measures.neighbours import slowly
from textmetric.measures import retrieval
from textmetric.measures.neighbours import screening, search
from textmetric.measures.neighbours.keys import all_distances, exact_rows
from textmetric.measures.neighbours.screening import Screening


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screen few rows as if they were many."""
    monkeypatch.setattr(screening, "_SAMPLE", 64)
    monkeypatch.setattr(screening, "_ALL", 100)
    monkeypatch.setattr(screening, "_TILE", 100)
    monkeypatch.setattr(search, "_SCREENED_PAIRS", 0)
    monkeypatch.setattr(search, "_THREADED_PAIRS", 10**9)


def clusters(rows: int, classes: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    embeddings = random.normal(size=(classes, 8))[labels] + random.normal(size=(rows, 8))
    return embeddings.astype(np.float32), labels


def collect(similarities: np.ndarray, least: np.ndarray, first: int, space: int) -> list[list[int]]:
    """Call ``collect`` on queries of which each has found one row per number of its id."""
    rows = exact_rows(np.ones((first + similarities.shape[1], 2)))
    queries = len(similarities)
    ids, distances = np.zeros((queries, space + 16), dtype=np.int32), np.empty((queries, space))
    counts = np.arange(queries)
    left_out = np.full(queries, -1)
    screening.collect(
        similarities.astype(np.float32), least.astype(np.float32), first,
        rows[:queries], rows, left_out, ids, distances, counts,
    )  # fmt: skip
    return [
        row[done:count].tolist() for done, (row, count) in enumerate(zip(ids, counts, strict=True))
    ]


def test_columns_that_reach_the_threshold_are_collected() -> None:
    similarities = np.random.default_rng(0).normal(size=(5, 201)).astype(np.float32)
    least = np.array([3, 1, 0, -9, 1.5], dtype=np.float32)
    expected = [
        (1000 + np.flatnonzero(row >= enough)).tolist()
        for row, enough in zip(similarities, least, strict=True)
    ]
    assert collect(similarities, least, 1000, 210) == expected


def test_a_row_without_space_does_not_overwrite_others() -> None:
    similarities = np.array([[0.0] * 300, [1.0] * 300, [0.0] * 200 + [1.0] * 5 + [0.0] * 95])
    found = collect(similarities, np.full(3, 0.5), 0, 10)
    assert found[0] == []
    assert len(found[1]) > 10
    assert found[2] == [200, 201, 202, 203, 204]


@pytest.mark.parametrize("spread", [1.0, 1e-6])
def test_collected_distances_equal_those_of_all_rows(spread: float) -> None:
    rows = exact_rows(slowly.collapsed(0, 90, 33, spread))
    ids, distances = np.zeros((90, 106), dtype=np.int32), np.empty((90, 90))
    similarities, least = np.zeros((90, 90), dtype=np.float32), np.zeros(90, dtype=np.float32)
    screening.collect(
        similarities, least, 0, rows, rows, np.arange(90), ids, distances, np.zeros(90, int)
    )
    expected = all_distances(rows, rows)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_array_equal(distances, expected)


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(31, 400),
    k=st.integers(1, 20),
    kind=st.sampled_from(["clusters", "ties", "collapsed", "points"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_proven_neighbours_equal_those_of_a_sort(
    small: None, seed: int, rows: int, k: int, kind: str
) -> None:
    embeddings = {
        "clusters": clusters(rows, seed=seed)[0],
        "ties": slowly.signs(seed, rows),
        "collapsed": slowly.collapsed(seed, rows, 8, 1e-6),
        "points": slowly.collapsed(seed, rows, 8, 1e-6, points=5),
    }[kind]
    reference, itself = exact_rows(embeddings), np.arange(30)
    expected = slowly.nearest(embeddings, embeddings[:30], k + 1, itself)[:, :k]
    tried = Screening(reference)
    ids, right = tried.nearest(reference[:30], itself, k)
    np.testing.assert_array_equal(ids[right], expected[right])
    ids, right = tried.nearest(reference[:30], itself, k, all_rows=True)
    np.testing.assert_array_equal(ids, expected)
    assert right.all()
    if kind == "clusters" and rows > 20 * k:
        assert tried.nearest(reference[:30], itself, k)[1].mean() > 0.9  # or it saves nothing


@pytest.mark.parametrize(
    "embeddings", [clusters(700)[0], slowly.signs(1, 700)], ids=["clusters", "ties"]
)
def test_screening_does_not_change_the_measures(
    embeddings: np.ndarray, request: pytest.FixtureRequest
) -> None:
    labels = clusters(700)[1]
    whole = retrieval(embeddings, labels, ks=(1, 5))
    request.getfixturevalue("small")
    screened = retrieval(embeddings, labels, ks=(1, 5))
    for k in (1, 5):
        np.testing.assert_array_equal(screened.recall[k], whole.recall[k])
    np.testing.assert_array_equal(screened.r_precision, whole.r_precision)
    np.testing.assert_allclose(screened.map_at_r, whole.map_at_r, atol=1e-15)


def test_blocks_run_in_threads_without_changing_the_result(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, labels = clusters(900)
    monkeypatch.setattr(search, "_SCREENED_QUERIES", 16)
    expected = retrieval(embeddings, labels)
    monkeypatch.setattr(search, "_THREADED_PAIRS", 0)
    monkeypatch.setattr(search, "_threads", lambda: 3)
    used: set[int] = set()
    ranked = search._Search.ranked

    def watched(self: search._Search, part: slice) -> np.ndarray:
        used.add(threading.get_ident())
        return ranked(self, part)

    monkeypatch.setattr(search._Search, "ranked", watched)
    found = retrieval(embeddings, labels)
    np.testing.assert_array_equal(found.map_at_r, expected.map_at_r)
    assert threading.get_ident() not in used
    assert len(used) > 1


def test_the_number_of_threads_is_that_of_matrix_products() -> None:
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert search._threads() == threads


def test_measuring_few_rows_does_not_import_numba() -> None:
    code = (
        "import sys, numpy as np\n"
        "from textmetric.measures import evaluate\n"
        "rows = np.random.default_rng(0).normal(size=(700, 4))\n"
        "evaluate(rows, np.arange(700) % 7, classes=7)\n"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_many_rows_take_bounded_memory_and_threads_do_not_change_the_result() -> None:
    code = (
        "import resource, numpy as np\n"
        "from textmetric.measures import evaluate\n"
        "random = np.random.default_rng(0)\n"
        "labels = random.integers(0, 99, 24_000)\n"
        "rows = random.normal(size=(99, 8))[labels] + random.normal(size=(24_000, 8))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = evaluate(rows.astype('f4'), labels, classes=99, scarce=[1])\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert peak < 400 * 1024, peak  # KiB; a matrix of all pairs has 4.6 GB\n"
        "print(repr(found))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(printed) == 1
    assert "map_at_r" in printed.pop()

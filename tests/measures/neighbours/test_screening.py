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

from textmetric.measures import nearest_neighbours, retrieval
from textmetric.measures.neighbours import screening, search
from textmetric.measures.neighbours.keys import on_grid
from textmetric.measures.neighbours.screening import Screening, _collect, _exact_keys

SAMPLE = 64


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screen few rows as if they were many."""
    monkeypatch.setattr(screening, "SAMPLE", SAMPLE)
    monkeypatch.setattr(screening, "_LARGEST_SHARE", 0.5)
    monkeypatch.setattr(search, "_SCREENED_ROWS", SAMPLE)
    monkeypatch.setattr(search, "_THREADED_PAIRS", 10**9)


def signs(seed: int, rows: int, width: int = 4) -> np.ndarray:
    """Corners of a cube at several lengths, and zero vectors: ties everywhere."""
    random = np.random.default_rng(seed)
    corners = random.choice([-1.0, 1.0], size=(rows, width))
    return (corners * random.choice([0, 1, 2, 5], size=(rows, 1))).astype(np.float32)


def clusters(rows: int, classes: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    embeddings = random.normal(size=(classes, 8))[labels] + random.normal(size=(rows, 8))
    return embeddings.astype(np.float32), labels


def slow_nearest(rows: np.ndarray, queries: np.ndarray, left_out: np.ndarray, k: int) -> np.ndarray:
    """By integers, which need no rounding, at the precision of the keys."""
    whole, asked = (np.rint(some * 2**26).astype(np.int64) for some in (rows, queries))
    bits = (len(rows) - 1).bit_length()
    similarities = np.rint((asked @ whole.T) / 2**bits)
    similarities[np.arange(len(asked)), left_out] = -np.inf
    return np.array([np.lexsort((np.arange(len(rows)), -row))[:k] for row in similarities])


def test_columns_that_reach_the_threshold_are_collected() -> None:
    random = np.random.default_rng(0)
    similarities = random.normal(size=(5, 200)).astype(np.float32)
    least = np.array([3, 1, 0, -9, 1.5], dtype=np.float32)
    ids, counts = np.zeros((5, 260 + 64), dtype=np.int32), np.arange(5)
    _collect(similarities, least, 1000, ids, counts)
    for row in range(5):
        expected = 1000 + np.flatnonzero(similarities[row] >= least[row])
        assert ids[row, row : counts[row]].tolist() == expected.tolist()


def test_a_row_without_space_does_not_overwrite_others() -> None:
    ids, counts = np.zeros((3, 10 + 64), dtype=np.int32), np.zeros(3, dtype=np.int64)
    similarities = np.array([[0.0] * 300, [1.0] * 300, [0.0] * 200 + [1.0] * 5 + [0.0] * 95])
    _collect(similarities.astype(np.float32), np.full(3, 0.5, dtype=np.float32), 0, ids, counts)
    assert counts[0] == 0
    assert counts[1] > 10
    assert ids[2, : counts[2]].tolist() == [200, 201, 202, 203, 204]


def test_exact_keys_equal_a_plain_loop() -> None:
    rows = on_grid(clusters(50)[0])
    fractions, scale = np.arange(50) / 64, 2.0**46
    ids = np.array([[3, 7, 9], [0, 1, 49]], dtype=np.int32)
    keys = np.empty((2, 4))
    _exact_keys(rows, rows[:2], ids, np.array([2, 3]), np.array([7, -1]), scale, fractions, keys)
    expected = np.full((2, 4), np.inf)
    for row, columns in ((0, [0]), (1, [0, 1, 2])):
        for column in columns:
            other = ids[row, column]
            expected[row, column] = np.rint(-scale * rows[row] @ rows[other]) + fractions[other]
    np.testing.assert_array_equal(keys, expected)


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(SAMPLE, 400),
    k=st.integers(1, 20),
    kind=st.sampled_from(["clusters", "ties", "collapsed"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_proven_neighbours_equal_those_of_a_sort(
    small: None, seed: int, rows: int, k: int, kind: str
) -> None:
    embeddings = clusters(rows, seed=seed)[0] if kind != "ties" else signs(seed, rows)
    if kind == "collapsed":
        embeddings = 1 + 1e-7 * embeddings.astype(np.float64)
    reference, itself = on_grid(embeddings), np.arange(30)
    tried = Screening(reference)
    if tried.space(k) == 0:
        return
    ids, right = tried.nearest(reference[:30], itself, k)
    expected = slow_nearest(reference, reference[:30], itself, k)
    np.testing.assert_array_equal(ids[right], expected[right])
    if kind == "clusters" and rows > 20 * k:
        assert right.mean() > 0.9  # otherwise screening saves nothing


@pytest.mark.parametrize("embeddings", [clusters(700)[0], signs(1, 700)], ids=["clusters", "ties"])
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


def test_screening_is_not_used_for_a_large_share_of_the_rows(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    nearest = Screening.nearest

    def counted(self: Screening, queries: np.ndarray, left_out: np.ndarray, depth: int) -> object:
        asked.append(depth)
        return nearest(self, queries, left_out, depth)

    monkeypatch.setattr(Screening, "nearest", counted)
    rows = clusters(700)[0]
    for k in (20, 400):
        nearest_neighbours(rows, rows[:9], k)
    assert set(asked) == {20}


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
        "rows = np.random.default_rng(0).normal(size=(3000, 4))\n"
        "evaluate(rows, np.arange(3000) % 7, classes=7)\n"
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

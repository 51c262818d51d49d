from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from tests.measures.neighbours import slowly
from textmetric.errors import UserError
from textmetric.measures import Retrieval, retrieval
from textmetric.measures.neighbours import search


def slow_retrieval(embeddings: np.ndarray, labels: np.ndarray, ks: list[int]) -> Retrieval:
    rows = len(labels)
    apart = slowly.distances(embeddings, embeddings)
    recall: dict[int, list[float]] = {k: [] for k in ks}
    r_precision: list[float] = []
    map_at_r: list[float] = []
    for query in range(rows):
        others = sorted((i for i in range(rows) if i != query), key=lambda i: (apart[query, i], i))
        related = [bool(labels[i] == labels[query]) for i in others]
        total = sum(related)
        if total == 0:
            for k in ks:
                recall[k].append(np.nan)
            r_precision.append(np.nan)
            map_at_r.append(np.nan)
            continue
        for k in ks:
            recall[k].append(float(any(related[:k])))
        r_precision.append(sum(related[:total]) / total)
        map_at_r.append(
            sum(sum(related[: i + 1]) / (i + 1) for i in range(total) if related[i]) / total
        )
    return Retrieval(
        {k: np.array(values) for k, values in recall.items()},
        np.array(r_precision),
        np.array(map_at_r),
    )


def assert_same(found: Retrieval, expected: Retrieval) -> None:
    assert found.recall.keys() == expected.recall.keys()
    for k, values in expected.recall.items():
        np.testing.assert_array_equal(found.recall[k], values, err_msg=f"recall at {k}")
    np.testing.assert_allclose(found.r_precision, expected.r_precision, atol=1e-12)
    np.testing.assert_allclose(found.map_at_r, expected.map_at_r, atol=1e-12)


def clusters(seed: int, rows: int, classes: int, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows).astype(np.int32)
    centres = random.normal(size=(classes, width))
    embeddings = centres[labels] + random.normal(size=(rows, width))
    return embeddings.astype(np.float32), labels


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 8))
def test_retrieval_equals_a_loop_over_sorted_rows(seed: int, rows: int, classes: int) -> None:
    assert_same(
        retrieval(*clusters(seed, rows, classes), ks=[1, 3, 100]),
        slow_retrieval(*clusters(seed, rows, classes), ks=[1, 3, 100]),
    )


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 8))
def test_ties_and_zero_vectors_are_ordered_by_row_id(seed: int, rows: int, classes: int) -> None:
    embeddings = slowly.signs(seed, rows)
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    assert_same(
        retrieval(embeddings, labels, ks=[1, 3, 100]),
        slow_retrieval(embeddings, labels, ks=[1, 3, 100]),
    )


@pytest.mark.parametrize("rows", [120, 800])
@pytest.mark.parametrize("spread", [1e-3, 3e-5, 1e-6, 1e-7])
def test_a_collapsed_model_is_measured_exactly(rows: int, spread: float) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, rows)
    noise = random.normal(size=(4, 16))[labels] + random.normal(size=(rows, 16))
    embeddings = (random.normal(size=16) + spread * noise).astype(np.float32)
    found = retrieval(embeddings, labels, ks=[1])
    assert_same(found, slow_retrieval(embeddings, labels, ks=[1]))
    assert 0.3 < found.means()["map_at_r"] < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_retrieval_agrees_with_pytorch_metric_learning(seed: int) -> None:
    # Its precision_at_1 is our Recall@1; it has no Recall@k. As here, it leaves the query out by id
    # and skips the only row of a class. It uses Euclidean distance (the same order on unit rows) in
    # float32, with ties in the order of faiss.
    embeddings, labels = clusters(seed, 300, 12)
    labels[:1] = 12  # a class of one row
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    oracle = AccuracyCalculator(include=names, k="max_bin_count").get_accuracy(embeddings, labels)
    found = retrieval(embeddings, labels).means()
    assert found["recall_at_1"] == pytest.approx(oracle["precision_at_1"], abs=1e-6)
    assert found["r_precision"] == pytest.approx(oracle["r_precision"], abs=1e-6)
    assert found["map_at_r"] == pytest.approx(oracle["mean_average_precision_at_r"], abs=1e-6)


def test_order_rotation_and_scale_of_the_rows_do_not_matter() -> None:
    embeddings, labels = clusters(1, 200, 5)
    random = np.random.default_rng(1)
    before = retrieval(embeddings, labels)
    order = random.permutation(len(labels))
    after = retrieval(embeddings[order], labels[order])
    np.testing.assert_allclose(after.map_at_r, before.map_at_r[order], atol=1e-12)
    np.testing.assert_array_equal(after.recall[10], before.recall[10][order])
    rotation = np.linalg.qr(random.normal(size=(8, 8)))[0]
    assert_same(retrieval(embeddings @ rotation, labels), before)
    assert_same(retrieval(embeddings * random.uniform(0.1, 10, (200, 1)), labels), before)


def test_numbering_of_the_classes_does_not_matter() -> None:
    embeddings, labels = clusters(2, 100, 4)
    renamed = np.array([7, 0, 3, 5])[labels]
    assert_same(retrieval(embeddings, renamed), retrieval(embeddings, labels))


def test_blocks_of_one_query_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = clusters(3, 120, 6)
    whole = retrieval(embeddings, labels)
    monkeypatch.setattr(search, "_BLOCK_BYTES", 1)
    assert_same(retrieval(embeddings, labels), whole)


def test_a_duplicate_of_the_query_is_a_neighbour_and_the_query_is_not() -> None:
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Row 1 finds row 0 (class 1) first because equal rows are ordered by id, then row 2.
    found = retrieval(embeddings, np.array([1, 0, 0, 1]), ks=[1, 2])
    assert found.recall[1].tolist() == [0, 0, 0, 1]
    assert found.recall[2].tolist() == [0, 1, 1, 1]


def test_equal_rows_are_equal_at_every_position() -> None:
    # In a plain float product the last bit depends on the row's position in the matrix.
    random = np.random.default_rng(0)
    embeddings = np.tile(random.normal(size=(1, 33)), (1003, 1)).astype(np.float32)
    labels = np.array([0, 1] + [2] * 1001)
    found = retrieval(embeddings, labels, ks=[1, 2, 3])
    # Every row of class 2 finds rows 0 and 1 before its own class.
    assert found.means()["recall_at_1"] == 0
    assert found.means()["recall_at_2"] == 0
    assert found.means()["recall_at_3"] == 1


def test_a_single_class_has_perfect_retrieval() -> None:
    embeddings, _ = clusters(0, 30, 1)
    means = retrieval(embeddings, np.zeros(30, dtype=np.int32)).means()
    assert set(means.values()) == {1.0}


def test_the_only_row_of_a_class_does_not_count_but_is_a_neighbour() -> None:
    embeddings = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    found = retrieval(embeddings, np.array([0, 1, 0]), ks=[1])
    np.testing.assert_array_equal(found.recall[1], [0, np.nan, 0])
    np.testing.assert_array_equal(found.map_at_r, [0, np.nan, 0])
    assert found.means() == {"recall_at_1": 0, "r_precision": 0, "map_at_r": 0}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_without_a_pair_all_values_are_nan(rows: int) -> None:
    found = retrieval(np.ones((rows, 2)), np.arange(rows))
    assert found.map_at_r.shape == (rows,)
    assert np.isnan(found.map_at_r).all()
    assert np.isnan(list(found.means().values())).all()


@pytest.mark.parametrize("ks", [[], [0, 1], [-1]])
def test_ks_must_be_whole_numbers_from_one(ks: list[int]) -> None:
    with pytest.raises(UserError, match="ks is"):
        retrieval(np.eye(2), np.array([0, 0]), ks=ks)


def test_memory_is_bounded_by_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = clusters(0, 3000, 10)
    monkeypatch.setattr(search, "_BLOCK_BYTES", 2**20)
    tracemalloc.start()
    retrieval(embeddings, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 8 / 8  # an eighth of an n × n matrix of float64


THREADS = """
import hashlib, numpy as np
from textmetric.measures import evaluate, knn_predict
random = np.random.default_rng(0)
labels = random.integers(0, 5, 2001).astype(np.int32)
embeddings = (random.normal(size=(2001, 33)) + labels[:, None]).astype(np.float32)
embeddings[::3] = embeddings[0]
knn = knn_predict(embeddings, labels, embeddings)
result = evaluate(embeddings, labels, classes=5, scarce=[1, 2], predictions={"knn": knn})
print(hashlib.sha256(repr(result).encode()).hexdigest())
"""


def test_the_number_of_threads_does_not_change_the_result() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", THREADS],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for threads in ("1", "2", "3")
    }
    assert len(printed) == 1
    assert len(printed.pop()) == hashlib.sha256().digest_size * 2

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from tests.measures.neighbours import slowly
from textmetric.errors import UserError
from textmetric.measures import (
    centroid_predict,
    class_centroids,
    knn_predict,
    nearest_neighbours,
    unit,
)
from textmetric.measures.neighbours import search


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 10), st.data())
def test_neighbours_equal_those_of_a_sort_with_ties_by_id(
    seed: int, rows: int, asked: int, data: st.DataObject
) -> None:
    reference, queries = slowly.signs(seed, rows), slowly.signs(seed + 1, asked)
    k = data.draw(st.integers(1, rows))
    assert (
        nearest_neighbours(reference, queries, k).tolist()
        == slowly.nearest(reference, queries, k).tolist()
    )


@pytest.mark.parametrize("rows", [300, 11_000])
def test_hundreds_of_ties_are_ordered_by_id(rows: int) -> None:
    reference, queries = slowly.signs(3, rows), slowly.signs(4, 60)
    for k in (10, 200):
        np.testing.assert_array_equal(
            nearest_neighbours(reference, queries, k), slowly.nearest(reference, queries, k)
        )


@pytest.mark.parametrize("rows", [300, 11_000])
def test_neighbours_are_those_of_scikit_learn(rows: int) -> None:
    random = np.random.default_rng(0)
    reference, queries = random.normal(size=(rows, 16)), random.normal(size=(60, 16))
    oracle = NearestNeighbors(metric="cosine", algorithm="brute").fit(reference)
    for k in (1, 10, 200):
        expected = oracle.kneighbors(queries, k, return_distance=False)
        np.testing.assert_array_equal(nearest_neighbours(reference, queries, k), expected)


@pytest.mark.parametrize("points", [1, 5])
@pytest.mark.parametrize(
    ("width", "spread"), [(1, 1e-6), (2, 1e-4), (2, 1e-6), (64, 1e-4), (64, 1e-6), (64, 1e-7)]
)
def test_a_collapsed_model_is_ordered_exactly(points: int, width: int, spread: float) -> None:
    # At a spread of 1e-7 the smallest 1 − cos are 1e-14, as float32 rows can be close.
    embeddings = slowly.collapsed(0, 1500, width, spread, points)
    for rows in (embeddings[:200], embeddings):
        np.testing.assert_array_equal(
            nearest_neighbours(rows, rows[:400], 150), slowly.nearest(rows, rows[:400], 150)
        )


def test_the_block_size_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, queries = slowly.signs(5, 1200), slowly.signs(6, 500)
    few, many = (
        nearest_neighbours(reference, queries, 5),
        nearest_neighbours(reference, queries, 60),
    )
    monkeypatch.setattr(search, "_BLOCK_BYTES", 1)
    np.testing.assert_array_equal(nearest_neighbours(reference, queries, 5), few)
    np.testing.assert_array_equal(nearest_neighbours(reference, queries, 60), many)


def test_a_zero_vector_has_the_first_rows_as_neighbours() -> None:
    for rows in (20, 2000):
        reference = np.random.default_rng(0).normal(size=(rows, 4))
        assert nearest_neighbours(reference, np.zeros((1, 4)), 3).tolist() == [[0, 1, 2]]


def test_equal_rows_are_ordered_by_id() -> None:
    for rows in (20, 2000):
        reference = np.full((rows, 4), 0.1, dtype=np.float32)
        assert nearest_neighbours(reference, reference[:2], 3).tolist() == [[0, 1, 2]] * 2


def test_no_queries_give_empty_results() -> None:
    assert nearest_neighbours(np.eye(3), np.zeros((0, 3)), 2).shape == (0, 2)
    assert nearest_neighbours(np.ones((2000, 3)), np.zeros((0, 3)), 2).shape == (0, 2)
    assert knn_predict(np.eye(3), np.arange(3), np.zeros((0, 3))).tolist() == []


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range_is_an_error(k: int) -> None:
    with pytest.raises(UserError, match=f"k is {k}, expected 1 to 3"):
        nearest_neighbours(np.eye(3), np.eye(3), k)


def test_widths_that_differ_are_an_error() -> None:
    with pytest.raises(UserError, match="queries have width 2, expected 3"):
        nearest_neighbours(np.eye(3), np.eye(2), 1)


def slow_vote(labels: list[int]) -> int:
    votes = Counter(labels)
    return next(label for label in labels if votes[label] == max(votes.values()))


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 12))
def test_knn_predicts_the_majority_and_of_ties_the_nearest(seed: int, rows: int, k: int) -> None:
    reference, queries = slowly.signs(seed, rows), slowly.signs(seed + 1, 8)
    labels = np.random.default_rng(seed).integers(0, 4, rows).astype(np.int32)
    ids = slowly.nearest(reference, queries, min(k, rows))
    expected = [slow_vote([int(labels[i]) for i in row]) for row in ids]
    found = knn_predict(reference, labels, queries, k)
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_knn_equals_scikit_learn() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 1500)
    reference = random.normal(size=(1500, 8)) + random.normal(size=(3, 8))[labels]
    queries = random.normal(size=(200, 8))
    oracle = KNeighborsClassifier(1, metric="cosine").fit(reference, labels)
    np.testing.assert_array_equal(
        knn_predict(reference, labels, queries, 1), oracle.predict(queries)
    )


def test_knn_without_train_rows_is_an_error() -> None:
    with pytest.raises(UserError, match="reference has no rows"):
        knn_predict(np.zeros((0, 2)), np.zeros(0, dtype=np.int32), np.eye(2))


def test_the_nearest_centroid_of_a_present_class_is_predicted() -> None:
    random = np.random.default_rng(2)
    labels = random.choice([0, 2, 3], size=80)
    reference = random.normal(size=(80, 4)) + 2 * random.normal(size=(4, 4))[labels]
    queries = np.vstack([random.normal(size=(50, 4)), np.zeros((1, 4))])
    centroids = class_centroids(reference, labels, 4)
    expected = []
    for query in unit(queries):
        best, best_class = -2.0, -1
        for class_id in (0, 2, 3):
            cosine = query @ centroids[class_id] / np.linalg.norm(centroids[class_id])
            if cosine > best:
                best, best_class = cosine, class_id
        expected.append(best_class)
    found = centroid_predict(centroids, queries)
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_centroids_that_are_all_nan_are_an_error() -> None:
    with pytest.raises(UserError, match="all centroids are NaN"):
        centroid_predict(np.full((2, 3), np.nan), np.eye(3))

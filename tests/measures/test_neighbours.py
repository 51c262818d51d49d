from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from textmetric.errors import UserError
from textmetric.measures import (
    centroid_predict,
    class_centroids,
    knn_predict,
    nearest_neighbours,
    neighbours,
    unit,
)


def slow_neighbours(reference: np.ndarray, queries: np.ndarray, k: int) -> list[list[int]]:
    # Small whole numbers: cosines are equal, or differ by far more than nine digits.
    cosines = cosine_similarity(queries, reference).round(9)
    return [sorted(range(len(reference)), key=lambda i: (-row[i], i))[:k] for row in cosines]


def whole_numbers(seed: int, rows: int, width: int = 3) -> np.ndarray:
    """Rows with many duplicates, equal directions and zero vectors."""
    return np.random.default_rng(seed).integers(-2, 3, size=(rows, width)).astype(np.float32)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 10), st.data())
def test_neighbours_are_those_of_a_sort_with_ties_by_id(
    seed: int, rows: int, asked: int, data: st.DataObject
) -> None:
    reference, queries = whole_numbers(seed, rows), whole_numbers(seed + 1, asked)
    k = data.draw(st.integers(1, rows))
    assert nearest_neighbours(reference, queries, k).tolist() == slow_neighbours(
        reference, queries, k
    )


def test_faiss_finds_the_same_as_the_sort() -> None:
    random = np.random.default_rng(0)
    reference, queries = random.normal(size=(1500, 16)), random.normal(size=(40, 16))
    expected = np.argsort(-cosine_similarity(queries, reference), axis=1)[:, :10]
    np.testing.assert_array_equal(nearest_neighbours(reference, queries, 10), expected)
    np.testing.assert_array_equal(nearest_neighbours(reference, queries, 200)[:, :10], expected)


def test_ties_by_the_hundred_come_in_order_of_id_whatever_faiss_proposes() -> None:
    reference, queries = whole_numbers(3, 3000), whole_numbers(4, 60)
    assert nearest_neighbours(reference, queries, 10).tolist() == slow_neighbours(
        reference, queries, 10
    )


def test_differences_too_small_for_float32_are_told_apart() -> None:
    # Faiss alone cannot order these: the angles differ by 1e-6, the cosines by 1e-12 to 1e-6.
    angles = np.random.default_rng(0).permutation(2000) * 1e-6
    reference = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query = np.array([[0.0, 1.0]])  # the largest angle is the nearest
    found = nearest_neighbours(reference, query, 10)[0]
    assert found.tolist() == np.argsort(-angles)[:10].tolist()


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, queries = whole_numbers(5, 1200), whole_numbers(6, 50)
    few, many = (
        nearest_neighbours(reference, queries, 5),
        nearest_neighbours(reference, queries, 60),
    )
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 1)
    np.testing.assert_array_equal(nearest_neighbours(reference, queries, 5), few)
    np.testing.assert_array_equal(nearest_neighbours(reference, queries, 60), many)


def test_a_zero_vector_has_the_first_rows_as_neighbours() -> None:
    for rows in (20, 2000):
        reference = np.random.default_rng(0).normal(size=(rows, 4))
        assert nearest_neighbours(reference, np.zeros((1, 4)), 3).tolist() == [[0, 1, 2]]


def test_all_rows_equal() -> None:
    for rows in (20, 2000):
        reference = np.full((rows, 4), 0.1, dtype=np.float32)
        assert nearest_neighbours(reference, reference[:2], 3).tolist() == [[0, 1, 2]] * 2


def test_no_queries_find_nothing() -> None:
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
def test_the_majority_wins_and_among_equals_the_nearest(seed: int, rows: int, k: int) -> None:
    reference, queries = whole_numbers(seed, rows), whole_numbers(seed + 1, 8)
    labels = np.random.default_rng(seed).integers(0, 4, rows).astype(np.int32)
    ids = slow_neighbours(reference, queries, min(k, rows))
    expected = [slow_vote([int(labels[i]) for i in row]) for row in ids]
    found = knn_predict(reference, labels, queries, k)
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_knn_is_that_of_scikit_learn() -> None:
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


def test_the_nearest_centroid_is_chosen_and_never_an_absent_class() -> None:
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


def test_centroids_on_the_sphere_agree_with_scikit_learn() -> None:
    # On unit centroids Euclidean distance and cosine order alike.
    random = np.random.default_rng(3)
    centroids, queries = unit(random.normal(size=(5, 4))), unit(random.normal(size=(60, 4)))
    oracle = NearestCentroid().fit(np.vstack([centroids] * 2), np.tile(np.arange(5), 2))
    np.testing.assert_array_equal(centroid_predict(centroids, queries), oracle.predict(queries))


def test_no_centroid_at_all_is_an_error() -> None:
    with pytest.raises(UserError, match="every class centroid is NaN"):
        centroid_predict(np.full((2, 3), np.nan), np.eye(3))

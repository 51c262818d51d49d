from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import class_centroids, retrieval
from textmetric.measures.distances import (
    all_distances,
    centroid_distances,
    check_distance,
    pair_distances,
    placed,
)

BOTH: list[Literal["cosine", "euclidean"]] = ["cosine", "euclidean"]


def slow_distance(one: np.ndarray, other: np.ndarray, distance: str) -> float:
    if distance == "euclidean":
        return float(np.linalg.norm(one - other))
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1.0 - (float(one @ other) / norms if norms else 0.0)


@pytest.mark.parametrize("distance", BOTH)
def test_distances_are_those_of_the_definition(
    distance: Literal["cosine", "euclidean"],
) -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.normal(size=(7, 4)), rng.normal(size=(5, 4))
    rows[2] = 0  # the cosine distance of a zero row is 1 to all
    others[3] = 0
    rows[0, 1] = others[0, 2] = others[1, 0] = 0  # rows that are not zero
    expected = np.array([[slow_distance(a, b, distance) for b in others] for a in rows])
    found = all_distances(placed(rows, distance), placed(others, distance), distance)
    assert found == pytest.approx(expected, abs=1e-12)
    pairs = pair_distances(placed(rows[:5], distance), placed(others, distance), distance)
    assert pairs == pytest.approx(np.diag(expected[:5]), abs=1e-12)
    assert centroid_distances(others, rows, distance) == pytest.approx(expected, abs=1e-12)


def test_rows_that_nearly_meet_are_told_apart() -> None:
    rows = placed(np.array([[1.0, 0.0], [1.0, 1e-9]]), "cosine")
    assert all_distances(rows, rows, "cosine")[0, 1] == pytest.approx(5e-19, rel=1e-6)
    assert pair_distances(rows[:1], rows[1:], "cosine")[0] == pytest.approx(5e-19, rel=1e-6)
    assert all_distances(rows, rows, "cosine")[1, 1] == 0


def test_an_absent_class_is_infinitely_far() -> None:
    embeddings = np.array([[1.0, 0.0], [0.0, 4.0], [0.0, 2.0]])
    centroids = class_centroids(embeddings, np.array([0, 2, 2]), 3, "euclidean")
    assert centroids[2].tolist() == [0.0, 3.0]
    found = centroid_distances(centroids, embeddings, "euclidean")
    assert found.tolist() == [
        [0.0, np.inf, pytest.approx(10**0.5)],
        [pytest.approx(17**0.5), np.inf, 1.0],
        [pytest.approx(5**0.5), np.inf, 1.0],
    ]
    assert np.isnan(centroids[1]).all()


def test_euclidean_centroids_check_the_labels() -> None:
    with pytest.raises(UserError, match="has the label 3"):
        class_centroids(np.eye(2), np.array([0, 3]), 3, "euclidean")


@pytest.mark.parametrize("call", [check_distance, lambda word: placed(np.eye(2), word)])
def test_another_distance_is_an_error(call: object) -> None:
    with pytest.raises(UserError, match="did you mean 'euclidean'"):
        call("euclidian")  # type: ignore[operator]
    with pytest.raises(UserError, match="unknown distance"):
        retrieval(np.eye(2), np.array([0, 0]), distance="manhattan")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [40, 800])  # 800 rows are screened first
def test_euclidean_retrieval_is_that_of_brute_force(size: int) -> None:
    rng = np.random.default_rng(size)
    labels = rng.integers(0, 4, size=size)
    embeddings = (rng.normal(size=(size, 3)) + 5) * rng.uniform(0.1, 9, size=(size, 1))
    found = retrieval(embeddings, labels, ks=[1, 5], distance="euclidean")
    for query in range(0, size, 13):
        far = np.linalg.norm(embeddings - embeddings[query], axis=1)
        far[query] = np.inf
        nearest = np.argsort(far)
        related = labels[nearest] == labels[query]
        total = int(related[:-1].sum())
        hits = [related[: i + 1].mean() for i in range(total) if related[i]]
        assert found.map_at_r[query] == pytest.approx(sum(hits) / total)
        assert found.recall[5][query] == related[:5].any()
    by_angle = retrieval(embeddings, labels, ks=[1, 5])
    assert not np.allclose(found.map_at_r, by_angle.map_at_r)


def test_of_unit_rows_both_distances_find_the_same() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, size=60)
    embeddings = placed(rng.normal(size=(60, 5)), "cosine")
    one, other = (retrieval(embeddings, labels, distance=distance) for distance in BOTH)
    assert np.array_equal(one.map_at_r, other.map_at_r)


def test_moving_and_scaling_a_space_changes_no_euclidean_neighbour() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, size=50)
    embeddings = rng.normal(size=(50, 4))
    moved = retrieval(embeddings * 1e-8 + 3, labels, distance="euclidean")
    assert np.array_equal(
        moved.map_at_r, retrieval(embeddings, labels, distance="euclidean").map_at_r
    )


def test_equal_rows_tie_in_the_order_of_the_rows() -> None:
    labels = np.repeat([0, 1], 5)
    for embeddings in (np.ones((10, 3)), np.zeros((10, 3))):
        found = retrieval(embeddings, labels, distance="euclidean").map_at_r
        assert np.array_equal(found, retrieval(embeddings, labels).map_at_r)
    empty = retrieval(np.zeros((0, 3)), np.zeros(0, dtype=int), distance="euclidean")
    assert len(empty.map_at_r) == 0

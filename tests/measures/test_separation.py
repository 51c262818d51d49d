from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from textmetric.measures import between_class_cosine, centroid_cosines, class_centroids


def example() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    labels = random.choice([0, 1, 3, 4], size=60)  # class 2 is absent
    centres = random.normal(size=(5, 4))
    return (centres[labels] + random.normal(size=(60, 4))).astype(np.float32), labels


def test_centroids_are_means_of_unit_rows() -> None:
    embeddings, labels = example()
    found = class_centroids(embeddings, labels, 5)
    for class_id in (0, 1, 3, 4):
        rows = [row / np.linalg.norm(row) for row in embeddings[labels == class_id].astype(float)]
        np.testing.assert_allclose(found[class_id], sum(rows) / len(rows), atol=1e-12)
    assert np.isnan(found[2]).all()


def test_cosines_equal_scikit_learn_and_are_nan_for_absent_classes() -> None:
    embeddings, labels = example()
    centroids = class_centroids(embeddings, labels, 5)
    cosines = centroid_cosines(centroids)
    present = [0, 1, 3, 4]
    np.testing.assert_allclose(
        cosines[np.ix_(present, present)], cosine_similarity(centroids[present]), atol=1e-12
    )
    assert np.isnan(cosines[2]).all()
    assert np.isnan(cosines[:, 2]).all()
    assert np.isnan(centroids).sum() == 4  # the argument is not changed


def test_a_zero_centroid_has_cosine_zero() -> None:
    opposite = class_centroids(
        np.array([[1.0, 2.0], [-1.0, -2.0], [1.0, 0.0]]), np.array([0, 0, 1]), 2
    )
    assert centroid_cosines(opposite)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(None, None), ([0, 3], None), ([0, 3], [1, 4]), ([0, 2], [1, 3, 4]), ([0, 1], [1, 3])],
)
def test_the_mean_equals_a_loop_over_pairs_of_different_classes(
    rows: list[int] | None, columns: list[int] | None
) -> None:
    cosines = centroid_cosines(class_centroids(*example(), 5))
    one = range(5) if rows is None else rows
    other = one if columns is None else columns
    pairs = [cosines[a, b] for a in one for b in other if a != b and 2 not in (a, b)]
    assert between_class_cosine(cosines, rows, columns) == pytest.approx(sum(pairs) / len(pairs))


def test_a_class_that_is_named_twice_counts_once() -> None:
    cosines = centroid_cosines(class_centroids(*example(), 5))
    once = between_class_cosine(cosines, [0, 3], [1, 4])
    assert between_class_cosine(cosines, [3, 0, 0], [1, 4]) == once
    assert between_class_cosine(cosines, [0, 3], [4, 1, 4]) == once


def test_without_a_pair_of_present_classes_the_mean_is_nan() -> None:
    cosines = centroid_cosines(class_centroids(*example(), 5))
    assert np.isnan(between_class_cosine(cosines, [1]))
    assert np.isnan(between_class_cosine(cosines, [1, 2]))
    assert np.isnan(between_class_cosine(cosines, [], [0, 1]))
    assert np.isnan(between_class_cosine(np.ones((1, 1))))
    assert np.isnan(between_class_cosine(np.ones((0, 0))))


def test_orthogonal_classes_have_cosine_zero_and_collapsed_ones_one() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    apart = class_centroids(np.vstack([np.eye(3)] * 2), labels, 3)
    assert between_class_cosine(centroid_cosines(apart)) == 0
    together = class_centroids(np.full((6, 3), 0.3), labels, 3)
    assert between_class_cosine(centroid_cosines(together)) == pytest.approx(1)


def test_rounding_never_leaves_the_range() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 7))
    cosines = centroid_cosines(np.concatenate([rows, 3 * rows, -rows]))
    assert cosines.max() == 1
    assert cosines.min() == -1

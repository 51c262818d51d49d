from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from textmetric.errors import UserError
from textmetric.measures import (
    class_centroids,
    confused_classes,
    confusion_counts,
)


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, size=200)
    labels[labels == 3] = 2  # class 3 has no row
    centres = rng.normal(size=(6, 3))
    embeddings = centres[labels] + 0.7 * rng.normal(size=(200, 3))
    return embeddings, labels, class_centroids(embeddings, labels, 6)


def test_counts_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, size=(2, 60))
    found = confusion_counts(predicted.astype(np.uint8), labels.astype(np.uint8), 5)
    assert np.array_equal(found, confusion_matrix(labels, predicted, labels=range(5)))


def test_pairs_are_those_of_the_plain_loop() -> None:
    embeddings, labels, centroids = example()
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    nearest = [int(np.nanargmax(unit @ row)) for row in embeddings]
    expected = []
    for one in range(6):
        for other in range(one + 1, 6):
            if 3 in (one, other):
                continue
            swapped = sum(
                (label, guess) in ((one, other), (other, one))
                for label, guess in zip(labels.tolist(), nearest, strict=True)
            )
            rows = sum(label in (one, other) for label in labels.tolist())
            far = 1 - float(unit[one] @ unit[other])
            expected.append(
                (one, other, pytest.approx(far), swapped, pytest.approx(swapped / rows))
            )
    by_count = sorted(expected, key=lambda pair: (-pair[3], float(pair[2].expected)))  # type: ignore[attr-defined,operator]
    found = confused_classes(embeddings, labels, centroids, top=99)
    assert found == [pair for pair in by_count if pair[3]]
    assert len(found) < len(expected)  # pairs that are never confused are left out
    assert confused_classes(embeddings, labels, centroids, top=2) == found[:2]
    by_distance = sorted(expected, key=lambda pair: float(pair[2].expected))  # type: ignore[attr-defined]
    assert confused_classes(embeddings, labels, centroids, top=99, by="distance") == by_distance


def test_predictions_may_be_given() -> None:
    embeddings, labels, centroids = example()
    assert confused_classes(embeddings, labels, centroids, predicted=labels) == []
    predicted = np.where(labels == 1, 5, labels)
    (only,) = confused_classes(embeddings, labels, centroids, predicted=predicted)
    ones = int((labels == 1).sum())
    assert only[:2] == (1, 5)
    assert only.confused == ones
    assert only.share == ones / (ones + (labels == 5).sum())


def test_the_euclidean_distance_is_that_of_the_centroids() -> None:
    embeddings, labels, _ = example()
    centroids = class_centroids(embeddings, labels, 6, "euclidean")
    found = confused_classes(embeddings, labels, centroids, by="distance", distance="euclidean")
    for pair in found:
        far = np.linalg.norm(centroids[pair.first] - centroids[pair.second])
        assert pair.distance == pytest.approx(far)
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)


def test_classes_without_test_rows_have_no_share() -> None:
    pairs = confused_classes(np.empty((0, 2)), np.empty(0, dtype=int), np.eye(2), by="distance")
    assert pairs[0].confused == 0
    assert np.isnan(pairs[0].share)
    assert confused_classes(np.eye(2), np.array([0, 0]), np.eye(2)[:1]) == []


def test_bad_arguments_are_errors() -> None:
    embeddings, labels, centroids = example()
    with pytest.raises(UserError, match="unknown order 'size'"):
        confused_classes(embeddings, labels, centroids, by="size")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="all centroids are NaN"):
        confused_classes(embeddings, labels, np.full((6, 3), np.nan))
    with pytest.raises(UserError, match="has the label 5, expected a class id from 0 below 5"):
        confused_classes(embeddings, labels, centroids[:5])
    with pytest.raises(UserError, match=r"labels have shape \(200,\), expected \(3,\)"):
        confusion_counts(labels, labels[:3], 6)

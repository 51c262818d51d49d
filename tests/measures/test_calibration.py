from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from textmetric.errors import UserError
from textmetric.measures import (
    brier_score,
    centroid_distances,
    centroid_probabilities,
    class_centroids,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    softmax,
)


def example(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four classes, and labels that are drawn from twice as sharp probabilities."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, 4))
    chances = softmax(logits, 0.5)
    labels = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return logits, labels


def test_the_error_is_that_of_the_plain_loop() -> None:
    logits, labels = example(100)
    probabilities = softmax(logits)
    order = sorted(range(100), key=lambda row: max(probabilities[row]))
    total = 0.0
    for bin_ in range(7):  # rank r is in bin ⌊7 r / 100⌋
        rows = [order[rank] for rank in range(100) if rank * 7 // 100 == bin_]
        confidence = sum(max(probabilities[row]) for row in rows) / len(rows)
        right = [int(probabilities[row].argmax() == labels[row]) for row in rows]
        total += len(rows) / 100 * abs(sum(right) / len(rows) - confidence)
    assert expected_calibration_error(probabilities, labels, bins=7) == pytest.approx(total)
    found = reliability(probabilities, labels, bins=7)
    assert found.rows.tolist() == [15, 14, 14, 15, 14, 14, 14]
    assert (np.diff(found.confidence) > 0).all()


def test_rows_of_equal_confidence_are_in_one_bin_in_any_order() -> None:
    probabilities = np.array([[0.9, 0.1]] * 6 + [[0.6, 0.4]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    found = reliability(probabilities, labels, bins=4)
    assert found.rows.tolist() == [2, 6]
    assert found.accuracy.tolist() == [1.0, 0.5]
    backwards = reliability(probabilities[::-1], labels[::-1], bins=4)
    assert found.error == backwards.error == pytest.approx((2 * 0.4 + 6 * 0.4) / 8)


def test_probabilities_that_are_right_as_often_as_they_say_have_a_small_error() -> None:
    logits, labels = example(4000)
    assert expected_calibration_error(softmax(logits, 0.5), labels) < 0.03
    assert expected_calibration_error(softmax(logits, 2.0), labels) > 0.15


def test_brier_score_and_likelihood_are_those_of_scikit_learn() -> None:
    logits, labels = example()
    probabilities = softmax(logits)
    expected = np.mean(
        [
            sum((p - (c == label)) ** 2 for c, p in enumerate(row))
            for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
        ]
    )
    assert brier_score(probabilities, labels) == pytest.approx(expected)
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(
        log_loss(labels, probabilities)
    )
    two, sides = softmax(logits[:, :2]), (labels > 1).astype(int)
    assert brier_score(two, sides) == pytest.approx(2 * brier_score_loss(sides, two[:, 1]))


def test_a_right_class_of_probability_0_has_an_infinite_loss() -> None:
    assert negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1])) == math.inf
    assert negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([0])) == 0
    assert brier_score(np.array([[1.0, 0.0]]), np.array([1])) == 2


def test_without_rows_all_is_nan() -> None:
    none, labels = np.empty((0, 3)), np.empty(0, dtype=np.int64)
    for measure in (expected_calibration_error, brier_score, negative_log_likelihood):
        assert math.isnan(measure(none, labels))
    assert fit_temperature(none, labels) == 1


def test_softmax_is_stable_and_gives_impossible_classes_nothing() -> None:
    found = softmax(np.array([[1e5, 1e5 - 1, -np.inf]]), 0.5)
    assert found[0] == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2)), 0])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_temperature_has_the_least_loss(scale: float) -> None:
    logits, labels = example()
    found = fit_temperature(logits * scale, labels)

    def loss(temperature: float) -> float:
        found = softmax(logits * scale, temperature)
        of_all = np.mean([negative_log_likelihood(found, np.full(300, c)) for c in range(4)])
        return float(300 * negative_log_likelihood(found, labels) + of_all)

    best = minimize_scalar(lambda share: loss(share * scale), bounds=(0.1, 3), method="bounded")
    assert found == pytest.approx(best.x * scale, rel=1e-3)
    assert found == pytest.approx(0.5 * scale, rel=0.25)  # of which the labels were drawn
    assert loss(found) <= min(loss(found * 0.99), loss(found * 1.01))


def test_scores_that_are_always_right_are_not_certain() -> None:
    scores = np.tile([[3.0, 0.0], [0.0, 3.0]], (5, 1))
    found = softmax(scores, fit_temperature(scores, np.tile([0, 1], 5)))
    # ten rows and one that is half right: 10.5 of 11
    assert found.max(axis=1) == pytest.approx([10.5 / 11] * 10)


def test_scores_that_say_nothing_have_the_largest_temperature_or_none() -> None:
    scores = np.array([[3.0, 0.0], [0.0, 3.0]])
    assert fit_temperature(scores, np.array([1, 0])) == pytest.approx(3e4)
    assert fit_temperature(np.ones((2, 2)), np.array([0, 1])) == 1


def test_a_class_that_cannot_be_does_not_change_the_temperature() -> None:
    logits, labels = example()
    wider = np.hstack([logits, np.full((len(logits), 1), -np.inf)])
    assert fit_temperature(wider, labels) == pytest.approx(fit_temperature(logits, labels))
    with pytest.raises(UserError, match="row 2 has the label 4, whose score is −infinity"):
        fit_temperature(wider, np.where(np.arange(len(labels)) == 2, 4, labels))


def test_probabilities_by_centroid() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, size=90)
    embeddings = np.eye(3)[labels] + 0.5 * rng.normal(size=(90, 3))
    centroids = class_centroids(embeddings, labels, 4)  # the last has no row
    temperature = fit_temperature(-centroid_distances(centroids, embeddings), labels)
    found = centroid_probabilities(centroids, embeddings, temperature)
    cosines = [
        [float(u @ c / np.linalg.norm(u) / np.linalg.norm(c)) for c in centroids[:3]]
        for u in embeddings
    ]
    powers = np.exp(np.array(cosines) / temperature)  # 1 − cos and −cos differ by a constant
    assert found[:, :3] == pytest.approx(powers / powers.sum(axis=1, keepdims=True))
    assert (found[:, 3] == 0).all()
    euclidean = centroid_probabilities(centroids, embeddings, temperature, "euclidean")
    assert not np.allclose(found, euclidean)


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(UserError, match="row 1 of the probabilities"):
        brier_score(np.array([[0.5, 0.5], [0.5, 0.6]]), np.array([0, 1]))
    for row in ([1.5, -0.5], [0.5, 0.4]):
        with pytest.raises(UserError, match="row 0 of the probabilities"):
            brier_score(np.array([row]), np.array([0]))
    with pytest.raises(UserError, match="has the label 2"):
        fit_temperature(np.zeros((2, 3))[:, :2], np.array([0, 2]))
    with pytest.raises(UserError, match="row 1 of the scores"):
        fit_temperature(np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([0, 1]))
    with pytest.raises(UserError, match="row 0 of the probabilities"):
        brier_score(np.array([[np.nan, 0.5]]), np.array([0]))
    with pytest.raises(UserError, match=r"probabilities have shape \(2,\)"):
        reliability(np.array([0.5, 0.5]), np.array([0, 1]))
    with pytest.raises(UserError, match="has the label 2"):
        negative_log_likelihood(np.array([[0.5, 0.5]]), np.array([2]))
    with pytest.raises(UserError, match="bins is 0"):
        reliability(np.array([[0.5, 0.5]]), np.array([1]), bins=0)
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="the temperature is"):
            softmax(np.zeros((1, 2)), temperature)
    for score in (math.nan, math.inf):
        with pytest.raises(UserError, match="row 1 of the scores"):
            softmax(np.array([[0.0, 0.0], [0.0, score]]))
    with pytest.raises(UserError, match="row 0 of the scores"):
        softmax(np.full((1, 2), -np.inf))

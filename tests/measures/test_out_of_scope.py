from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from textmetric.measures import (
    distance_score,
    energy_score,
    out_of_scope_auc,
    probability_score,
    softmax,
)


def test_scores_are_those_of_the_definitions() -> None:
    rng = np.random.default_rng(0)
    logits = 30 * rng.normal(size=(20, 5))
    assert energy_score(logits) == pytest.approx(-logsumexp(logits, axis=1))
    assert energy_score(logits, 4) == pytest.approx(-4 * logsumexp(logits / 4, axis=1))
    probabilities = softmax(logits)
    assert probability_score(probabilities) == pytest.approx(
        [1 - max(row) for row in probabilities.tolist()]
    )
    embeddings, centroids = rng.normal(size=(20, 3)), rng.normal(size=(4, 3))
    centroids[2] = np.nan
    found = distance_score(centroids, embeddings, "euclidean")
    for row, score in zip(embeddings, found, strict=True):
        assert score == pytest.approx(
            min(np.linalg.norm(row - centroids[place]) for place in (0, 1, 3))
        )
    assert not np.allclose(found, distance_score(centroids, embeddings))


def test_the_energy_sees_small_logits_and_the_probability_does_not() -> None:
    logits = np.array([[5.0, 1.0], [4.0, 0.0]])
    energy, probability = energy_score(logits), probability_score(softmax(logits))
    assert energy[1] == pytest.approx(energy[0] + 1)
    assert probability[1] == pytest.approx(probability[0])


def test_the_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    foreign = rng.random(50) < 0.3
    scores = np.round(rng.normal(size=50) + foreign, 1)
    assert out_of_scope_auc(scores, foreign) == pytest.approx(roc_auc_score(foreign, scores))


def test_a_text_without_a_known_token_is_out_of_scope_whatever_its_score() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.0, 0.15, 0.9])
    foreign = np.array([False, False, False, True, True, True])
    without = np.array([False, False, False, True, False, False])
    assert out_of_scope_auc(scores, foreign) == pytest.approx(4 / 9)
    assert out_of_scope_auc(scores, foreign, without) == pytest.approx(7 / 9)
    # one in scope is refused too, and then ties with those out of scope
    without[0] = True
    expected = roc_auc_score(foreign, [9.0, 0.2, 0.3, 9.0, 0.15, 0.9])
    assert out_of_scope_auc(scores, foreign, without) == pytest.approx(expected)
    assert scores[3] == 0  # the caller's array is as it was


def test_texts_of_one_kind_have_no_auc() -> None:
    assert np.isnan(out_of_scope_auc(np.arange(3.0), np.zeros(3, dtype=bool)))

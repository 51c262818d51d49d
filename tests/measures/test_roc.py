from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from textmetric.errors import UserError
from textmetric.measures import equal_error_rate, roc_auc, roc_curve, threshold_at


def example(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    scores = np.round(rng.normal(size=60) + positive, 1)  # with ties
    return scores, positive, rng.uniform(0.1, 3, size=60)


def errors_at(
    threshold: float, scores: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Share of the negatives that are accepted, and of the positives that are rejected."""
    accepted = scores >= threshold
    wrong = weights[~positive & accepted].sum() / weights[~positive].sum()
    return float(wrong), float(weights[positive & ~accepted].sum() / weights[positive].sum())


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    scores, positive, weights = example(seed)
    won = total = 0.0
    for p in np.flatnonzero(positive):
        for n in np.flatnonzero(~positive):
            weight = weights[p] * weights[n]
            won += weight * (float(scores[p] > scores[n]) + float(scores[p] == scores[n]) / 2)
            total += weight
    assert roc_auc(scores, positive, weights) == pytest.approx(won / total)
    assert roc_auc(scores, positive, weights) == pytest.approx(
        roc_auc_score(positive, scores, sample_weight=weights)
    )
    assert roc_auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert roc_auc(-scores, positive) == pytest.approx(1 - roc_auc(scores, positive))


@pytest.mark.parametrize("seed", range(5))
def test_the_equal_error_rate_is_where_the_lines_between_thresholds_cross(seed: int) -> None:
    scores, positive, weights = example(seed)
    thresholds = [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    points = [errors_at(threshold, scores, positive, weights) for threshold in thresholds]
    # Walk along the polygon of (false accepts, false rejects) in small steps.
    nearest = min(
        (abs(accepts - rejects), accepts)
        for (a, b), (c, d) in pairwise(points)
        for share in np.linspace(0, 1, 2001)
        for accepts, rejects in [(a + share * (c - a), b + share * (d - b))]
    )
    assert equal_error_rate(scores, positive, weights) == pytest.approx(nearest[1], abs=1e-3)


def test_the_equal_error_rate_of_known_scores() -> None:
    positive = np.array([True] * 4 + [False] * 4)
    assert equal_error_rate(np.array([8, 7, 6, 1, 5, 4, 3, 2]), positive) == 0.25
    assert equal_error_rate(np.array([8, 7, 6, 5, 4, 3, 2, 1]), positive) == 0
    assert equal_error_rate(np.array([1, 2, 3, 4, 5, 6, 7, 8]), positive) == 1
    # between the thresholds 5 (0 accepted, 1/2 rejected) and 3 (all accepted, none rejected)
    few = np.array([True, True, False])
    assert equal_error_rate(np.array([5.0, 3.0, 3.0]), few) == pytest.approx(1 / 3)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.35, 1.0])
def test_the_threshold_is_the_lowest_that_keeps_the_rate(rate: float) -> None:
    scores, positive, weights = example(3)
    found = threshold_at(scores, positive, rate, weights)
    allowed = [
        threshold
        for threshold in set(scores.tolist())
        if errors_at(threshold, scores, positive, weights)[0] <= rate + 1e-12
    ]
    assert found == min(allowed, default=np.inf)


def test_a_threshold_that_no_score_allows_accepts_nothing() -> None:
    scores, positive = np.array([1.0, 1.0, 0.0]), np.array([True, False, False])
    assert threshold_at(scores, positive, 0.4) == np.inf
    assert threshold_at(scores, positive, 0.5) == 1.0


def test_the_curve_runs_from_nothing_to_all() -> None:
    curve = roc_curve(np.array([2.0, 1.0, 1.0]), np.array([True, True, False]))
    assert curve is not None
    assert curve.thresholds.tolist() == [np.inf, 2.0, 1.0]
    assert curve.false_accepts.tolist() == [0.0, 0.0, 1.0]
    assert curve.true_accepts.tolist() == [0.0, 0.5, 1.0]


def test_equal_scores_say_nothing() -> None:
    scores, positive = np.ones(5), np.arange(5) < 2
    assert roc_auc(scores, positive) == 0.5
    assert equal_error_rate(scores, positive) == 0.5


@pytest.mark.parametrize("positive", [np.ones(3, bool), np.zeros(3, bool), np.zeros(0, bool)])
def test_without_both_kinds_all_is_nan(positive: np.ndarray) -> None:
    scores = np.arange(len(positive), dtype=float)
    assert np.isnan(roc_auc(scores, positive))
    assert np.isnan(equal_error_rate(scores, positive))
    assert np.isnan(threshold_at(scores, positive, 0.1))


def test_infinite_scores_are_the_largest() -> None:
    assert roc_auc(np.array([np.inf, 5.0, -np.inf]), np.array([True, False, False])) == 1


def test_bad_scores_are_errors() -> None:
    with pytest.raises(UserError, match="score 1 is NaN"):
        roc_auc(np.array([0.0, np.nan]), np.array([True, False]))
    with pytest.raises(UserError, match=r"scores have shape \(2,\), positive \(1,\)"):
        roc_auc(np.array([0.0, 1.0]), np.array([True]))
    with pytest.raises(UserError, match=r"false_accepts is 1\.5"):
        threshold_at(np.array([0.0, 1.0]), np.array([True, False]), 1.5)

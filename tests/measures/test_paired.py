from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from textmetric.errors import UserError
from textmetric.measures import Outcome, Paired, holm, mean_interval, outcomes, paired_difference


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_p_and_interval_equal_those_of_scipy(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    first, second = random.normal(0.7, 0.1, seeds), random.normal(0.65, 0.1, seeds)
    found, theirs = paired_difference(first, second), ttest_rel(first, second)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (found.mean, found.low, found.high) == mean_interval(first - second)
    assert found.effect == pytest.approx(theirs.statistic / math.sqrt(seeds), rel=1e-9)


def test_values_are_paired_by_position() -> None:
    first, second = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.41, 0.8])
    order = [2, 0, 1]
    assert paired_difference(first[order], second[order]).p == pytest.approx(
        paired_difference(first, second).p
    )
    assert paired_difference(first, second).p < 0.01 < paired_difference(first, second[order]).p


def test_equal_differences_have_p_zero_or_one() -> None:
    better = paired_difference([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
    assert (better.p, better.effect) == (0.0, math.inf)
    assert paired_difference([0.2, 0.3], [0.3, 0.4]).effect == -math.inf
    same = paired_difference([0.3, 0.4], [0.3, 0.4])
    assert (same.mean, same.p, same.effect) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan]])
def test_too_few_values_have_an_unknown_outcome(values: list[float]) -> None:
    found = paired_difference(values, [0.1] * len(values))
    assert math.isnan(found.p)
    assert outcomes([found], [True])[0][0] == Outcome.UNKNOWN


def test_series_of_different_lengths_are_an_error() -> None:
    with pytest.raises(UserError, match="2 values cannot be paired with 3"):
        paired_difference([1, 2], [1, 2, 3])


def test_holm_equals_the_closure_of_bonferroni() -> None:
    """A hypothesis is rejected if Bonferroni rejects every intersection that contains it."""
    values = np.random.default_rng(0).random(7) ** 3
    everything = range(len(values))
    slow = [
        max(
            min(1.0, size * min(values[place] for place in group))
            for size in range(1, len(values) + 1)
            for group in itertools.combinations(everything, size)
            if one in group
        )
        for one in everything
    ]
    np.testing.assert_allclose(holm(values), slow, rtol=1e-12)


def test_holm_does_not_count_nan() -> None:
    assert holm([]).tolist() == []
    found = holm([0.01, math.nan, 0.02])
    np.testing.assert_allclose(found[[0, 2]], [0.02, 0.02])
    assert np.isnan(found[1])


def test_many_comparisons_need_a_smaller_p() -> None:
    weak = Paired(mean=0.1, low=0.01, high=0.19, effect=1.5, p=0.03)
    assert outcomes([weak], [True])[0][0] == Outcome.FIRST
    assert outcomes([weak, weak], [True, True])[0][0] == Outcome.NO_DIFFERENCE


def test_the_better_side_depends_on_whether_large_is_good() -> None:
    clear = Paired(mean=-0.1, low=-0.11, high=-0.09, effect=-9, p=1e-6)
    assert [outcome for outcome, _ in outcomes([clear, clear], [True, False])] == [
        Outcome.SECOND,
        Outcome.FIRST,
    ]

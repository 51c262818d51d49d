from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from textmetric.errors import UserError
from textmetric.measures import (
    Outcome,
    Paired,
    mean_interval,
    paired_difference,
    simultaneous_differences,
)


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_p_and_interval_equal_those_of_scipy(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    first, second = random.normal(0.7, 0.1, seeds), random.normal(0.65, 0.1, seeds)
    found, theirs = paired_difference(first, second), ttest_rel(first, second)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (found.mean, found.low, found.high) == pytest.approx(mean_interval(first - second))
    assert found.effect == pytest.approx(theirs.statistic / math.sqrt(seeds), rel=1e-9)


def test_values_are_paired_by_position() -> None:
    first, second = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.41, 0.8])
    order = [2, 0, 1]
    assert paired_difference(first[order], second[order]).p == pytest.approx(
        paired_difference(first, second).p
    )
    assert paired_difference(first, second).p < 0.01 < paired_difference(first, second[order]).p


def test_equal_differences_have_no_test_without_a_grain() -> None:
    better = paired_difference([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
    assert math.isnan(better.p)
    assert math.isnan(better.low)
    assert better.outcome(large_is_good=True) is Outcome.UNKNOWN
    same = paired_difference([0.3, 0.4, 0.5], [0.3, 0.4, 0.5])
    assert (same.mean, same.p, same.effect) == (0.0, 1.0, 0.0)


def test_the_spread_is_at_least_that_of_rounded_values() -> None:
    # the difference of two values that were rounded to multiples of g has the variance g² / 6
    random = np.random.default_rng(0)
    exact = random.random((100_000, 2))
    rounded = np.round(exact / 0.05) * 0.05
    floor = np.std((rounded - exact) @ [1, -1])
    found = paired_difference([0.35, 0.4, 0.5], [0.3, 0.35, 0.45], grain=0.05)
    assert found.effect == pytest.approx(0.05 / floor, rel=0.01)
    # a spread that is larger stays as it is
    wide = [0.7, 0.8, 0.9], [0.6, 0.6, 0.6]
    assert paired_difference(*wide, grain=0.05) == paired_difference(*wide)


@pytest.mark.parametrize("seeds", [3, 5])
def test_coarse_measures_without_a_difference_rarely_have_a_verdict(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    draws = 3000
    first, second = random.binomial(20, 0.8, (2, draws, seeds)) / 20
    alarms = [
        paired_difference(one, other, grain=1 / 20).p < 0.05
        for one, other in zip(first, second, strict=True)
    ]
    assert np.mean(alarms) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5, 0.6, math.nan]])
def test_fewer_than_three_values_have_an_unknown_outcome(values: list[float]) -> None:
    found = paired_difference(values, [0.1] * len(values), grain=0.1)
    assert math.isnan(found.p)
    assert math.isnan(found.low)
    assert found.outcome(large_is_good=True) is Outcome.UNKNOWN


def test_series_of_different_lengths_are_an_error() -> None:
    with pytest.raises(UserError, match="2 values cannot be paired with 3"):
        paired_difference([1, 2], [1, 2, 3])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_outside_zero_and_one_is_an_error(level: float) -> None:
    with pytest.raises(UserError, match=f"level is {level}"):
        paired_difference([1, 2, 3], [1, 2, 3], level=level)


def family(members: int, seeds: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(members)
    return [
        (random.normal(shift, 0.1, seeds), random.normal(0, 0.1, seeds))
        for shift in np.linspace(0, 0.3, members)
    ]


def test_a_family_has_the_p_of_bonferroni_and_its_intervals() -> None:
    pairs = family(7)
    for found, (first, second) in zip(simultaneous_differences(pairs), pairs, strict=True):
        theirs = ttest_rel(first, second)
        assert found.p == pytest.approx(min(1.0, 7 * theirs.pvalue))
        interval = theirs.confidence_interval(1 - 0.05 / 7)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_an_interval_excludes_zero_exactly_where_a_side_is_better() -> None:
    outcomes = []
    for members in range(1, 40):
        for found in simultaneous_differences(family(members, seeds=4)):
            outcomes.append(found.outcome(large_is_good=True))
            excludes = found.low > 0 or found.high < 0
            assert excludes == (outcomes[-1] in (Outcome.FIRST, Outcome.SECOND))
    assert {Outcome.FIRST, Outcome.NO_DIFFERENCE} <= set(outcomes)


def test_all_intervals_of_a_family_cover_at_once() -> None:
    random = np.random.default_rng(0)
    families = 600
    covered = 0
    for _ in range(families):
        pairs = [(random.normal(0.1, 1, 5), random.normal(0, 1, 5)) for _ in range(10)]
        covered += all(one.low < 0.1 < one.high for one in simultaneous_differences(pairs))
    assert covered / families > 0.95 - 3 * math.sqrt(0.05 * 0.95 / families)


def test_a_comparison_without_a_test_is_not_counted() -> None:
    pair, missing = family(1)[0], ([0.1, math.nan, 0.3], [0.1, 0.2, 0.3])
    with_missing = simultaneous_differences([pair, missing])
    assert with_missing[0] == simultaneous_differences([pair])[0]
    assert math.isnan(with_missing[1].p)
    assert simultaneous_differences([]) == []


def test_each_comparison_has_its_own_grain() -> None:
    equal = ([0.5, 0.6, 0.7], [0.4, 0.5, 0.6])
    fine, coarse = simultaneous_differences([equal, equal], grains=[1e-6, 0.1])
    assert fine.p < 1e-6
    assert coarse.p > 0.05


def test_the_better_side_depends_on_whether_large_is_good() -> None:
    clear = Paired(mean=-0.1, low=-0.11, high=-0.09, effect=-9, p=1e-6)
    assert clear.outcome(large_is_good=True) is Outcome.SECOND
    assert clear.outcome(large_is_good=False) is Outcome.FIRST


def test_p_decides_at_the_level() -> None:
    weak = Paired(mean=0.1, low=0.01, high=0.19, effect=1.5, p=0.06)
    assert weak.outcome(large_is_good=True) is Outcome.NO_DIFFERENCE
    assert weak.outcome(large_is_good=True, level=0.9) is Outcome.FIRST

"""The corrected resampled t interval, against a plain twin and where it cannot be had."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from textmetric.errors import UserError
from textmetric.measures import (
    Outcome,
    mean_interval,
    paired_difference,
    simultaneous_differences,
)


def nadeau_and_bengio(
    first: list[float], second: list[float], n_test: int, n_train: int, level: float
) -> tuple[float, float, float, float]:
    """Mean, interval and p from the formulas of the paper, by loops and scipy's distribution."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    j = len(differences)
    mean = math.fsum(differences) / j
    variance = math.fsum((d - mean) ** 2 for d in differences) / (j - 1)
    error = math.sqrt((1 / j + n_test / n_train) * variance)
    quantile = student.ppf(1 - (1 - level) / 2, j - 1)
    p = 2 * student.sf(abs(mean) / error, j - 1)
    return mean, mean - quantile * error, mean + quantile * error, p


@pytest.mark.parametrize("splits", [3, 5, 10, 15])
@pytest.mark.parametrize(("n_test", "n_train"), [(1, 9), (200, 800), (50, 50), (90, 10)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_it_equals_the_formulas_of_the_paper(
    splits: int, n_test: int, n_train: int, level: float
) -> None:
    random = np.random.default_rng(splits)
    first, second = random.normal(0.72, 0.02, splits), random.normal(0.7, 0.02, splits)
    found = paired_difference(first, second, level=level, test_to_train=n_test / n_train)
    theirs = nadeau_and_bengio(first.tolist(), second.tolist(), n_test, n_train, level)
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(theirs, rel=1e-9)
    # the interval of a mean is corrected alike
    of_mean = mean_interval(first - second, level, test_to_train=n_test / n_train)
    assert of_mean == pytest.approx(theirs[:3], rel=1e-9)


def test_values_of_one_split_are_not_corrected() -> None:
    first, second = [0.7, 0.75, 0.72, 0.8], [0.6, 0.7, 0.65, 0.66]
    plain = paired_difference(first, second)
    assert paired_difference(first, second, test_to_train=0.0) == plain
    corrected = paired_difference(first, second, test_to_train=0.25)
    # 1/4 + 1/4 is twice 1/4
    assert corrected.high - corrected.mean == pytest.approx(
        math.sqrt(2) * (plain.high - plain.mean)
    )
    assert corrected.p > plain.p
    assert corrected.effect == plain.effect


def test_a_family_is_corrected_for_its_number_too() -> None:
    pairs = [([0.7, 0.71, 0.75], [0.6, 0.6, 0.61]), ([0.7, 0.72, 0.75], [0.68, 0.69, 0.7])]
    both = simultaneous_differences(pairs, test_to_train=0.25)
    for found, pair in zip(both, pairs, strict=True):
        alone = paired_difference(*pair, level=0.975, test_to_train=0.25)
        assert (found.low, found.high) == (alone.low, alone.high)
        assert found.p == min(1, 2 * alone.p)


def test_no_difference_at_all_has_an_interval_of_one_point() -> None:
    same = paired_difference([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], test_to_train=0.25)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert same.outcome(large_is_good=True) is Outcome.NO_DIFFERENCE


def test_equal_differences_say_nothing_without_a_grain() -> None:
    better = paired_difference([0.3, 0.4, 0.5], [0.2, 0.3, 0.4], test_to_train=0.25)
    assert better.mean == pytest.approx(0.1)
    assert math.isnan(better.low)
    assert better.outcome(large_is_good=True) is Outcome.UNKNOWN
    with_grain = paired_difference([0.3, 0.4, 0.5], [0.2, 0.3, 0.4], grain=0.01, test_to_train=0.25)
    assert with_grain.high - with_grain.mean == pytest.approx(
        student.ppf(0.975, 2) * 0.01 / math.sqrt(6) * math.sqrt(1 / 3 + 0.25)
    )


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5, math.nan, 0.7]])
def test_one_split_or_a_missing_value_gives_no_verdict(values: list[float]) -> None:
    found = paired_difference(values, [0.1] * len(values), test_to_train=0.25)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert found.outcome(large_is_good=True) is Outcome.UNKNOWN


@pytest.mark.parametrize("ratio", [-0.1, math.inf, math.nan])
def test_a_ratio_that_cannot_be_is_an_error(ratio: float) -> None:
    with pytest.raises(UserError, match="test_to_train is"):
        paired_difference([1, 2, 3], [1, 2, 4], test_to_train=ratio)
    with pytest.raises(UserError, match="test_to_train is"):
        mean_interval([1, 2, 3], test_to_train=ratio)

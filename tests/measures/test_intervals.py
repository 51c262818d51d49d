from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from textmetric.errors import UserError
from textmetric.measures import mean_interval, share_interval, summarise


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_the_interval_equals_that_of_scipy(seeds: int, level: float) -> None:
    values = np.random.default_rng(seeds).normal(0.7, 0.05, seeds)
    low, high = stats.t.interval(level, seeds - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values, level) == pytest.approx((values.mean(), low, high), rel=1e-12)


def test_the_interval_covers_the_true_mean_at_its_level() -> None:
    samples = np.random.default_rng(0).normal(size=(2000, 5))
    covered = [low <= 0 <= high for _, low, high in map(mean_interval, samples)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    mean, low, high = mean_interval([0.25])
    assert mean == 0.25
    assert math.isnan(low)
    assert math.isnan(high)


def test_equal_values_have_an_interval_of_width_zero() -> None:
    assert mean_interval([0.1] * 7) == (0.1, 0.1, 0.1)


@pytest.mark.parametrize("values", [[], [math.nan], [0.5, math.nan, 0.7]])
def test_a_missing_value_gives_nan(values: list[float]) -> None:
    assert all(math.isnan(bound) for bound in mean_interval(values))


@pytest.mark.parametrize("level", [0, 1, 95, -0.5])
def test_a_level_outside_zero_to_one_is_an_error(level: float) -> None:
    with pytest.raises(UserError, match="level is"):
        mean_interval([0.1, 0.2], level)


def test_every_measure_is_summarised_over_the_seeds() -> None:
    per_seed = [{"map_at_r": 0.5, "gap": 0.1}, {"gap": 0.3, "map_at_r": 0.7}]
    found = summarise(per_seed)
    assert list(found) == ["map_at_r", "gap"]
    assert found["map_at_r"] == mean_interval([0.5, 0.7])
    assert found["gap"] == mean_interval([0.1, 0.3])
    assert summarise(per_seed, level=0.5)["gap"] == mean_interval([0.1, 0.3], 0.5)
    assert summarise([]) == {}


def test_a_measure_that_one_seed_lacks_is_an_error() -> None:
    with pytest.raises(UserError, match="seed number 1 and the first differ in 'gap'"):
        summarise([{"gap": 0.1, "map_at_r": 0.5}, {"map_at_r": 0.5}])


@pytest.mark.parametrize(("right", "rows"), [(0, 5), (5, 5), (1, 3), (870, 1000)])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_of_a_share_is_that_of_scipy(right: int, rows: int, level: float) -> None:
    reference = stats.binomtest(right, rows).proportion_ci(level, method="wilson")
    expected = (right / rows, reference.low, reference.high)
    assert share_interval(right, rows, level) == pytest.approx(expected, abs=1e-12)


def test_no_rows_have_no_share_and_the_level_is_checked() -> None:
    assert np.isnan(share_interval(0, 0)).all()
    with pytest.raises(UserError, match="level is 1, expected a number between 0 and 1"):
        share_interval(1, 2, 1)

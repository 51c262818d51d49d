"""Whether some series of values vary more over seeds than others do."""

from __future__ import annotations

import math

import numpy as np

from textmetric.measures import mean_interval
from textmetric.types import Float64


def ratio_of_spreads(
    first: Float64, second: Float64, *, level: float = 0.95
) -> tuple[float, float, float]:
    """The standard deviation of some series over seeds, divided by that of others.

    Of several series the geometric mean of the deviations counts. The interval is the jackknife's
    (Miller 1968, "Jackknifing Variances"): each seed is left out once, of all series at once, since
    they may share what the seed draws; Student's t interval of the pseudo-values of the logarithm
    of the ratio is its interval. Unlike the F test it does not need normal values. It covers
    variation over seeds, for these series alone.

    Args:
        first: (a, s) values of a series with s seeds in each row.
        second: (b, s) values with the same seeds.
        level: coverage, between 0 and 1.

    Returns:
        (ratio, low, high). All are NaN with fewer than four seeds, if a value is NaN, or if a
        series does not vary.

    >>> wide, narrow = np.array([[0.1, 0.5, 0.3, 0.8]]), np.array([[0.1, 0.14, 0.12, 0.17]])
    >>> [round(each, 3) for each in ratio_of_spreads(wide, narrow)]
    [10.0, 10.0, 10.0]
    """
    seeds = first.shape[1]
    values = np.concatenate([first, second])
    if seeds < 4 or np.isnan(values).any():
        return math.nan, math.nan, math.nan
    logs = np.array([_log_ratio(first, second, seed) for seed in (None, *range(seeds))])
    if not np.isfinite(logs).all():
        return math.nan, math.nan, math.nan
    pseudo = seeds * logs[0] - (seeds - 1) * logs[1:]
    centre, low, high = np.exp(mean_interval(pseudo, level))
    return float(centre), float(low), float(high)


def _log_ratio(first: Float64, second: Float64, without: int | None) -> float:
    means = []
    for series in (first, second):
        kept = series if without is None else np.delete(series, without, axis=1)
        with np.errstate(divide="ignore"):
            means.append(np.log(kept.std(axis=1, ddof=1)).mean())
    with np.errstate(invalid="ignore"):
        return float(means[0] - means[1])

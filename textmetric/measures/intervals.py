"""Confidence intervals of means over seeds, and of shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing


def mean_interval(
    values: npt.ArrayLike, level: float = 0.95, *, test_to_train: float = 0.0
) -> tuple[float, float, float]:
    """Mean over seeds and its Student t interval.

        mean ± t_{(1 + level)/2, s − 1} · sd / √s,   sd with s − 1 in the denominator.

    It covers the true mean over all seeds with probability ``level`` if the values are about
    normal. It covers variation across seeds, not across test sets. With ``test_to_train`` it is
    corrected for resampled splits, see :func:`.paired_difference`.

    Args:
        values: (s,) one value for each seed.
        level: coverage, between 0 and 1.
        test_to_train: n_test / n_train of resampled splits; 0 if all values are of one split.

    Returns:
        (mean, low, high). With one value, low and high are NaN. All three are NaN if there are
        no values, or if a value is NaN: a measure that one seed lacks has no mean.

    Raises:
        UserError: the level is not between 0 and 1, or ``test_to_train`` is not at least 0.

    >>> [round(bound, 3) for bound in mean_interval([0.7, 0.8, 0.9])]
    [0.8, 0.552, 1.048]
    >>> mean_interval([0.7])
    (0.7, nan, nan)
    """
    with needing("mean_interval", "train"):
        from scipy.special import stdtrit  # slow to import; scipy.stats is three times slower

    _check_level(level)
    check_test_to_train(test_to_train)
    seeds = np.asarray(values, dtype=np.float64).ravel()
    if not len(seeds) or np.isnan(seeds).any():
        return math.nan, math.nan, math.nan
    # The mean of equal values is that value, also in the last bit.
    centre = float(seeds[0] if (seeds == seeds[0]).all() else seeds.mean())
    if len(seeds) == 1:
        return centre, math.nan, math.nan
    spread = math.sqrt(float(((seeds - centre) ** 2).sum()) / (len(seeds) - 1))
    independent = len(seeds) / (1 + len(seeds) * test_to_train)
    half = float(stdtrit(len(seeds) - 1, (1 + level) / 2)) * spread / math.sqrt(independent)
    return centre, centre - half, centre + half


def share_interval(right: int, rows: int, level: float = 0.95) -> tuple[float, float, float]:
    """A share, such as an accuracy, and Wilson's score interval of it.

    It covers the share in the population that the rows are drawn from, one independently of the
    other, with a probability of about ``level`` (Wilson 1927, "Probable inference, the law of
    succession, and statistical inference"; the reference is
    ``scipy.stats.binomtest(right, rows).proportion_ci(method="wilson")``). Unlike mean ± t·sd/√n
    it is no single point where all rows are right. It covers neither seeds nor other corpora.

    Args:
        right: 0 to ``rows``.
        rows: their number.
        level: coverage, between 0 and 1.

    Returns:
        (share, low, high); all NaN without rows.

    Raises:
        UserError: the level is not between 0 and 1.

    >>> [round(bound, 3) for bound in share_interval(8, 8)]
    [1.0, 0.676, 1.0]
    """
    _check_level(level)
    if not rows:
        return math.nan, math.nan, math.nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / rows
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * math.sqrt(share * (1 - share) / rows + (z / (2 * rows)) ** 2)
    return share, max(centre - half, 0.0), min(centre + half, 1.0)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level is {level}, expected a number between 0 and 1: 0.95 is usual")


def check_test_to_train(ratio: float) -> None:
    """Check the ratio of the test rows to the train rows of resampled splits.

    Raises:
        UserError: it is negative, infinite or NaN.
    """
    if not 0 <= ratio < math.inf:
        raise UserError(
            f"test_to_train is {ratio}, expected the number of test rows divided by that of train "
            "rows: 0.25 if a fifth of the rows is for test"
        )


def summarise(
    per_seed: Sequence[Mapping[str, float]], level: float = 0.95
) -> dict[str, tuple[float, float, float]]:
    """Mean and interval over seeds of every measure.

    Args:
        per_seed: the flat measures of each seed, all with the same keys.
        level: see ``mean_interval``.

    Returns:
        key -> (mean, low, high), in the order of the first seed's keys; empty without seeds.

    Raises:
        UserError: a seed lacks a key that another has.

    >>> summarise([{"map_at_r": 0.5}, {"map_at_r": 0.5}])
    {'map_at_r': (0.5, 0.5, 0.5)}
    """
    if not per_seed:
        return {}
    keys = list(per_seed[0])
    for position, measures in enumerate(per_seed):
        different = set(measures).symmetric_difference(keys)
        if different:
            raise UserError(
                f"seed number {position} and the first differ in {min(different)!r}, expected the "
                "same measures of every seed: evaluate them again with one version"
            )
    return {key: mean_interval([measures[key] for measures in per_seed], level) for key in keys}

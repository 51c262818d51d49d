"""Paired tests: which of two series of values, paired by seed, is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing
from textmetric.measures.intervals import check_test_to_train

FEWEST_SEEDS = 3
"""With two, equal differences are too common for a test."""


class Outcome(Enum):
    """What a comparison says: which side is better, or that it says neither."""

    FIRST = "first"
    SECOND = "second"
    NO_DIFFERENCE = "no difference"
    DEPENDS = "depends"
    """On the sampler: the comparisons under one sampler say otherwise."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Paired:
    """The difference of two series that are paired by seed.

    Attributes:
        mean: mean of first − second.
        low: lower end of its Student t interval; NaN with fewer than three seeds.
        high: upper end.
        effect: Cohen's d_z (Cohen 1988, section 2.3.5), the mean divided by the standard
            deviation of the differences.
        p: two-sided, of the paired t test that the mean is zero; NaN if there is no test.
    """

    mean: float
    low: float
    high: float
    effect: float
    p: float

    def outcome(self, *, large_is_good: bool, level: float = 0.95) -> Outcome:
        """Which side is better: ``UNKNOWN`` without a test, no difference if p ≥ 1 − level."""
        if math.isnan(self.p):
            return Outcome.UNKNOWN
        if self.p >= 1 - level:
            return Outcome.NO_DIFFERENCE
        return Outcome.FIRST if (self.mean > 0) == large_is_good else Outcome.SECOND


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    level: float = 0.95,
    grain: float = 0.0,
    test_to_train: float = 0.0,
) -> Paired:
    """Compare two series seed by seed.

    With differences d_1 … d_s of mean m and standard deviation σ (s − 1 in the denominator),
    ``t = m / (σ / √s)`` and ``p = 2 · P(T_{s−1} > |t|)``. The interval is m ± t · σ / √s with the
    quantile of ``level``, so it excludes zero exactly if p < 1 − level.

    If each value is of another random split of the same rows into train and test, the differences
    are correlated, since the splits share rows, and σ / √s is too small. The corrected resampled t
    test (Nadeau & Bengio 2003, "Inference for the Generalization Error", Machine Learning 52) takes
    σ · √(1/s + n_test / n_train) in its place. Its interval covers the difference of the scores
    that are expected of the two learners when they learn from as many rows.

    Values that are multiples of a step g, such as an accuracy over 1 / g rows, can have equal
    differences by chance, and then σ says nothing. So σ is at least g / √6, the standard deviation
    of the difference of two values that were rounded to multiples of g.

    Args:
        first: (s,) one value for each seed.
        second: (s,) the values of the same seeds.
        level: coverage of the interval, between 0 and 1.
        grain: g, the step of the values, at least 0.
        test_to_train: n_test / n_train of the resampled splits, at least 0; 0 if all values are of
            one split.

    Returns:
        The difference. All is NaN if a value is NaN or there are none; all except the mean with
        fewer than three seeds. If all differences are equal, not zero, and ``grain`` is 0, there is
        no test either.

    Raises:
        UserError: the series differ in length, or the level or ``test_to_train`` is out of range.

    >>> found = paired_difference([0.7, 0.8, 0.9], [0.6, 0.6, 0.6])
    >>> round(found.mean, 3), round(found.effect, 3), round(found.p, 3)
    (0.2, 2.0, 0.074)
    >>> round(paired_difference([0.7, 0.8, 0.9], [0.6, 0.6, 0.6], test_to_train=0.25).p, 3)
    0.12
    """
    with needing("paired_difference", "train"):  # slow to import; scipy.stats is three times slower
        from scipy.special import stdtr, stdtrit

    if not 0 < level < 1:
        raise UserError(f"level is {level}, expected a number between 0 and 1: 0.95 is usual")
    check_test_to_train(test_to_train)
    one, other = (np.asarray(values, dtype=np.float64).ravel() for values in (first, second))
    if one.shape != other.shape:
        raise UserError(
            f"{len(one)} values cannot be paired with {len(other)}: pass the same seeds"
        )
    differences = one - other
    seeds = len(differences)
    mean = float(differences.mean()) if seeds else math.nan
    if seeds < FEWEST_SEEDS or math.isnan(mean):
        return Paired(mean, math.nan, math.nan, math.nan, math.nan)
    spread = float(differences.std(ddof=1))
    if spread <= 1e-12 * max(1.0, abs(mean)):  # equal, except for rounding
        spread = 0.0
    spread = max(spread, grain / math.sqrt(6))
    if spread == 0:
        if abs(mean) <= 1e-12:
            return Paired(mean, mean, mean, 0.0, 1.0)
        return Paired(mean, math.nan, math.nan, math.nan, math.nan)
    independent = seeds / (1 + seeds * test_to_train)  # this many would say as much
    half = float(stdtrit(seeds - 1, (1 + level) / 2)) * spread / math.sqrt(independent)
    effect = mean / spread
    p = 2 * float(stdtr(seeds - 1, -abs(effect) * math.sqrt(independent)))
    return Paired(mean, mean - half, mean + half, effect, p)


def simultaneous_differences(
    comparisons: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    level: float = 0.95,
    grains: Sequence[float] | None = None,
    test_to_train: float = 0.0,
) -> list[Paired]:
    """Compare the pairs of a family, corrected for their number (Bonferroni; Dunn 1961).

    Of m comparisons that have a test, each p is multiplied by m (at most 1), and each interval has
    the level 1 − (1 − level) / m. With probability ``level`` all intervals cover their
    true differences at once, whatever the dependence; an interval excludes zero exactly if the
    corrected p is below 1 − level.

    Args:
        comparisons: (first, second), each (s,), of every comparison.
        level: coverage of all intervals together.
        grains: the step of the values of each comparison; None for 0.
        test_to_train: of resampled splits, see :func:`paired_difference`.

    Returns:
        One a comparison, in order.

    Raises:
        UserError: see :func:`paired_difference`.

    >>> clear, weak = ([0.7, 0.71, 0.72], [0.6, 0.6, 0.61]), ([0.7, 0.72, 0.75], [0.68, 0.69, 0.7])
    >>> both = simultaneous_differences([clear, weak])
    >>> [found.outcome(large_is_good=True).name for found in both]
    ['FIRST', 'NO_DIFFERENCE']
    """
    steps = [0.0] * len(comparisons) if grains is None else grains
    tested = sum(
        not math.isnan(paired_difference(*pair, level=level, grain=grain).p)
        for pair, grain in zip(comparisons, steps, strict=True)
    )
    found = [
        paired_difference(
            *pair,
            level=1 - (1 - level) / max(tested, 1),
            grain=grain,
            test_to_train=test_to_train,
        )
        for pair, grain in zip(comparisons, steps, strict=True)
    ]
    return [
        Paired(one.mean, one.low, one.high, one.effect, min(1.0, one.p * tested))
        if not math.isnan(one.p)
        else one
        for one in found
    ]

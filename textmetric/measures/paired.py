"""Paired tests: which of two series of values, paired by seed, is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.measures.intervals import mean_interval
from textmetric.types import Float64


class Outcome(Enum):
    """What a comparison says: which side is better, or that it says neither."""

    FIRST = "first"
    SECOND = "second"
    NO_DIFFERENCE = "no difference"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Paired:
    """The difference of two series that are paired by seed.

    Attributes:
        mean: mean of first − second.
        low: lower end of its Student t interval; NaN with fewer than two seeds.
        high: upper end.
        effect: Cohen's d_z (Cohen 1988, section 2.3.5), the mean divided by the standard
            deviation of the differences; infinite where they are all equal and not zero.
        p: two-sided, of the paired t test that the mean is zero; NaN with fewer than two seeds.
    """

    mean: float
    low: float
    high: float
    effect: float
    p: float


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike, level: float = 0.95) -> Paired:
    """Compare two series seed by seed.

    With differences d_1 … d_s of mean m and standard deviation σ (s − 1 in the denominator),
    t = m / (σ / √s) and p = 2 · P(T_{s−1} > |t|). If all differences are equal, p is 1 where they
    are zero and 0 otherwise.

    Args:
        first: (s,) one value for each seed.
        second: (s,) the values of the same seeds.
        level: coverage of the interval, between 0 and 1.

    Returns:
        The difference; all NaN if a value is NaN or there are no values.

    Raises:
        UserError: the series differ in length, or the level is out of range.

    >>> found = paired_difference([0.7, 0.8, 0.9], [0.6, 0.6, 0.6])
    >>> round(found.mean, 3), round(found.effect, 3), round(found.p, 3)
    (0.2, 2.0, 0.074)
    """
    from scipy.special import stdtr  # slow to import; scipy.stats is three times slower

    one, other = (np.asarray(values, dtype=np.float64).ravel() for values in (first, second))
    if one.shape != other.shape:
        raise UserError(
            f"{len(one)} values cannot be paired with {len(other)}: pass the same seeds"
        )
    differences = one - other
    centre, low, high = mean_interval(differences, level)
    seeds = len(differences)
    if math.isnan(low):
        return Paired(centre, low, high, math.nan, math.nan)
    spread = math.sqrt(float(((differences - centre) ** 2).sum()) / (seeds - 1))
    # Equal differences may differ by rounding: that is no spread.
    if spread <= 1e-12 * max(1.0, abs(centre)):
        if abs(centre) <= 1e-12:
            return Paired(centre, low, high, 0.0, 1.0)
        return Paired(centre, low, high, math.copysign(math.inf, centre), 0.0)
    effect = centre / spread
    p = 2 * float(stdtr(seeds - 1, -abs(effect) * math.sqrt(seeds)))
    return Paired(centre, low, high, effect, p)


def holm(p: npt.ArrayLike) -> Float64:
    """Correct p values for their number (Holm 1979).

    The i-th smallest of m is multiplied by m − i + 1; a corrected value is at least the one
    before it, and at most 1. Rejecting the hypotheses whose corrected p is below α makes any false
    rejection in the family with probability at most α, whatever the dependence.

    Args:
        p: (m,) values in [0, 1]; NaN (no test was possible) stays NaN and does not count.

    Returns:
        (m,) in the same order.

    >>> holm([0.01, 0.04, 0.03]).round(3)
    array([0.03, 0.06, 0.06])
    """
    values = np.asarray(p, dtype=np.float64).ravel()
    corrected = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    scaled = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def outcomes(
    comparisons: Sequence[Paired], large_is_good: Sequence[bool], level: float = 0.95
) -> list[tuple[Outcome, float]]:
    """Decide a family of comparisons, with p corrected by :func:`holm`.

    Args:
        comparisons: first − second, all of one table.
        large_is_good: for each comparison, whether the larger value is better.
        level: 1 − the probability of any false "better" in the family.

    Returns:
        (outcome, corrected p) for each comparison; ``UNKNOWN`` if p is NaN.

    >>> clear = paired_difference([0.7, 0.71, 0.72], [0.6, 0.6, 0.61])
    >>> outcomes([clear], [True])[0][0].name, outcomes([clear], [False])[0][0].name
    ('FIRST', 'SECOND')
    """
    found: list[tuple[Outcome, float]] = []
    corrected = holm([comparison.p for comparison in comparisons]).tolist()
    for comparison, larger, p in zip(comparisons, large_is_good, corrected, strict=True):
        if math.isnan(p):
            outcome = Outcome.UNKNOWN
        elif p >= 1 - level:
            outcome = Outcome.NO_DIFFERENCE
        else:
            outcome = Outcome.FIRST if (comparison.mean > 0) == larger else Outcome.SECOND
        found.append((outcome, p))
    return found

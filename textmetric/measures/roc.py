"""Receiver operating characteristics: how well scores tell two kinds of things apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError
from textmetric.types import Bools, Float64, Floats


class RocCurve(NamedTuple):
    """What is accepted at each threshold, from none to all; all three are (t + 1,).

    Attributes:
        thresholds: the t different scores, falling, after infinity. A score is accepted if it is
            at least the threshold.
        false_accepts: the share of the negatives that are accepted, rising from 0 to 1.
        true_accepts: the share of the positives that are accepted, rising from 0 to 1.
    """

    thresholds: Float64
    false_accepts: Float64
    true_accepts: Float64


def roc_curve(scores: Floats, positive: Bools, weights: Floats | None = None) -> RocCurve | None:
    """The curve of scores that should be large for positives.

    Args:
        scores: (n,) finite or infinite.
        positive: (n,) which are positives.
        weights: (n,) above 0, how much each counts among its kind; None for all alike.

    Returns:
        The curve; None if there is no positive or no negative.

    Raises:
        UserError: the shapes differ, or a score is NaN.
    """
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    counted = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if scores.ndim != 1 or not scores.shape == positive.shape == counted.shape:
        raise UserError(
            f"scores have shape {scores.shape}, positive {positive.shape}, weights "
            f"{counted.shape}: pass one of each for every pair or text"
        )
    if np.isnan(scores).any():
        raise UserError(
            f"score {int(np.isnan(scores).argmax())} is NaN: pass finite or infinite scores"
        )
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    # The last of equal scores: all of them are accepted together.
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    shares = []
    for kind in (~positive, positive):
        accepted = np.cumsum(np.where(kind, counted, 0.0)[order])
        shares.append(np.append(0.0, accepted[last] / accepted[-1]))
    return RocCurve(np.append(np.inf, falling[last]), *shares)


def roc_auc(scores: Floats, positive: Bools, weights: Floats | None = None) -> float:
    """The area under the curve: the chance that a positive has a larger score than a negative.

    Equal scores count one half, so this is the Mann-Whitney statistic (Hanley & McNeil 1982):

        AUC = Σ_{p, n} w_p w_n ([s_p > s_n] + ½ [s_p = s_n]) / Σ_{p, n} w_p w_n.

    Args, errors: see :func:`roc_curve`.

    Returns:
        In [0, 1], ½ for scores that say nothing; NaN if there is no positive or no negative.

    >>> roc_auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    0.875
    """
    curve = roc_curve(scores, positive, weights)
    if curve is None:
        return float("nan")
    steps, heights = np.diff(curve.false_accepts), curve.true_accepts
    return float((steps * (heights[1:] + heights[:-1]) / 2).sum())


def equal_error_rate(scores: Floats, positive: Bools, weights: Floats | None = None) -> float:
    """The error at the threshold where as large a share of both kinds is decided wrongly.

    False accepts rise and false rejects fall with each score that is accepted. Where no threshold
    makes them equal, the curve is interpolated linearly between the two nearest ones.

    Args, errors: see :func:`roc_curve`.

    Returns:
        In [0, 1], ½ for scores that are all equal; NaN if there is no positive or no negative.

    >>> equal_error_rate(np.array([0.9, 0.5, 0.6, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    curve = roc_curve(scores, positive, weights)
    if curve is None:
        return float("nan")
    excess = curve.false_accepts - (1.0 - curve.true_accepts)  # rises from −1 to 1
    after = int(np.argmax(excess >= 0))
    share = -excess[after - 1] / (excess[after] - excess[after - 1])
    before, there = curve.false_accepts[after - 1], curve.false_accepts[after]
    return float(before + share * (there - before))


def threshold_at(
    scores: Floats, positive: Bools, false_accepts: float, weights: Floats | None = None
) -> float:
    """The lowest threshold that accepts at most a share of the negatives.

    Args:
        scores: see :func:`roc_curve`.
        positive: see :func:`roc_curve`.
        false_accepts: the share, in [0, 1].
        weights: see :func:`roc_curve`.

    Returns:
        One of the scores; infinity, which accepts nothing, if the largest score accepts too many;
        NaN if there is no positive or no negative.

    Raises:
        UserError: see :func:`roc_curve`; ``false_accepts`` is out of range.

    >>> threshold_at(np.array([0.9, 0.5, 0.6, 0.1]), np.array([True, True, False, False]), 0.5)
    0.5
    """
    if not 0 <= false_accepts <= 1:
        raise UserError(
            f"false_accepts is {false_accepts}, expected a share from 0 to 1: 0.01 accepts one "
            "pair in a hundred"
        )
    curve = roc_curve(scores, positive, weights)
    if curve is None:
        return float("nan")
    allowed = curve.false_accepts <= false_accepts + 1e-12
    return float(curve.thresholds[np.flatnonzero(allowed)[-1]])

"""Candidates ranked over corpora: Friedman's test, Nemenyi's critical difference, its diagram.

Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from scipy.stats import chi2, f, studentized_range

from textmetric.errors import UserError
from textmetric.report.figures import new_figure


class Friedman(NamedTuple):
    """The test that all candidates are equal, from their mean ranks.

    Attributes:
        statistic: χ²_F, with k − 1 degrees of freedom.
        p: of it.
        f: F_F of Iman and Davenport (1980), which is less conservative, with k − 1 and
            (k − 1)(N − 1) degrees of freedom.
        f_p: of that.
    """

    statistic: float
    p: float
    f: float
    f_p: float


def mean_ranks(scores: pd.DataFrame) -> pd.Series:
    """The mean rank of each candidate, the best first.

    Args:
        scores: a row a corpus, a column a candidate, the larger the better. Equal scores share
            their mean rank; a candidate without a score (NaN) comes last.
    """
    ranks = scores.rank(axis=1, ascending=False, na_option="bottom")
    return ranks.mean().sort_values(kind="stable")


def friedman(ranks: Sequence[float], corpora: int) -> Friedman:
    """Friedman's test, as Demšar gives it.

    Args:
        ranks: (k,) mean ranks.
        corpora: N.

    Raises:
        UserError: fewer than two candidates or corpora.
    """
    _check(len(ranks), corpora)
    k, n = len(ranks), corpora
    spread = float(np.square(ranks).sum()) - k * (k + 1) ** 2 / 4
    statistic = 12 * n / (k * (k + 1)) * spread
    left = n * (k - 1) - statistic
    of_f = (n - 1) * statistic / left if left > 1e-9 else math.inf  # every corpus ranks alike
    return Friedman(
        statistic,
        float(chi2.sf(statistic, k - 1)),
        of_f,
        float(f.sf(of_f, k - 1, (k - 1) * (n - 1))),
    )


def critical_difference(candidates: int, corpora: int, level: float = 0.95) -> float:
    """The difference of mean ranks above which two candidates differ, by Nemenyi's test.

    ``q √(k (k + 1) / 6N)`` with q the quantile of the studentized range over √2. It is corrected
    for all pairs.

    Args:
        candidates: k.
        corpora: N.
        level: of the test, 0.95 for α = .05.

    Raises:
        UserError: fewer than two candidates or corpora.

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    _check(candidates, corpora)
    quantile = float(studentized_range.ppf(level, candidates, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(candidates * (candidates + 1) / (6 * corpora))


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """The largest groups of candidates that do not differ.

    Args:
        ranks: (k,) mean ranks, rising.
        difference: the critical one; a pair that differs by less is not told apart.

    Returns:
        First and last candidate of each group of two or more; none is inside of another.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank < difference or i == first)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _check(candidates: int, corpora: int) -> None:
    if candidates < 2 or corpora < 2:
        raise UserError(
            f"{candidates} candidates on {corpora} corpora have no test of their ranks: give two "
            "or more of each"
        )


def draw(
    path: str | os.PathLike[str],
    ranks: pd.Series,
    difference: float,
    colours: Mapping[str, str],
    legend: Mapping[str, str],
) -> None:
    """Draw a critical-difference diagram: mean ranks on a line, bars over those that do not differ.

    Args:
        path: the PNG to write.
        ranks: by candidate, rising.
        difference: the critical one.
        colours: of the candidates.
        legend: the colour of each kind.
    """
    names, values = list(ranks.index), ranks.tolist()
    bars = cliques(values, difference)
    half = math.ceil(len(names) / 2)
    low, high = 1.0, max(float(len(names)), 1.0 + difference)
    step, bar_step = 1.0, 0.5
    under = bar_step * (len(bars) + 1)
    height = 2.2 + under + step * half  # above the line: the critical difference
    reach = (high - low) * 0.03
    with new_figure(path, 8.4, 0.22 * height + 0.3) as figure:
        axis = figure.subplots()
        axis.set(xlim=(low - 0.42 * (high - low), high + 0.42 * (high - low)))
        axis.set(ylim=(-under - step * half, 2.4))
        axis.set_axis_off()
        axis.plot([low, high], [0, 0], color="black", linewidth=1)
        for tick in range(math.ceil(low), math.floor(high) + 1):
            whole = tick == 1 or not tick % 2 or high < 12
            axis.plot([tick, tick], [0, 0.3 if whole else 0.15], color="black", linewidth=1)
            if whole:
                axis.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=7)
        axis.plot([low, low + difference], [1.7, 1.7], color="black", linewidth=1.4)
        for end in (low, low + difference):
            axis.plot([end, end], [1.5, 1.9], color="black", linewidth=1.4)
        axis.text(
            low + difference / 2, 1.9, f"critical difference {difference:.2f}",
            ha="center", va="bottom", fontsize=8,
        )  # fmt: skip
        for place, (first, last) in enumerate(bars, 1):
            axis.plot(
                [values[first] - reach / 4, values[last] + reach / 4],
                [-bar_step * place] * 2,
                color="#555555",
                linewidth=3,
                solid_capstyle="butt",
            )
        for place, (name, rank) in enumerate(zip(names, values, strict=True)):
            left = place < half
            down = -under - step * (place if left else len(names) - 1 - place)
            end = low - reach if left else high + reach
            colour = colours[name]
            axis.plot([rank, rank, end], [0, down, down], color=colour, linewidth=0.9)
            axis.text(
                end - reach / 2 if left else end + reach / 2, down, f"{name}  {rank:.1f}"
                if left else f"{rank:.1f}  {name}",
                ha="right" if left else "left", va="center", fontsize=8,
            )  # fmt: skip
        figure.legend(
            [Line2D([], [], color=colour) for colour in legend.values()],
            list(legend),
            loc="outside lower center",
            ncols=len(legend),
            fontsize=8,
        )

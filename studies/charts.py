"""The pictures of the studies, in the style of :mod:`textmetric.report.figures`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from textmetric.grid import Baseline, Family
from textmetric.report.figures import new_figure
from textmetric.report.looks import PALETTE

_KINDS: dict[str, tuple[list[Family | Baseline], str, str]] = {
    "classification": ([Family.CLASSIFICATION], PALETTE[0], "o"),
    "metric learning": ([Family.METRIC], PALETTE[1], "D"),
    "baseline": ([*Baseline], "#555555", "s"),
}
"""Words → the families or baselines of a kind, its colour, its form."""
_FORMS = "oDs^vPX"
_STROKES = ("-", "--", ":", "-.")


def ranking(
    path: str | os.PathLike[str],
    values: pd.DataFrame,
    panels: Mapping[str, str],
    *,
    by_factors: Sequence[str] = (),
) -> None:
    """Draw objectives below one another, a panel a measure: dots with their 95 % intervals.

    Args:
        path: the PNG to write.
        values: columns objective, family, measure, mean, low, high; objectives in the order to
            draw, from the top; NaN where there is no value or no interval.
        panels: measure → title of its panel.
        by_factors: the measures whose panel has a logarithmic scale.
    """
    names = list(dict.fromkeys(values["objective"]))
    with new_figure(path, 1.9 * len(panels) + 1.5, 0.24 * len(names) + 1.3) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (measure, title) in zip(axes, panels.items(), strict=True):
            of_measure = values[values["measure"] == measure]
            for families, colour, form in _KINDS.values():
                rows = of_measure[of_measure["family"].isin(families)]
                axis.errorbar(
                    rows["mean"],
                    [names.index(name) for name in rows["objective"]],
                    xerr=_reach(rows),
                    color=colour,
                    linestyle="",
                    marker=form,
                    markersize=4.5,
                    capsize=2,
                    elinewidth=1.2,
                )
            axis.set_title(title, fontsize=9)
            if measure in by_factors:
                axis.set_xscale("log")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        figure.legend(
            [
                Line2D([], [], color=colour, marker=form, linestyle="")
                for _, colour, form in _KINDS.values()
            ],
            list(_KINDS),
            loc="outside lower center",
            ncols=len(_KINDS),
        )


def lines(
    path: str | os.PathLike[str],
    values: pd.DataFrame,
    panels: Mapping[str, str],
    *,
    x: str,
    label: str,
    one_scale: bool = False,
    even: bool = False,
    across: int | None = None,
) -> None:
    """Draw measures over a quantity of powers of two: a panel a measure, a line an objective.

    Args:
        path: the PNG to write.
        values: columns line, measure, ``x``, mean, low, high. With the columns group and kind too,
            the lines of a group share their colour, and those of a kind their stroke and form.
        panels: measure → title of its panel.
        x: the column that goes to the right.
        label: what that axis is called.
        one_scale: whether all panels have the same scale upwards.
        even: whether equal steps of ``x`` are equally wide, in place of equal factors.
        across: how many panels are next to each other at most; None for all.
    """
    across = min(len(panels), across or len(panels))
    down = math.ceil(len(panels) / across)
    names = list(dict.fromkeys(values["line"]))
    looks = _grouped_looks(values) if "group" in values else _looks(names)
    # at this size a letter takes about .06 inch, and the sample of a line half an inch
    columns = max(1, int(3.4 * across / (0.5 + 0.06 * max(map(len, looks)))))
    columns = min(columns, 5)
    with new_figure(
        path, 3.4 * across, 0.6 + 3 * down + 0.17 * math.ceil(len(looks) / columns)
    ) as figure:
        axes = figure.subplots(down, across, squeeze=False, sharey=one_scale).ravel()
        ticks = sorted(set(values[x]))
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, (measure, title) in zip(axes, panels.items(), strict=False):
            for line, look in looks.items():
                rows = values[(values["measure"] == measure) & (values["line"] == line)]
                axis.errorbar(
                    rows[x],
                    rows["mean"],
                    yerr=_reach(rows),
                    **look,
                    markersize=4,
                    linewidth=1.2,
                    capsize=2,
                    elinewidth=0.8,
                )
            axis.set(title=title, xlabel=label, xscale="linear" if even else "log")
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.xaxis.set_minor_locator(NullLocator())
        figure.legend(
            [Line2D([], [], **look) for look in looks.values()],
            list(looks),
            loc="outside lower center",
            ncols=columns,
            fontsize=8,
        )


def differences(path: str | os.PathLike[str], values: pd.DataFrame, unit: str) -> None:
    """Draw differences below one another, each with several 95 % intervals.

    Args:
        path: the PNG to write.
        values: columns use, over (what an interval covers), mean, low, high; uses in the order to
            draw, from the top; NaN where there is no interval.
        unit: what is drawn.
    """
    uses, kinds = (list(dict.fromkeys(values[column])) for column in ("use", "over"))
    looks: dict[str, dict[str, Any]] = {kind: {"color": PALETTE[place + 2], "marker": _FORMS[place]}
             for place, kind in enumerate(kinds)}  # fmt: skip
    with new_figure(path, 6.4, 0.42 * len(uses) + 1.1) as figure:
        axis = figure.subplots()
        axis.axvline(0, color="#888888", linewidth=1)
        for place, (kind, look) in enumerate(looks.items()):
            rows = values[values["over"] == kind]
            beside = 0.24 * (place - (len(kinds) - 1) / 2)
            axis.errorbar(
                rows["mean"],
                [uses.index(use) + beside for use in rows["use"]],
                xerr=_reach(rows),
                **look,
                linestyle="",
                markersize=4.5,
                capsize=2,
                elinewidth=1.2,
            )
        axis.set_yticks(range(len(uses)), uses)
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        figure.legend(
            [Line2D([], [], **look, linestyle="") for look in looks.values()],
            kinds,
            loc="outside lower center",
            ncols=len(kinds),
        )


def losses_by_step(
    path: str | os.PathLike[str], curves: Mapping[str, NDArray[np.floating]], window: int
) -> None:
    """Draw losses by step, smoothed: a line a variant, the mean over its seeds and their range.

    Args:
        path: the PNG to write.
        curves: variant → (seeds, steps).
        window: the number of steps of the running mean.
    """
    looks = _looks(list(curves))
    with new_figure(path, 5.6, 3.4) as figure:
        axis = figure.subplots()
        for variant, losses in curves.items():
            width = max(1, min(window, losses.shape[1]))
            kernel = np.ones(width) / width
            smooth = np.array([np.convolve(row, kernel, mode="valid") for row in losses])
            steps = np.arange(smooth.shape[1]) + width
            colour = looks[variant]["color"]
            axis.fill_between(
                steps, smooth.min(axis=0), smooth.max(axis=0), color=colour, alpha=0.2, linewidth=0
            )
            axis.plot(
                steps,
                smooth.mean(axis=0),
                color=colour,
                linestyle=looks[variant]["linestyle"],
                label=variant,
            )
        axis.set(xlabel="step", ylabel=f"loss, mean over {window} steps", yscale="log")
        axis.legend()


def eight_points(
    path: str | os.PathLike[str],
    panels: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.integer],
    *,
    columns: int = 5,
) -> None:
    """Draw where points went: an arrow each from its start to its end, a small panel an objective.

    The scale is that of the panel: some objectives move the points far, others hardly. The cross
    is the origin.

    Args:
        path: the PNG to write.
        panels: objective → (times, n, 2) places of the points, in the order of time.
        labels: (n,) class of each point.
        columns: panels a row.
    """
    rows = math.ceil(len(panels) / columns)
    with new_figure(path, 1.75 * columns, 1.95 * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, (title, places) in zip(axes, panels.items(), strict=False):
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=8)
            axis.grid(visible=False)
            axis.spines[:].set_visible(True)
            axis.spines[:].set_color("#BBBBBB")
            axis.plot(0, 0, marker="+", color="#888888", markersize=7)
            reach = 1.12 * float(np.abs(places[[0, -1]]).max())
            axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            for point, label in enumerate(labels):
                _arrow(axis, places[:, point], PALETTE[label], "oDs^"[label], reach)


def _arrow(axis: Any, places: NDArray[np.floating], colour: str, marker: str, reach: float) -> None:
    """The way of one point: hollow where it starts, full where it ends, an arrow's head there."""
    axis.plot(*places.T, color=colour, linewidth=0.9, alpha=0.8)
    axis.plot(*places[0], marker=marker, color=colour, markerfacecolor="white", markersize=4)
    axis.plot(*places[-1], marker=marker, color=colour, markersize=4)
    # The head points along the last stretch that can be seen, and stands in the middle of the way.
    lengths = np.linalg.norm(np.diff(places, axis=0), axis=1)
    if lengths.sum() < 0.12 * reach:
        return
    half = int(np.searchsorted(np.cumsum(lengths), lengths.sum() / 2))
    start, end = places[max(0, half - 1)], places[min(len(places) - 1, half + 1)]
    axis.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 0.9, "mutation_scale": 8},
    )


def _reach(rows: pd.DataFrame) -> NDArray[np.floating]:
    reach: NDArray[np.floating] = (
        rows[["low", "high"]].sub(rows["mean"], axis=0).abs().fillna(0.0).T.to_numpy()
    )
    return reach


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colours, then strokes and forms, so that thirty lines are thirty different ones."""
    return {
        name: {
            "color": PALETTE[place % len(PALETTE)],
            "linestyle": _STROKES[place // len(PALETTE) % len(_STROKES)],
            "marker": _FORMS[place % len(_FORMS)],
        }
        for place, name in enumerate(names)
    }


def _grouped_looks(values: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """A colour a group, a stroke and a form a kind."""
    groups, kinds = (list(dict.fromkeys(values[column])) for column in ("group", "kind"))
    return {
        str(row.line): {
            "color": PALETTE[groups.index(row.group) % len(PALETTE)],
            "linestyle": _STROKES[kinds.index(row.kind) % len(_STROKES)],
            "marker": _FORMS[kinds.index(row.kind) % len(_FORMS)],
        }
        for row in values.drop_duplicates("line").itertuples()
    }

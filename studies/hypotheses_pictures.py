"""The pictures of :mod:`studies.hypotheses`."""

from __future__ import annotations

import os
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from studies.hypotheses_jobs import CLASSES, GROUPS, OF_CLASSES, OF_PAIRS, triplets_of
from studies.hypotheses_page import GAP_PAIRS, chosen
from studies.hypotheses_steps_page import COSTED, SCALES, medians
from studies.regions import REGIONS
from textmetric.grid import Family
from textmetric.losses import build
from textmetric.losses.mining import Miner
from textmetric.losses.triplet import Triplet
from textmetric.report.figures import new_figure
from textmetric.report.looks import PALETTE

_COLOURS = {OF_PAIRS: PALETTE[1], OF_CLASSES: PALETTE[0]}
_OF_REGION = dict(zip(REGIONS, (PALETTE[2], PALETTE[1], PALETTE[3]), strict=True))
_SHOWN = 1500
"""At most this many dots of a batch's triplets, every k-th, so that single ones can be seen."""


def spreads(path: str | os.PathLike[str], found: pd.DataFrame) -> None:
    """Draw MAP@R of each seed minus its mean: a panel a corpus, a line an objective.

    Args:
        path: the PNG to write.
        found: see :func:`.hypotheses_page.page`, as for the others.
    """
    cells = found[found["question"] == "spread"]
    corpora = list(dict.fromkeys(cells["corpus"]))
    names = [name for group in GROUPS.values() for name in group]
    with new_figure(path, 2.3 * len(corpora) + 1.6, 0.27 * len(names) + 1.3) as figure:
        axes = figure.subplots(1, len(corpora), squeeze=False, sharey=True, sharex=True)[0]
        for axis, corpus in zip(axes, corpora, strict=True):
            for group, members in GROUPS.items():
                for name in members:
                    of_both = (cells["corpus"] == corpus) & (cells["objective"] == name)
                    values = cells.loc[of_both, "test"].to_numpy()
                    place = np.full(len(values), names.index(name))
                    away = values - values.mean()
                    axis.plot(away, place, "|", color=_COLOURS[group], markersize=9, alpha=0.8)
                    spread = values.std(ddof=1)
                    axis.plot([-spread, spread], place[:2], color=_COLOURS[group], linewidth=1)
            axis.set_title(corpus)
            axis.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        figure.supxlabel("MAP@R of a seed minus the mean; line: ± a standard deviation", fontsize=9)
        figure.legend(
            [
                Line2D([], [], color=colour, marker="|", markersize=9, linestyle="")
                for colour in _COLOURS.values()
            ],
            list(_COLOURS),
            loc="outside upper center",
            ncols=len(_COLOURS),
        )


def gaps(path: str | os.PathLike[str], found: pd.DataFrame) -> None:
    """Draw MAP@R of test and train texts as the ends of a line, with and without dropout."""
    cells = found[found["question"] == "gap"]
    best = chosen(cells)
    corpora, names = list(dict.fromkeys(cells["corpus"])), [*CLASSES, *GAP_PAIRS]
    all_epochs = sorted(set(cells["epochs"]))
    lines = [(name, epochs) for name in names for epochs in all_epochs]
    looks = {"without dropout": PALETTE[8], "with the chosen dropout": PALETTE[0]}
    with new_figure(path, 2.3 * len(corpora) + 2, 0.33 * len(lines) + 1.3) as figure:
        axes = figure.subplots(1, len(corpora), squeeze=False, sharey=True)[0]
        for axis, corpus in zip(axes, corpora, strict=True):
            for place, (name, epochs) in enumerate(lines):
                share = best[corpus, name, epochs]
                for shift, colour, dropped in zip(
                    (-0.17, 0.17), looks.values(), (0.0, share), strict=True
                ):
                    rows = cells[
                        (cells["corpus"] == corpus) & (cells["objective"] == name)
                        & (cells["epochs"] == epochs) & (cells["dropout"] == dropped)
                    ]  # fmt: skip
                    ends = rows[["test_alike", "train_alike"]].mean().to_numpy()
                    axis.plot(ends, [place + shift] * 2, color=colour, linewidth=1.2)
                    axis.plot(ends[0], place + shift, "o", color=colour, markersize=4)
                    axis.plot(
                        ends[1], place + shift, "o", color=colour, markerfacecolor="white",
                        markersize=4,
                    )  # fmt: skip
            axis.set_title(corpus)
        axes[0].set_yticks(
            range(len(lines)), [f"{name}, {epochs} epochs" for name, epochs in lines]
        )
        axes[0].invert_yaxis()
        figure.supxlabel("MAP@R", fontsize=9)
        figure.legend(
            [Line2D([], [], color=colour) for colour in looks.values()]
            + [
                Line2D([], [], color="black", marker="o", linestyle="", markerfacecolor=face)
                for face in ("black", "white")
            ],
            [*looks, "test texts", "train texts"],
            loc="outside upper center",
            ncols=4,
        )


def costs(path: str | os.PathLike[str], found: pd.DataFrame) -> None:
    """Draw the processor time of a step by its parts: a panel a batch size, a bar an objective."""
    micro = medians(found)
    sizes = list(dict.fromkeys(found["batch_size"]))
    parts = {
        "batches": ("batches", PALETTE[2]),
        "prepared": ("clusters and views", PALETTE[3]),
        "loss": ("loss, mining included", PALETTE[1]),
        "rest": ("encoder and optimiser", "#BBBBBB"),
    }
    with new_figure(path, 2.5 * len(sizes) + 1.4, 0.25 * len(COSTED) + 1.3) as figure:
        axes = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
        for axis, size in zip(axes, sizes, strict=True):
            start = np.zeros(len(COSTED))
            for part, (_, colour) in parts.items():
                widths = np.array([micro[name, "", size][part] for name in COSTED]) / 1e3
                axis.barh(range(len(COSTED)), widths, left=start, color=colour, height=0.75)
                start += widths
            axis.set_title(f"batches of {size}")
            axis.grid(visible=False, axis="y")
        axes[0].set_yticks(range(len(COSTED)), COSTED)
        axes[0].invert_yaxis()
        figure.supxlabel("milliseconds of processor time a step", fontsize=9)
        figure.legend(
            [Patch(color=colour) for _, colour in parts.values()],
            [title for title, _ in parts.values()],
            loc="outside upper center",
            ncols=len(parts) if len(sizes) > 2 else 2,
        )


def triplets(path: str | os.PathLike[str], found: pd.DataFrame, corpus: str) -> None:
    """Draw the triplets of a batch by their two distances, and what each miner picks by epoch.

    A row is a miner. Its panels are the batch before, in the middle and at the end of a training,
    and the shares of the regions among the triplets that the miner picks.

    Args:
        path: the PNG to write.
        found: with the column watched, see :class:`.hypotheses_jobs.Watch`.
        corpus: whose trainings are drawn; the batch is of the first seed that did not collapse with
            any miner, the shares are means over all seeds.
    """
    cells = found[(found["question"] == "miners") & (found["corpus"] == corpus)]
    cells = cells[cells["error"].isna() & (cells["scale"] == next(iter(SCALES)))]
    miners = get_args(Miner)
    seeds = cells.groupby("seed")["miner"].nunique()
    whole = seeds[seeds == len(miners)].index
    with new_figure(path, 9.4, 2.05 * len(miners) + 0.6) as figure:
        axes = figure.subplots(len(miners), 4, squeeze=False)
        for row, miner in zip(axes, miners, strict=True):
            of_miner = cells[cells["miner"] == miner]
            row[0].set_ylabel(f"{miner}\n\nd(anchor, negative)")
            if len(whole):
                one = of_miner[of_miner["seed"] == whole[0]]["watched"].iloc[0]
                _batch(row[:3], one, miner)
            if len(of_miner):
                shares = np.mean([each["picked"] for each in of_miner["watched"]], axis=0)
                row[3].stackplot(
                    range(len(shares)), *shares.T, colors=[*_OF_REGION.values()], alpha=0.75
                )
                row[3].xaxis.set_major_locator(MaxNLocator(5, integer=True))
                row[3].set(ylim=(0, 1), xlim=(0, len(shares) - 1), ylabel="share of the picked")
        for axis in axes[-1, :3]:
            axis.set_xlabel("d(anchor, positive)")
        axes[-1, 3].set_xlabel("epoch")
        figure.legend(
            [Patch(color=colour, alpha=0.6) for colour in _OF_REGION.values()]
            + [
                Line2D([], [], color=colour, marker=".", linestyle="")
                for colour in ("#999999", "black")
            ],
            [*REGIONS, "a triplet", "picked, with a loss"],
            loc="outside upper center",
            ncols=5,
        )


def _batch(axes: Any, watched: dict[str, Any], miner: str) -> None:
    labels = np.array(watched["labels"])
    objective = build(Family.METRIC, {"name": "triplet", "miner": miner}, dim=1, classes=2)
    assert isinstance(objective, Triplet)
    margin = objective.params.margin
    looks = watched["embeddings"]
    for axis in axes[len(looks) :]:
        axis.set_axis_off()
    for axis, (epoch, embeddings) in zip(axes, looks.items(), strict=False):
        rows = np.array(embeddings, np.float32)
        generator = torch.Generator().manual_seed(0)  # which of many equal dots are dark
        every, picked = triplets_of(rows, labels, objective, generator)
        reach = 1.05 * float(max(every.positive.max(initial=0), every.negative.max(initial=0)))
        ends = np.array([0, reach])
        top = max(reach, margin)
        bounds = (ends * 0, ends, ends + margin, ends * 0 + 9 * top)
        for region, low, high in zip(REGIONS[::-1], bounds[:-1], bounds[1:], strict=True):
            axis.fill_between(ends, low, high, color=_OF_REGION[region], alpha=0.3, linewidth=0)
        for chosen_ones, colour, size, most in (
            (every, "#777777", 1.5, _SHOWN),
            (picked, "black", 3.0, _SHOWN // 5),
        ):
            step = max(1, -(-len(chosen_ones.positive) // most))
            axis.scatter(
                chosen_ones.positive[::step], chosen_ones.negative[::step],
                s=size, color=colour, linewidths=0, alpha=0.5 if colour != "black" else 0.8,
            )  # fmt: skip
        axis.set(xlim=(0, reach), ylim=(0, top))
        axis.grid(visible=False)
        when = "before" if epoch == "0" else f"after epoch {epoch}"
        axis.set_title(when, fontsize=8)

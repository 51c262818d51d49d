"""The page and the pictures of :mod:`studies.deciding`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from studies import answers
from studies.deciding_jobs import MEASURES, REACHED, STEPS
from studies.deciding_rule import CLEAR, left_out, score, written
from studies.deciding_tables import PURPOSES
from studies.deciding_variants import SWEEPS, Sweep
from textmetric.grid import Family
from textmetric.measures import Outcome, mean_interval, simultaneous_differences
from textmetric.measures.paired import Paired
from textmetric.params import Params
from textmetric.report.figures import new_figure
from textmetric.report.formats import MISSING, difference, number, plain, table, with_interval
from textmetric.report.looks import PALETTE
from textmetric.report.names import FAMILIES
from textmetric.types import Float64

FACTS = ("log rows a class", "log classes", "imbalance", "TF-IDF's accuracy")


class About(NamedTuple):
    """What was trained on what.

    Attributes:
        params: of the sweeps.
        seeds: of the sweeps.
        splits: of a table for the rule.
        most: rows of such tables.
        failed: tables without a difference, since every training of a family failed.
    """

    params: Params
    seeds: Sequence[int]
    splits: int
    most: Sequence[int]
    failed: int


def by_seed(
    sweeps: pd.DataFrame, name: str, measure: str
) -> dict[tuple[str, float], tuple[Float64, Float64]]:
    """The values of a sweep by corpus and level: of metric learning and of classification.

    Args:
        sweeps: sweep, level, corpus, family, seed and the measures.
        name: of the sweep.
        measure: a column.
    """
    of_sweep = sweeps[sweeps["sweep"] == name]
    found = {}
    for (corpus, level), cell in of_sweep.groupby(["corpus", "level"], sort=False):
        ordered = cell.sort_values("seed")
        metric, classification = (
            ordered.loc[ordered["family"] == family, measure].to_numpy(np.float64)
            for family in (Family.METRIC, Family.CLASSIFICATION)
        )
        found[str(corpus), float(str(level))] = (metric, classification)
    return found


def slopes(
    values: dict[tuple[str, float], tuple[Float64, Float64]], *, log: bool
) -> dict[str, Float64]:
    """By corpus, the least-squares slope of the difference over the level, for each seed.

    Args:
        values: see :func:`by_seed`.
        log: per doubling of the level, not per unit.
    """
    found = {}
    for corpus in dict.fromkeys(corpus for corpus, _ in values):
        levels = [level for other, level in values if other == corpus]
        differences = np.array([np.subtract(*values[corpus, level]) for level in levels])
        x = np.log2(levels) if log else np.array(levels)
        x = x - x.mean()
        found[corpus] = x @ differences / (x @ x)
    return found


def judged(
    values: dict[tuple[str, float], tuple[Float64, Float64]],
) -> dict[tuple[str, float], Paired]:
    """Metric − classification of each corpus and level, corrected for their number."""
    return dict(zip(values, simultaneous_differences(list(values.values())), strict=True))


def trends(found: dict[str, Float64]) -> dict[str, Paired]:
    """The slope of each corpus against 0, corrected for their number."""
    pairs = [(slope, np.zeros_like(slope)) for slope in found.values()]
    return dict(zip(found, simultaneous_differences(pairs), strict=True))


def page(sweeps: pd.DataFrame, tables: pd.DataFrame, about: About) -> str:
    """The page in Markdown.

    Args:
        sweeps: a row a training: sweep, level, corpus, family, seed and the measures; empty if no
            corpus was large enough.
        tables: a row a table: corpus, the facts, and the measured difference by purpose.
        about: what was trained.
    """
    comments, sections = [], []
    shown = [name for name in SWEEPS if len(sweeps) and name in set(sweeps["sweep"])]
    for name in shown:
        said, section = _sweep(sweeps, name)
        sections += section
        comments.append(
            answers.comment(
                f"What decides between the families: {SWEEPS[name].title}?",
                "metric − classification along the sweep",
                said,
            )
        )
    of_rule, rule = _rule(tables, about)
    comments.append(
        answers.comment(
            "Can the better family be told from facts of a table?",
            "the winner on corpora that a linear rule was not fitted to",
            of_rule,
        )
    )
    intro = (
        "One factor changes at a time. Everything else is that of the other points: 20 classes, "
        "equal sizes, right labels, balanced batches, the same seeds, and at least 300 steps. "
        f"Classification is trained by cross_entropy and metric learning by triplet "
        f"(temperature: norm\\_softmax and sup\\_con), {len(about.seeds)} seeds, which also draw "
        "the classes and rows. The test part has 15 rows of each class with their right labels. "
        "Differences are metric − classification, paired by seed; those of a sweep are corrected "
        "for their number. Intervals cover seeds, not other corpora."
    ).replace("cross_entropy", "cross\\_entropy")
    parts = [
        "# What decides between classification and metric learning?",
        "\n".join(comments),
        "Reviews of text embeddings disagree on which family is better, and each has its corpora. "
        "Here corpora are changed one factor at a time, and a small rule is fitted to tables drawn "
        "from many corpora. `python -m studies.deciding` writes this page.",
        *(
            ["## One factor at a time", intro, "![metric − classification along each sweep]"
             "(deciding-sweeps.png)", *sections]
            if shown
            else []
        ),
        *rule,
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _sweep(sweeps: pd.DataFrame, name: str) -> tuple[str, list[str]]:
    """The answer of a sweep, and its section."""
    sweep, said, short, rows = SWEEPS[name], [], [], []
    every = {measure: by_seed(sweeps, name, measure) for measure in MEASURES}
    for measure, title in MEASURES.items():
        values = every[measure]
        found, slope = judged(values), trends(slopes(values, log=sweep.log))
        rises, falls = (
            sum(one.outcome(large_is_good=True) is outcome for one in slope.values())
            for outcome in (Outcome.FIRST, Outcome.SECOND)
        )
        ends = [_ends(found, sweep, place) for place in (0, -1)]
        short.append(f"{title}: rises in {rises} of {len(slope)} corpora, falls in {falls}")
        said.append(f"{short[-1]}; {ends[0]}; {ends[1]}")
        for corpus, trend in slope.items():
            levels = [level for other, level in values if other == corpus]
            rows.append(
                [plain(corpus), title]
                + [f"{levels[0]:g} to {levels[-1]:g}"]
                + [_interval(found[corpus, level]) for level in (levels[0], levels[-1])]
                + [_interval(trend)]
            )
    unit = "doubling" if sweep.log else "unit"
    head = ["corpus", "measure", sweep.label, "metric − classification at the first"]
    head += ["at the last", f"slope a {unit}"]
    section = [
        f"### {sweep.label[0].upper()}{sweep.label[1:]}",
        f"Does metric − classification depend on {sweep.title}? {'. '.join(said)}.",
        table(head, rows),
    ]
    if name == "batch":
        section += _speed(sweeps)
    return ". ".join(short), section


def _ends(found: dict[tuple[str, float], Paired], sweep: Sweep, place: int) -> str:
    """How many corpora have which winner at their first or last level."""
    corpora = list(dict.fromkeys(corpus for corpus, _ in found))
    outcomes = []
    for corpus in corpora:
        levels = [level for other, level in found if other == corpus]
        outcomes.append(found[corpus, levels[place]].outcome(large_is_good=True))
    first = sweep.levels[0] if place == 0 else None
    at = f"at {first:g}" if first is not None else "at the largest"
    return (
        f"{at}, metric learning is better in {outcomes.count(Outcome.FIRST)} and classification in "
        f"{outcomes.count(Outcome.SECOND)}"
    )


def _speed(sweeps: pd.DataFrame) -> list[str]:
    """How soon each family is near the end of its curve, by classes in a batch."""
    values = by_seed(sweeps, "batch", STEPS)
    corpora = dict.fromkeys(corpus for corpus, _ in values)
    levels = list(dict.fromkeys(level for _, level in values))
    rows = []
    for corpus in corpora:
        for place, family in enumerate((Family.METRIC, Family.CLASSIFICATION)):
            rows.append(
                [plain(corpus), FAMILIES[family]]
                + [_steps(values[corpus, level][place]) if (corpus, level) in values else MISSING
                   for level in levels]
            )  # fmt: skip
    return [
        f"Steps until MAP@R on validation is at {REACHED:.0%} of its last value, by classes in a "
        "batch (measured after each epoch):",
        table(["corpus", "family", *(f"{level:g}" for level in levels)], rows),
    ]


def _steps(values: Float64) -> str:
    mean, low, high = mean_interval(values)
    return MISSING if math.isnan(mean) else f"{mean:.0f} ± {(high - low) / 2:.0f}"


def _interval(one: Paired) -> str:
    return difference([one.mean, one.low, one.high])


def _rule(tables: pd.DataFrame, about: About) -> tuple[str, list[str]]:
    """The answer of the rule, and its section."""
    rule, said, rows, errors = written(tables, list(PURPOSES)), [], [], []
    for purpose in PURPOSES:
        found = left_out(tables, purpose)
        scored = score(found)
        gain = mean_interval(scored.by_corpus)
        said.append(
            f"{purpose}: right in {scored.right} of {scored.clear} clear tables, the usual winner "
            f"in {scored.usual} ({_against_usual(gain)}); absolute error {scored.error:.3f}, of "
            f"the mean of other corpora {scored.mean_error:.3f}"
        )
        rows.append(
            [
                purpose,
                str(scored.clear),
                *(_share(part, scored.clear) for part in (scored.right, scored.usual)),
                difference(gain),
                *(number(error) for error in (scored.error, scored.mean_error)),
                f"{scored.covered:.0%}",
            ]
        )
        one = rule["purposes"][purpose]
        errors.append(
            [purpose, f"{one['intercept']:+.3f}"]
            + [f"{value:+.3f}" for value in one["coefficients"]]
            + [number(one["residual_sd"]), f"{one['penalty']:g}"]
        )
    of_corpus = [
        [plain(str(corpus)), str(len(cell))]
        + [with_interval(mean_interval(cell[purpose].to_numpy())) for purpose in PURPOSES]
        for corpus, cell in tables.groupby("corpus", sort=False)
    ]
    head = ["purpose", "clear tables", "rule is right", "usual winner is right"]
    head += ["rule − usual, over corpora", "absolute error", "of the mean", "covered"]
    failed = f" {about.failed} more had no difference." if about.failed else ""
    return ". ".join(said), [
        "## A rule",
        f"{len(tables)} tables of at most {' or '.join(f'{most:,}' for most in about.most)} rows "
        "were drawn from "
        f"{tables['corpus'].nunique()} corpora, with other numbers of classes and rows, unequal "
        "classes in a half and wrong labels in a third, and each compared as `textmetric compare` "
        f"does, with {about.splits} resampled splits.{failed} The rule is ridge regression from "
        f"{', '.join(FACTS)} to the difference metric − classification; every corpus weighs the "
        "same, and the penalty is chosen by leaving corpora out.",
        "It is tested on each corpus by a rule of the others: its tables, the penalty and the "
        f"width of the interval come from the others alone. A table is clear if the difference is "
        f"{CLEAR:g} or more. *Usual winner*: the family that is better on more clear tables of the "
        "other corpora. *Covered*: how often the difference is in the rule's 95 % interval.",
        f"{'. '.join(said)}.",
        table(head, rows),
        "![the difference that was measured against that which a rule of the other corpora "
        "expects](deciding-rule.png)",
        "The shipped rule is fitted to all of them. Coefficients are for one standard deviation of "
        "a fact.",
        table(["purpose", "at the mean", *FACTS, "residual", "penalty"], errors),
        "Measured differences, mean over the tables of a corpus; the interval is over the tables:",
        table(["corpus", "tables", *PURPOSES], of_corpus),
    ]


def _against_usual(gain: tuple[float, float, float]) -> str:
    """Whether the rule is right more often than the usual winner, over corpora."""
    _, low, high = gain
    return "the rule is better" if low > 0 else "it is worse" if high < 0 else "no difference"


def _share(part: int, of: int) -> str:
    return f"{part} of {of}" + (f" ({part / of:.0%})" if of else "")


def draw(sweeps: pd.DataFrame, tables: pd.DataFrame, out: Path) -> list[Path]:
    """The pictures, in the folder ``out``."""
    paths = [out / "deciding-rule.png"]
    _draw_rule(paths[0], tables)
    if len(sweeps):
        paths.append(out / "deciding-sweeps.png")
        _draw_sweeps(paths[1], sweeps)
    return paths


def _draw_sweeps(path: Path, sweeps: pd.DataFrame) -> None:
    names = [name for name in SWEEPS if name in set(sweeps["sweep"])]
    corpora = list(dict.fromkeys(sweeps["corpus"]))
    across = min(4, len(names))
    down = math.ceil(len(names) / across)
    with new_figure(path, 3.1 * across, 4.6 * down + 0.4) as figure:
        axes = figure.subplots(2 * down, across, squeeze=False)
        for axis in axes.ravel():
            axis.set_visible(False)
        for place, name in enumerate(names):
            for row, (measure, title) in enumerate(MEASURES.items()):
                axis = axes[2 * (place // across) + row, place % across]
                axis.set_visible(True)
                found = judged(by_seed(sweeps, name, measure))
                for number_, corpus in enumerate(corpora):
                    levels = [level for other, level in found if other == corpus]
                    ones = [found[corpus, level] for level in levels]
                    axis.errorbar(
                        levels,
                        [one.mean for one in ones],
                        yerr=[np.nan_to_num((one.high - one.low) / 2) for one in ones],
                        color=PALETTE[number_ % len(PALETTE)],
                        marker="oDs^vPX"[number_ % 7],
                        markersize=4,
                        linewidth=1.2,
                        capsize=2,
                        elinewidth=0.8,
                        label=corpus,
                    )
                axis.axhline(0, color="#888888", linewidth=1)
                if SWEEPS[name].log:
                    axis.set_xscale("log")
                    ticks = sorted({level for _, level in found})
                    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                    axis.minorticks_off()
                axis.set_xlabel(SWEEPS[name].label, fontsize=8)
                axis.set_title(title, fontsize=9)
                axis.tick_params(labelsize=7.5)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.supylabel("metric − classification", fontsize=9)
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _draw_rule(path: Path, tables: pd.DataFrame) -> None:
    corpora = list(dict.fromkeys(tables["corpus"]))
    with new_figure(path, 8.2, 4.6) as figure:
        axes = figure.subplots(1, len(PURPOSES))
        for axis, purpose in zip(axes, PURPOSES, strict=True):
            found = left_out(tables, purpose)
            for place, corpus in enumerate(corpora):
                cell = found[found["corpus"] == corpus]
                axis.plot(
                    cell["expected"],
                    cell["measured"],
                    linestyle="",
                    marker="oDs^vPX"[place // len(PALETTE) % 7],
                    color=PALETTE[place % len(PALETTE)],
                    markersize=4,
                    label=corpus,
                )
            both = found[["expected", "measured"]].to_numpy()
            ends = [float(both.min()), float(both.max())]
            axis.plot(ends, ends, color="#888888", linewidth=1)
            axis.axhline(0, color="#BBBBBB", linewidth=0.8)
            axis.axvline(0, color="#BBBBBB", linewidth=0.8)
            axis.set(title=purpose, xlabel="expected by a rule of the other corpora")
        axes[0].set_ylabel("measured metric − classification")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)

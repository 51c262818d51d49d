"""A comparison in words: for the terminal, and as a page with a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from textmetric.compare.comparison import Comparison
from textmetric.compare.learners import LEARNING_RATES, Arm
from textmetric.errors import UserError, printable
from textmetric.files import replacing_folder, write_json
from textmetric.grid import Baseline, Family
from textmetric.measures import Outcome, Paired
from textmetric.report.blocks import (
    Block,
    Cell,
    Column,
    Difference,
    Document,
    Mean,
    Picture,
    Section,
    Table,
)
from textmetric.report.figures import answers
from textmetric.report.formats import difference, number, plain, words
from textmetric.report.markdown import write_markdown
from textmetric.report.names import FAMILIES, Measure
from textmetric.report.page import write_page
from textmetric.report.verdicts import verdict_table
from textmetric.types import Float64

PICTURE = "differences.png"
DATA = "comparison.json"
MINUS = "− classification"


def headline(comparison: Comparison) -> str:
    """The verdict in a sentence, with its interval and what it is about."""
    found, measure = comparison.verdict.paired, comparison.measure.name
    said = f"For {comparison.purpose.title}: {words(comparison.verdict.judgement)}"
    if math.isnan(found.mean):
        return f"{said}: trainings failed"
    interval = difference([found.mean, found.low, found.high])
    return f"{said}. {measure}, metric − classification: {interval}"


def baseline_sentences(comparison: Comparison) -> list[str]:
    """Which baselines nothing that was trained beats, a sentence each."""
    said = []
    for each in comparison.against:
        if each.beaten:
            continue
        worse = set(each.outcomes.values()) == {Outcome.SECOND}
        said.append(
            f"{each.title[:1].upper()}{each.title[1:]} beats all that was trained."
            if worse
            else f"Nothing that was trained beats {each.title}."
        )
    return said


def prior_sentences(comparison: Comparison) -> list[str]:
    """What a rule expected before training, and the measured difference together with it."""
    prior = comparison.prior
    if prior is None:
        return []
    if prior.facts is None or prior.expected is None:
        return [f"There is no rule of what to expect for {comparison.purpose.name}."]
    *facts, last = (f"{name} ({value})" for name, value in prior.facts.shown.items())
    said = [
        f"Expected before training, from {', '.join(facts)} and {last}: metric − classification "
        f"{difference(prior.expected)}, by a rule fitted on {len(prior.corpora)} corpora."
    ]
    if prior.outside:
        said.append(
            f"The rule was not fitted on such a table: {'; '.join(prior.outside)}. Its interval "
            "does not allow for that."
        )
    if comparison.with_prior is not None:
        said.append(f"Measured difference with this prior: {difference(comparison.with_prior)}.")
    return said


def about(comparison: Comparison) -> list[str]:
    """What was compared on what, a sentence each."""
    splits, train_rows = comparison.splits, comparison.splits[0].rows
    said = [
        f"{comparison.rows:,} of {comparison.given:,} rows, {len(comparison.classes):,} classes, "
        f"{len(splits)} random splits, each with its own seed: {train_rows[0]:,} rows to learn "
        f"from, {train_rows[1]:,} to choose by, {train_rows[2]:,} for test."
    ]
    if comparison.left_out:
        said.append(f"Left out: {'; '.join(comparison.left_out)}.")
    said += [
        f"{arm.title}: a training failed ({error})" for arm, error in comparison.failures.items()
    ]
    return said


def terminal(comparison: Comparison) -> str:
    """The table, aligned, and the verdict below it."""
    head = ["", f"{comparison.measure.name}, 95 % interval", MINUS]
    rows = [
        [
            f"{FAMILIES[family]}, at its best",
            _bounds(comparison, comparison.of_family(family)),
            _of(comparison.verdict.paired) if family is Family.METRIC else "",
        ]
        for family in (Family.CLASSIFICATION, Family.METRIC)
    ]
    rows += [
        [_title(side), _bounds(comparison, _values(comparison, side)), _of(found)]
        for side, found in comparison.differences.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    text = [
        *about(comparison),
        "",
        *lines,
        "",
        headline(comparison) + ".",
        *baseline_sentences(comparison),
        *prior_sentences(comparison),
        f"{comparison.wall_seconds:.0f} s, {comparison.cpu_seconds:.0f} s of processor time.",
    ]
    return "\n".join(map(printable, text))


def _title(side: Arm | Baseline) -> str:
    return f"  {side.title}" if isinstance(side, Arm) else _BASELINES[side]


_BASELINES = {Baseline.TFIDF: "TF-IDF", Baseline.UNTRAINED: "untrained encoder"}


def _values(
    comparison: Comparison, side: Arm | Baseline | Family, measure: Measure | None = None
) -> Float64:
    key = None if measure is None else measure.key
    if isinstance(side, Family):
        return comparison.of_family(side, key=key)
    if isinstance(side, Arm):
        return comparison.of_arm(side, key)
    return comparison.of_baseline(side, key)


def _bounds(comparison: Comparison, values: Float64) -> str:
    mean, low, high = comparison.interval(values)
    return (
        f"{number(mean)} [{number(low)}, {number(high)}]" if not math.isnan(low) else number(mean)
    )


def _of(found: Paired) -> str:
    return difference([found.mean, found.low, found.high])


# ---------------------------------------------------------------- page


def write_report(comparison: Comparison, folder: Path, *, name: str) -> None:
    """Write ``report.html``, ``report.md``, ``comparison.json`` and the picture to a folder.

    Args:
        comparison: what was found.
        folder: a new folder, or one that such a report is in, which is replaced.
        name: of the table, for the title.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    refuse_other(folder)
    with replacing_folder(folder) as temporary:
        draw(comparison, temporary / PICTURE)
        page = document(comparison, name)
        write_markdown(temporary / "report.md", page, folder=".")
        write_page(temporary / "report.html", page, {}, root=temporary)
        write_json(temporary / DATA, comparison.as_dict())


def refuse_other(folder: Path) -> None:
    """Refuse a folder that holds something else than a report.

    Raises:
        UserError: it does.
    """
    ours = {PICTURE, "report.md", "report.html", DATA}
    if folder.exists() and not (
        folder.is_dir() and {path.name for path in folder.iterdir()} <= ours
    ):
        raise UserError(
            f"{folder} is there and holds no report of a comparison: name another folder, or "
            "remove it"
        )


def draw(comparison: Comparison, path: Path) -> None:
    """Draw the differences to classification with their intervals."""
    sides = [
        (f"{verdict.contrast.title} (metric learning)", verdict.paired, verdict.outcome)
        for verdict in comparison.verdicts
    ]
    sides += [
        (_title(side).strip(), found, found.outcome(large_is_good=comparison.measure.large_is_good))
        for side, found in comparison.differences.items()
    ]
    known = [
        (title, (found.mean, found.low, found.high), outcome)
        for title, found, outcome in sides
        if math.isfinite(found.mean)
    ]
    answers(path, known, f"{comparison.measure.name} − that of classification, 95 % intervals")


def document(comparison: Comparison, name: str) -> Document:
    """The report as a document of tables and sentences.

    Args:
        comparison: what was found.
        name: of the table, for the title.
    """
    return Document(
        f"Classification or metric learning on {plain(name)}?",
        [
            Section("verdict", "Verdict", _verdict(comparison)),
            Section("arms", "Every way to train", _arms(comparison)),
            Section("method", "How it was compared", _method(comparison)),
        ],
        seeds=list(range(len(comparison.splits))),
        samplers=list(dict.fromkeys(arm.sampler for arm in comparison.arms)),
    )


def _verdict(comparison: Comparison) -> list[Block]:
    measures = comparison.purpose.measures
    sides: list[Family | Baseline] = [Family.CLASSIFICATION, Family.METRIC, *Baseline]
    rows: list[list[Cell]] = [
        [
            f"{FAMILIES[side]}, at its best" if isinstance(side, Family) else _BASELINES[side],
            *(_mean(comparison, _values(comparison, side, measure)) for measure in measures),
        ]
        for side in sides
    ]
    return [
        f"**{plain(headline(comparison))}.**",
        *baseline_sentences(comparison),
        *map(plain, prior_sentences(comparison)),
        Picture(PICTURE, "differences to classification at its best, with their intervals"),
        Table([Column(""), *(Column(measure.title) for measure in measures)], rows),
        "Metric learning against classification, each at its best (on the validation part of "
        "each split), and under each sampler:",
        verdict_table(comparison.verdicts),
    ]


def _arms(comparison: Comparison) -> list[Block]:
    columns = [Column("arm"), *(Column(measure.title) for measure in comparison.purpose.measures)]
    columns += [Column(title) for title in (MINUS, "chosen", "learning rates", "seconds")]
    chosen = np.concatenate([comparison.chosen(family) for family in Family])
    rows: list[list[Cell]] = []
    for place, arm in enumerate(comparison.arms):
        found = comparison.differences[arm]
        of_splits = [split.arms[place] for split in comparison.splits]
        rates = [sum(each.lr == lr for each in of_splits) for lr in LEARNING_RATES]
        rows.append(
            [
                plain(arm.title),
                *(
                    _mean(comparison, comparison.of_arm(arm, measure.key))
                    for measure in comparison.purpose.measures
                ),
                Difference([found.mean, found.low, found.high]),
                f"{int((chosen == place).sum())} of {len(of_splits)}",
                ", ".join(
                    f"{lr:g} × {count}"
                    for lr, count in zip(LEARNING_RATES, rates, strict=True)
                    if count
                ),
                number(float(np.mean([each.seconds for each in of_splits]))),
            ]
        )
    return [
        Table(columns, rows),
        "*Chosen*: on how many splits the arm is the one of its family with the best validation. "
        "*Learning rates*: how often each was the best on validation. *Seconds*: of one training. "
        "The intervals of the differences are simultaneous for all arms and baselines "
        "(Bonferroni).",
    ]


def _method(comparison: Comparison) -> list[Block]:
    of_classes = (
        " Few classes are drawn, and they differ much: the interval is a rough one."
        if comparison.purpose.by_class
        else ""
    )
    return [
        " ".join(map(plain, about(comparison))),
        f"{comparison.purpose.about[:1].upper()}{comparison.purpose.about[1:]}. All arms have the "
        "same encoder, start, number of steps and learning rates to choose from, and both families "
        "as many arms. No text is in two parts, compared as the tokenizer sees it. The test part "
        "is measured last and chooses nothing.",
        "The verdict is one comparison that was chosen before: each family with the arm that is "
        "best on validation, split by split. Its interval is that of the corrected resampled t "
        f"test (Nadeau & Bengio 2003) over {len(comparison.splits)} splits, with n_test / n_train "
        f"= {comparison.test_to_train:.2f}. It covers other seeds and other splits of a sample "
        "like this one, for learners that train on as many rows. It says nothing of other corpora."
        + of_classes,
        f"It took {comparison.wall_seconds:.0f} s, and {comparison.cpu_seconds:.0f} s of "
        "processor time.",
    ]


def _mean(comparison: Comparison, values: Float64) -> Mean:
    return Mean(comparison.interval(values), values.tolist())

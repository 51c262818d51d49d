"""What the report says: how the run was made, its verdicts, its tables, and every measure."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from textmetric.report import original
from textmetric.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Map,
    Picture,
    Section,
    Table,
    mean_cell,
)
from textmetric.report.findings import Finding, cohesion_against_retrieval, find_all
from textmetric.report.names import (
    HEADLINES,
    MEASURES,
    SCARCE_MEASURES,
    Measure,
)
from textmetric.report.rows import (
    arms_table,
    measure_rows,
    rows_in_words,
    scarce_names,
    scarce_rows,
    tsne_map,
)
from textmetric.report.study import Record, Study
from textmetric.report.tables import plain
from textmetric.report.verdicts import (
    CLASSIFICATION,
    METRIC,
    NO_DIFFERENCE,
    NO_VERDICT,
    arms_named,
    effects_of,
    said,
)


def build_document(study: Study, *, folder: str = "reports") -> Document:
    """Everything that the report says of a run.

    Args:
        study: the run.
        folder: where the report will stand below the root of the project, for its links.
    """
    costs = posixpath.relpath("reports/costs.md", folder)
    findings = find_all(study)
    shown = {
        block.split for finding in findings for block in finding.blocks if isinstance(block, Map)
    }
    sections = [
        Section("summary", "Summary", _summary(study, findings)),
        Section("run", "What was run", _about(study)),
        *_originals(study, findings),
        *(
            Section(finding.anchor, f"{finding.table} {finding.title}", finding.blocks)
            for finding in findings
        ),
        Section("splits", "Every measure, split by split", _overview(study)),
        *(_split(study, split, with_map=split not in shown) for split in study.splits),
        Section(
            "costs",
            "Costs",
            [
                f"[costs.md]({costs}) has the wall seconds and the peak memory of every arm. They "
                "are kept apart, since they alone differ from run to run."
            ],
        ),
    ]
    return Document("Results", sections, study.seeds, study.samplers)


def _about(study: Study) -> list[Block]:
    counted = ("classes", "train_rows", "validation_rows", "test_rows", "leaked_rows")
    rows = [
        [
            Cell(role),
            Cell(plain(original.corpus_title(summary))),
            *(Cell(f"{summary[key]:,}", summary[key]) for key in counted),
        ]
        for role, summary in study.corpora.items()
    ]
    head = ["role", "corpus", "classes", "train", "validation", "test", "leaked"]
    train = study.train
    seeds = (
        "**One seed only: no intervals can be given, there is no verdict, and no difference "
        "below means anything yet.**"
        if len(study.seeds) == 1
        else f"Every number is the mean over {len(study.seeds)} seeds, ± half of its 95 % "
        "interval (Student t)."
    )
    return [
        "Two objectives train the same encoder: "
        f"{_objective(study.objectives['classification'])} (classification) and "
        f"{_objective(study.objectives['metric'])} (metric learning). {seeds}",
        f"Equal for every arm: {train.epochs} epochs of the same number of steps, "
        f"{train.batch_size} texts a batch, {train.optimizer} with learning rate {train.lr:g} "
        f"({train.decay} decay), and the seeds. **No objective is tuned**: each has the "
        "parameters above in every table.",
        Table([Column(title) for title in head], rows),
        "*leaked*: texts of the test part that also stood in train and were dropped there.",
    ]


def _objective(description: Mapping[str, Any]) -> str:
    values = ", ".join(f"{key} {value}" for key, value in description["parameters"].items())
    return f"`{description['name']}`" + (f" with {values}" if values else "")


def _summary(study: Study, findings: Sequence[Finding]) -> list[Block]:
    """The verdicts, in sentences that are made of nothing else."""
    decided: dict[str, list[str]] = {}
    asked = _different_questions(findings)
    for finding in asked:
        decided.setdefault(_words(finding), []).append(finding.link)
    order = [f"{METRIC} better", f"{CLASSIFICATION} better", NO_DIFFERENCE, NO_VERDICT]
    blocks: list[Block] = [
        "**In short.** By MAP@R (in the transfer by test accuracy), each objective with the "
        "sampler that its MAP@R on validation prefers: "
        + "; ".join(
            f"**{words}** in {len(decided[words])} of {len(asked)} ({', '.join(decided[words])})"
            for words in order
            if words in decided
        )
        + ".",
        "\n".join(
            f"- {finding.link} {finding.title}. {_what_it_says(finding)}"
            for finding in findings
            if finding.subject
        ),
    ]
    blocks += _sampler_or_objective(study, findings)
    apart = [
        f"- {finding.link} {sentence}."
        for finding in findings
        for sentence in cohesion_against_retrieval(finding.verdicts)
    ]
    if apart:
        blocks += [
            "**Cohesion and MAP@R do not agree** in these comparisons, so cohesion alone would "
            "tell another story:",
            "\n".join(apart),
        ]
    blocks.append(
        "A verdict is a paired t test over the seeds, corrected for all comparisons of its table "
        "(Holm 1979) at 95 %; d is Cohen's effect size, the mean difference in standard "
        "deviations of the differences between seeds. It tells what other seeds would give, and "
        "nothing of another corpus."
    )
    return blocks


def _different_questions(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, one for each headline: the tables 8-2-1 to 8-2-3 have one retrieval."""
    first: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        if finding.headline:
            key = (*finding.splits, finding.headline.key) if finding.splits else (finding.table,)
            first.setdefault(key, finding)
    return list(first.values())


def _words(finding: Finding) -> str:
    verdict = finding.of(finding.headline) if finding.headline else None
    return verdict.words if verdict else NO_VERDICT


def _what_it_says(finding: Finding) -> str:
    """The verdicts on its subject and its headline, and on whom."""
    sentences, whom = [], ""
    for measure in dict.fromkeys([finding.subject, finding.headline]):
        verdict = finding.of(measure) if measure else None
        if verdict:
            sentences.append(said(verdict))
            whom = f" ({arms_named(verdict.contrast)})"
        elif measure:
            sentences.append(f"{measure.name}: **{NO_VERDICT}**")
    text = "; ".join(sentences)
    return f"{text[0].upper()}{text[1:]}{whom}."


def _sampler_or_objective(study: Study, findings: Sequence[Finding]) -> list[Block]:
    """Which of the two moves MAP@R more, table by table."""
    larger, total = [], 0
    for finding in _different_questions(findings):
        if not finding.splits or finding.headline is None:
            continue
        effects = effects_of(study, finding.splits, finding.headline.key)
        moved = {name: abs(float(values.mean())) for name, values in effects.items()}
        if moved and not any(map(math.isnan, moved.values())):
            total += 1
            if moved["sampler"] > moved["objective"]:
                larger.append(finding.link)
    if not total:
        return []
    which = f" ({', '.join(larger)})" if larger else ""
    return [
        f"The sampler moves the mean MAP@R more than the objective does in {len(larger)} of "
        f"{total}{which}."
    ]


def _originals(study: Study, findings: Sequence[Finding]) -> list[Section]:
    """Whether the original's conclusions hold, where its corpora were used."""
    used = {
        role: original.corpus_of(study.corpora[role]) if role in study.corpora else None
        for role in ("target", "source")
    }
    holds = {
        "7-1": used["target"] == original.AG_NEWS,
        "8-1": used["target"] == original.AG_NEWS,
        "7-2": used["source"] == original.DBPEDIA_CLASSES,
        "9": used == {"target": original.AG_NEWS, "source": original.DBPEDIA_CLASSES},
    }
    by_table = {finding.table: finding for finding in findings}
    rows = []
    for claim in original.CLAIMS:
        if not holds[claim.table] or claim.table not in by_table:
            continue
        finding = by_table[claim.table]
        for measure in dict.fromkeys([finding.subject, finding.headline]):
            for verdict in finding.verdicts:
                if measure and verdict.measure.key == measure.key:
                    rows.append(
                        [
                            Cell(f"[{claim.table}](#{finding.anchor}) {claim.sentence}"),
                            Cell(f"{measure.name}, {verdict.contrast.name}"),
                            Cell(verdict.words),
                            Cell(_holds(verdict.words, claim.better)),
                        ]
                    )
    if not rows:
        return []
    samples = [
        original.corpus_title(study.corpora[role])
        for role in used
        if used[role] and study.corpora[role].get("sample_of")
    ]
    note = f" Found on {' and '.join(samples)}, not on the whole." if samples else ""
    columns = ["the original's conclusion", "measured by", "found here", "holds"]
    return [
        Section(
            "original",
            "Do the original's conclusions hold?",
            [
                "The original study ran each setting once and named no sampler, so each of its "
                f"conclusions is held against every comparison made here.{note}",
                Table([Column(title) for title in columns], rows),
            ],
        )
    ]


def _holds(words: str, better: str) -> str:
    if words == f"{better} better":
        return "yes"
    return "**no, the opposite**" if words.endswith("better") else "not at 95 %"


# ---------------------------------------------------------------- every split


def _overview(study: Study) -> list[Block]:
    headline = MEASURES[0]
    rows = [
        [
            Cell(plain(split)),
            *(_interval_cell(study.records[split][arm], headline) for arm in study.arms),
        ]
        for split in study.splits
    ]
    names = ", ".join(measure.name for measure in HEADLINES)
    return [
        f"{headline.name} at a glance: one row a split, one column an arm.",
        arms_table(study, f"split, {headline.title}", rows),
        *(
            Picture(
                f"reports/figures/measures-{role}.png",
                f"{names} of the splits of the {role}, by arm",
            )
            for role in study.roles
        ),
    ]


def _interval_cell(record: Record, measure: Measure) -> Cell:
    return mean_cell(record["interval"].get(measure.key), record["per_seed"].get(measure.key, ()))


def _split(study: Study, split: str, *, with_map: bool) -> Section:
    record = study.arm_record(split)
    scarce = f" Scarce: {scarce_names(record)} ({scarce_rows(record)})." * bool(record["scarce"])
    blocks: list[Block] = [
        f"Role {study.splits[split].role}: {rows_in_words(record)}.{scarce} One row a measure, one "
        "column an arm; an arrow says whether large or small is good.",
        arms_table(study, "measure", measure_rows(study, [split], MEASURES)),
    ]
    if record["scarce"]:
        blocks += [
            "The same over the scarce labels alone: their rows are the queries, all rows are "
            "there to be found.",
            arms_table(study, "measure", measure_rows(study, [split], SCARCE_MEASURES)),
        ]
    if with_map:
        blocks.append(tsne_map(split))
    blocks += [
        "Training by epoch: means over seeds, 95 % intervals as bands; losses of different "
        "objectives cannot be compared.",
        Picture(f"reports/figures/curves-{split}.png", f"learning curves of {split}"),
    ]
    return Section(f"split-{split}", plain(split), blocks, level=3)

"""The whole report of a run: how it was made, its verdicts, its tables, and every measure."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from textmetric.grid import ROLES, Family
from textmetric.measures import Outcome
from textmetric.report import original
from textmetric.report.blocks import (
    Block,
    Cell,
    Column,
    Count,
    Document,
    Judgement,
    Map,
    Picture,
    Section,
    Table,
)
from textmetric.report.findings import Finding, find_all
from textmetric.report.findings.finding import (
    arms_table,
    cohesion_against_retrieval,
    mean_of,
    measure_rows,
    rows_in_words,
    scarce_names,
    scarce_rows,
    tsne_map,
)
from textmetric.report.formats import NO_VERDICT, difference, effect, plain, words
from textmetric.report.names import HEADLINES, MEASURES, SCARCE_MEASURES, arm_title
from textmetric.report.study import Study
from textmetric.report.verdicts import Contrast, Verdict, effects_of


def build_document(study: Study, *, folder: str = "reports") -> Document:
    """Everything that the report says of a run.

    Args:
        study: the run.
        folder: where the report is, below the root of the project, for its links.
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
    rows: list[list[Cell]] = [
        [
            role,
            plain(original.corpus_title(summary)),
            *(Count(summary[key]) for key in counted),
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
        f"{_objective(study.objectives[Family.CLASSIFICATION])} (classification) and "
        f"{_objective(study.objectives[Family.METRIC])} (metric learning). {seeds}",
        f"Equal for every arm: {train.epochs} epochs of the same number of steps, "
        f"{train.batch_size} texts a batch, {train.optimizer} with learning rate {train.lr:g} "
        f"({train.decay} decay), and the seeds. **No objective is tuned**: each has the "
        "parameters above in every table.",
        Table([Column(title) for title in head], rows),
        "*leaked*: texts of the test part that also occur in train and were dropped there.",
    ]


def _objective(description: Mapping[str, Any]) -> str:
    values = ", ".join(f"{key} {value}" for key, value in description["parameters"].items())
    return f"`{description['name']}`" + (f" with {values}" if values else "")


def _summary(study: Study, findings: Sequence[Finding]) -> list[Block]:
    """The verdicts, in sentences that are made of nothing else."""
    asked = _different_questions(findings)
    decided: dict[Outcome, list[str]] = {}
    for finding in asked:
        verdict = finding.of(finding.headline)
        outcome = verdict.outcome if verdict else Outcome.UNKNOWN
        decided.setdefault(outcome, []).append(finding.link)
    blocks: list[Block] = [
        "**In short.** By MAP@R (in the transfer by test accuracy), each objective with the "
        "sampler that its MAP@R on validation prefers: "
        + "; ".join(
            f"**{words(Judgement(outcome))}** in {len(decided[outcome])} of {len(asked)} "
            f"({', '.join(decided[outcome])})"
            for outcome in Outcome
            if outcome in decided
        )
        + ".",
        "\n".join(
            f"- {finding.link} {finding.title}. {_what_it_says(study, finding)}"
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
        "deviations of the differences between seeds. It covers variation across seeds, not across "
        "corpora."
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


def _what_it_says(study: Study, finding: Finding) -> str:
    """The verdicts on its subject and its headline, and on whom."""
    sentences, whom = [], ""
    for measure in dict.fromkeys([finding.subject, finding.headline]):
        verdict = finding.of(measure)
        if verdict:
            sentences.append(_in_words(verdict))
            whom = f" ({_arms_named(verdict.contrast)})"
        elif measure:
            why = "one arm" if len(study.arms) == 1 else "too few test rows to measure it"
            sentences.append(f"{measure.name}: **{NO_VERDICT}** ({why})")
    text = "; ".join(sentences)
    return f"{text[0].upper()}{text[1:]}{whom}."


def _in_words(verdict: Verdict) -> str:
    """Outcome, difference, effect size; only differences with an interval."""
    if verdict.outcome is Outcome.UNKNOWN:
        return f"{verdict.measure.name}: **{NO_VERDICT}** (one seed, or a value is missing)"
    paired = verdict.paired
    return (
        f"{verdict.measure.name}: **{words(verdict.judgement)}** "
        f"({difference([paired.mean, paired.low, paired.high])}, d {effect(paired.effect)})"
    )


def _arms_named(contrast: Contrast) -> str:
    """Both arms of a contrast; its name if it compares starts of fine-tuning."""
    return " against ".join(map(arm_title, contrast.arms)) if contrast.arms else contrast.name


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
        for role in ROLES
    }
    by_table = {finding.table: finding for finding in findings}
    rows: list[list[Cell]] = []
    for claim in original.CLAIMS:
        finding = by_table.get(claim.table)
        if finding is None or any(used[role] != corpus for role, corpus in claim.corpora.items()):
            continue
        for measure in dict.fromkeys([finding.subject, finding.headline]):
            rows += [
                [
                    f"[{claim.table}](#{finding.anchor}) {claim.sentence}",
                    f"{measure.name}, {verdict.contrast.name}",
                    words(verdict.judgement),
                    _holds(verdict.outcome, claim.better),
                ]
                for verdict in finding.verdicts
                if measure and verdict.measure.key == measure.key
            ]
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
                f"conclusions is compared with every comparison made here.{note}",
                Table([Column(title) for title in columns], rows),
            ],
        )
    ]


def _holds(outcome: Outcome, better: Outcome) -> str:
    if outcome is better:
        return "yes"
    opposite = outcome in (Outcome.FIRST, Outcome.SECOND)
    return "**no, the opposite**" if opposite else "not at 95 %"


# ---------------------------------------------------------------- every split


def _overview(study: Study) -> list[Block]:
    headline = MEASURES[0]
    rows: list[list[Cell]] = [
        [plain(split), *(mean_of(study.per_seed([split], arm, headline.key)) for arm in study.arms)]
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


def _split(study: Study, split: str, *, with_map: bool) -> Section:
    about = study.about(split)
    scarce = f" Scarce: {scarce_names(about)} ({scarce_rows(about)})." * bool(about.scarce)
    blocks: list[Block] = [
        f"Role {study.splits[split].role}: {rows_in_words(about)}.{scarce} One row a measure, one "
        "column an arm; an arrow says whether large or small is good.",
        arms_table(study, "measure", measure_rows(study, [split], MEASURES)),
    ]
    if about.scarce:
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

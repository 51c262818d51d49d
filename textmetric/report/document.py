"""The whole report of a run: how it was made, its verdicts, its tables, and every measure."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textmetric.files import read_json
from textmetric.grid import INPUTS, ROLES, Baseline, Family
from textmetric.measures import Outcome
from textmetric.measures.paired import FEWEST_SEEDS
from textmetric.report import original
from textmetric.report.blocks import (
    Block,
    Cell,
    Column,
    Count,
    Difference,
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
    mean_of,
    measure_rows,
    rows_in_words,
    scarce_names,
    scarce_rows,
    tsne_map,
)
from textmetric.report.formats import NO_VERDICT, code, plain, word, words
from textmetric.report.lettering import on_every_machine
from textmetric.report.names import ANSWER, BASELINES, HEADLINES, MEASURES, SCARCE_MEASURES
from textmetric.report.study import Study
from textmetric.report.verdicts import DECIDED, Verdict, effects_of

ANSWERS = Path(__file__).with_name("answers.json")
"""What the pages of ``docs/`` answer, as ``python -m studies.answers`` writes it."""


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
        *_answers(folder),
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
    counted = [
        "classes",
        "train_rows",
        "validation_rows",
        "test_rows",
        "leaked_rows",
        "crossing_rows",
    ]
    head = ["role", "corpus", "classes", "train", "validation", "test", "leaked", "crossing"]
    unlabelled = any("unlabelled_rows" in summary for summary in study.corpora.values())
    if unlabelled:
        counted += ["unlabelled_rows", "unlabelled_leaked_rows", "unlabelled_duplicate_rows"]
        head += ["unlabelled", "unlabelled, leaked", "unlabelled, repeated"]
    of_tables = {"lines": "lines read", "rows": "rows read", "empty_rows": "empty"}
    used = [key for key in of_tables if any(key in each for each in study.corpora.values())]
    counted += used
    head += [of_tables[key] for key in used]
    rows: list[list[Cell]] = [
        [
            role,
            plain(original.corpus_title(summary)),
            *(
                "–" if key in of_tables and key not in summary else Count(summary.get(key, 0))
                for key in counted
            ),
        ]
        for role, summary in study.corpora.items()
    ]
    train = study.train
    seeds = (
        "**One seed only: no intervals can be given, there is no verdict, and no difference "
        "below means anything yet.**"
        if len(study.seeds) == 1
        else f"Every number is the mean over {len(study.seeds)} seeds, ± half of its 95 % "
        "interval (Student t)."
        + " **Fewer than three seeds allow no verdict.**"
        * (len(study.seeds) < FEWEST_SEEDS)
    )
    windows = "" if train.window is None else f" from windows of at most {train.window:,}"
    return [
        "Two objectives train the same encoder: "
        f"{_objective(study.objectives[Family.CLASSIFICATION])} (classification) and "
        f"{_objective(study.objectives[Family.METRIC])} (metric learning). {seeds}",
        _encoder(study),
        f"Equal for every arm: {train.epochs} epochs of the same number of steps, "
        f"{train.batch_size} texts a batch{windows}, {train.optimizer} with learning rate "
        f"{train.lr:g} ({train.decay} decay), and the seeds. **No objective is tuned**: each has "
        "the parameters above in every table.",
        "Next to the arms are two baselines, measured by the same functions on the same rows. "
        "*TF-IDF*: vectors weighted by the train rows of each split; its head is logistic "
        "regression on them. *Untrained*: the encoder with the weights that every training of a "
        "seed starts from. TF-IDF draws nothing at random, so it has no interval.",
        *([] if study.pretraining is None else [_pretraining(study.pretraining)]),
        Table([Column(title) for title in head], rows),
        "*leaked*: texts of the test part that also occur in train and were dropped there. "
        "*crossing*: texts that were dropped because the other role has them in another part, so "
        "that neither trains or validates on what the other validates or tests on.",
        *[
            "*unlabelled*: texts without a label, which count for the vocabulary and the "
            "pre-training alone. Left out before: texts that are in the validation or test part of "
            "either role (*leaked*), and texts of train or of another such row (*repeated*)."
        ]
        * unlabelled,
        *[
            "*lines read*, *rows read*: of the user's tables; blank lines and line breaks in "
            "quotes make them differ. *empty*: rows without a text or label, which were left out."
        ]
        * bool(used),
        *_unwatched(study),
    ]


def _unwatched(study: Study) -> list[Block]:
    """Of which tables a change is not noticed."""
    outside = {
        code(str(summary["name"])): None
        for summary in study.corpora.values()
        if "rows" in summary and INPUTS.resolve() not in Path(summary["name"]).resolve().parents
    }
    if not outside:
        return []
    return [
        f"Read from outside of `{INPUTS}/`, where DVC does not notice a change: "
        f"{', '.join(outside)}. The results are of the content at that time; after a change run "
        "`dvc repro -f download`, then `dvc repro`."
    ]


def _encoder(study: Study) -> str:
    model = study.model
    on_top = {
        "bag": "nothing",
        "linear": "a linear layer",
        "layernorm": "layer norm and a linear layer",
        "mlp": "two linear layers with a ReLU",
    }[model.layer]
    if model.encoder == "frozen":
        of = "that the corpora bring" if model.vectors is None else f"of {code(model.vectors)}"
        return (
            f"The encoder: text vectors {of}, which stay as they are, and {on_top} over them, "
            f"{model.dim} wide."
        )
    start = (
        "which start at a latent semantic analysis of the texts to learn from"
        if model.start == "lsa"
        else "which start at random"
    )
    if model.vectors is not None:
        shares = " and ".join(f"{share:.0%} ({role})" for role, share in study.found.items())
        kept = ", which stay as they are" if study.train.vectors == "frozen" else ""
        start = (
            f"which start at those of {code(model.vectors)}{kept}; these have {shares} of the "
            "train texts' tokens"
        )
    weighted = ", weighted by inverse document frequency at the start" * (model.weights == "idf")
    return (
        f"The encoder: the mean of token vectors, {start}{weighted}; with {on_top} over it, "
        f"{model.dim} wide."
    )


def _pretraining(about: Mapping[str, Any]) -> str:
    return (
        f"Before, the encoder of every arm is trained without labels by {_objective(about)} on all "
        f"texts to learn from, in {about['epochs']} epochs of {about['batch_size']} texts a batch "
        f"with learning rate {about['lr']:g}. Arms with the same seed start from the same weights."
    )


def _objective(description: Mapping[str, Any]) -> str:
    values = ", ".join(f"{key} {word(value)}" for key, value in description["parameters"].items())
    return code(description["name"]) + (f" with {values}" if values else "")


def _summary(study: Study, findings: Sequence[Finding]) -> list[Block]:
    """The answer: a row and a dot for each use, then what the intervals are."""
    used = [finding for finding in findings if finding.use and finding.verdict]
    primaries = sum(finding.primary is not None for finding in findings)
    rows: list[list[Cell]] = [
        _answer(finding, verdict) for finding in used if (verdict := finding.verdict)
    ]
    columns = [
        "embeddings for",
        "verdict",
        "metric − classification",
        "classification",
        "metric",
        *BASELINES.values(),
        "covers",
    ]
    if not rows:
        return [f"**{NO_VERDICT}**: no two arms differ in the objective alone."]
    by: dict[str, dict[str, None]] = {}
    for finding in used:
        by.setdefault(finding.subject.name, {})[finding.use.split(",")[0]] = None
    measured = "; ".join(f"{name} for {', '.join(uses)}" for name, uses in by.items())
    return [
        f"Which embeddings are better: those of {_name(study, Family.METRIC)} (metric learning), "
        f"or of {_name(study, Family.CLASSIFICATION)} (classification)? A row for each use; each "
        "family with the sampler that is best on validation for this use.",
        Table([Column(title) for title in columns], rows),
        Picture(
            f"reports/figures/{ANSWER}",
            "the difference of metric learning and classification for each use, with its interval",
        ),
        _worth_training(used),
        f"Measured by: {measured}. Large is good in all of them. *TF-IDF* learns no embedding: "
        "its cosines, or logistic regression on it for classifying and for transfer. *Untrained*: "
        "the encoder as every training starts from it, or fine-tuning from scratch. *Depends on "
        "the sampler*: under one sampler the verdict is another, see the table.",
        f"Means over {len(study.seeds)} seeds. The intervals of the differences are simultaneous "
        f"at 95 % for the primary comparisons of all {primaries} tables (paired t, Bonferroni), so "
        "these verdicts can be read together. *Covers* is what differs between the repeats: seeds "
        "are of weights, batches and mining, rows are those with labels. No interval covers other "
        "corpora. The rows that stay of a scarce label and the unseen labels are drawn once.",
        *_sampler_or_objective(study, findings),
    ]


def _answer(finding: Finding, verdict: Verdict) -> list[Cell]:
    """A row of the summary."""
    paired, compared = verdict.paired, verdict.comparison
    return [
        f"[{finding.use}](#{finding.anchor})",
        verdict.judgement,
        Difference([paired.mean, paired.low, paired.high]),
        mean_of(compared.second),
        mean_of(compared.first),
        *(mean_of(finding.baselines[baseline].values) for baseline in Baseline),
        finding.covers,
    ]


def _worth_training(used: Sequence[Finding]) -> str:
    """For which uses nothing that was trained beats a baseline."""
    said = []
    for baseline, name in {
        Baseline.TFIDF: "TF-IDF",
        Baseline.UNTRAINED: "what was not trained",
    }.items():
        uses = [finding.use for finding in used if not finding.baselines[baseline].beaten]
        if uses:
            said.append(f"**Nothing that was trained beats {name}** for: {'; '.join(uses)}.")
    return " ".join(said) or "For no use is a baseline unbeaten by all that was trained."


def _name(study: Study, family: Family) -> str:
    return code(study.objectives[family]["name"])


def _sampler_or_objective(study: Study, findings: Sequence[Finding]) -> list[Block]:
    """Which of the two moves MAP@R more, table by table."""
    larger, total = [], 0
    for finding in findings:
        if not finding.use or finding.primary is None or "map_at_r" not in finding.subject.key:
            continue
        effects = effects_of(study, finding.primary.splits, finding.subject.key)
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
        f"{total} tables{which}."
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
        rows += [
            [
                f"[{claim.table}](#{finding.anchor}) {claim.sentence}",
                f"{verdict.measure.name}, {verdict.contrast.name}",
                words(verdict.judgement),
                _holds(verdict.outcome, claim.better),
            ]
            for key in (*claim.measures, *claim.also)
            for verdict in finding.verdicts
            if verdict.measure.key == key and verdict.comparison.sides[0] == "metric"
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
            "What was claimed, and what we find",
            [
                "The original study ran each setting once and named no sampler, so each of its "
                f"conclusions is compared with every comparison made here.{note}",
                Table([Column(title) for title in columns], rows),
            ],
        )
    ]


def _answers(folder: str) -> list[Section]:
    """What programs of their own found; a run cannot judge these."""
    pages = posixpath.relpath("docs", folder)
    rows: list[list[Cell]] = [
        [
            *(answer[key] for key in ("question", "judged by", "found")),
            f"[{answer['page']}]({pages}/{answer['page']})",
        ]
        for answer in read_json(ANSWERS)
    ]
    columns = ["what was claimed or asked", "judged by", "found", "page"]
    return [
        Section(
            "answers",
            "What other studies find",
            [
                "Questions that one run cannot answer. Each has a program of its own and was "
                "answered on the corpora that its page names, not on those of this run.",
                Table([Column(title) for title in columns], rows),
            ],
        )
    ]


def _holds(outcome: Outcome, better: Outcome) -> str:
    if outcome is better:
        return "yes"
    if outcome in DECIDED:
        return "**no, the opposite**"
    return words(Judgement(outcome)) if outcome is Outcome.DEPENDS else "not at 95 %"


# ---------------------------------------------------------------- every split


def _overview(study: Study) -> list[Block]:
    headline = MEASURES[0]
    rows: list[list[Cell]] = [
        [
            plain(split),
            *(mean_of(study.per_seed([split], side, headline.key)) for side in study.sides),
        ]
        for split in study.splits
    ]
    names = ", ".join(measure.name for measure in HEADLINES)
    return [
        f"{headline.name} at a glance: one row a split, one column an arm or a baseline.",
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
    names = [
        f"label {number} is {plain(name)}"
        for number, name in enumerate(about.label_names)
        if not on_every_machine(name)
    ]
    if names:
        blocks.append(
            "A picture that was drawn where no font has the letters of a name shows the label's "
            f"number: {', '.join(names)}."
        )
    blocks += [
        "Training by epoch: means over seeds, 95 % intervals as bands; losses of different "
        "objectives cannot be compared.",
        Picture(f"reports/figures/curves-{split}.png", f"learning curves of {split}"),
    ]
    return Section(f"split-{split}", plain(split), blocks, level=3)

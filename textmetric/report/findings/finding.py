"""A finding: one table of the study with its verdicts, and the rows that findings share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textmetric.grid import Baseline, Family
from textmetric.measures import Outcome, mean_interval
from textmetric.measures.record import ArmRecord
from textmetric.report import original
from textmetric.report.blocks import Block, Cell, Column, Map, Mean, Picture, Published, Table
from textmetric.report.formats import NO_VERDICT, cell_text, plain, words
from textmetric.report.names import (
    BY_KEY,
    FAMILIES,
    OF_TFIDF,
    Measure,
    arm_title,
    side_title,
)
from textmetric.report.study import Study
from textmetric.report.verdicts import (
    Against,
    Comparison,
    Verdict,
    against,
    disagreements,
    effects_table,
    verdict_table,
)
from textmetric.types import Float64

STATISTICS: dict[str, Callable[[Float64], Any]] = {
    "mean": np.mean,
    "standard deviation": lambda values: np.std(values, ddof=1),
    "least": np.min,
    "first quartile": lambda values: np.quantile(values, 0.25),
    "median": np.median,
    "third quartile": lambda values: np.quantile(values, 0.75),
    "largest": np.max,
}
"""How values spread over the labels, in the order of the original's table 7-2."""

Originals = Mapping[Family, Mapping[str, float]]
"""family → name of a row → the original's value."""


@dataclass(frozen=True)
class Finding:
    """A table of the study and what it says.

    Attributes:
        table: its id, such as ``7-1``.
        title: what it is about.
        subject: the measure that the table is about.
        comparisons: of every measure and contrast.
        write: makes what is under its heading from the verdicts.
        use: what a reader wants embeddings for, if the table answers that: a row of the summary.
        covers: what differs between the repeats, and so what the intervals cover.
        baselines: how what was trained compares with each baseline, by ``subject``.
        verdicts: on ``comparisons``; empty until they are judged.
    """

    table: str
    title: str
    subject: Measure
    comparisons: Sequence[Comparison]
    write: Callable[[Sequence[Verdict]], list[Block]]
    use: str = ""
    covers: str = "seeds"
    baselines: Mapping[Baseline, Against] = field(default_factory=dict)
    verdicts: Sequence[Verdict] = ()

    @property
    def primary(self) -> Comparison | None:
        """The comparison that counts: of the subject, in the headline's contrast."""
        for one in self.comparisons:
            if one.measure == self.subject and one.contrast.headline:
                return one
        return None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the primary comparison."""
        primary = self.primary
        for verdict in self.verdicts:
            if primary and verdict.comparison.key == primary.key:
                return verdict
        return None

    @property
    def blocks(self) -> list[Block]:
        """What is under its heading; the unbeaten baselines are named below the first table."""
        blocks = self.write(self.verdicts)
        tables = [place for place, block in enumerate(blocks) if isinstance(block, Table)]
        below = tables[0] + 1 if tables else len(blocks)
        said = [unbeaten(one) for one in self.baselines.values() if not one.beaten]
        return [*blocks[:below], *([" ".join(said)] if said else []), *blocks[below:]]

    @property
    def anchor(self) -> str:
        """The target of links to it."""
        return f"table-{self.table}"

    @property
    def link(self) -> str:
        """A link to it, in Markdown."""
        return f"[{self.table}](#{self.anchor})"


# ---------------------------------------------------------------- rows


def arms_table(
    study: Study, first: str, rows: Sequence[Sequence[Cell]], originals: Originals | None = None
) -> Table:
    """One column an arm, one a baseline, then the original's values if there are any."""
    columns = [Column(first), *(Column(arm_title(arm), arm.sampler) for arm in study.arms)]
    columns += [Column(side_title(baseline)) for baseline in Baseline]
    columns += [Column(f"original, {FAMILIES[family]}") for family in originals or ()]
    return Table(columns, rows)


def mean_of(values: Float64 | Sequence[float]) -> Mean:
    """The mean over seeds with its interval."""
    return Mean(mean_interval(values), list(values))


def measure_rows(
    study: Study,
    splits: Sequence[str],
    measures: Iterable[Measure],
    originals: Originals | None = None,
    prefix: str = "",
) -> list[list[Cell]]:
    """A row a measure, averaged over ``splits``; those that no side has are left out."""
    rows: list[list[Cell]] = []
    for measure in measures:
        by_side = [study.per_seed(splits, side, measure.key) for side in study.sides]
        if all(np.isnan(values).all() for values in by_side):
            continue
        blank = [None for _ in originals or ()]
        rows.append([f"{prefix}{measure.title}", *map(mean_of, by_side), *blank])
    return rows


def label_rows(study: Study, split: str, key: str, originals: Originals | None) -> list[list[Cell]]:
    """A row a label with its train rows, and the average over them."""
    about = study.about(split)
    by_side = [study.record(split, side).classes_of(key) for side in study.sides]
    rows: list[list[Cell]] = []
    for label, name in enumerate(about.trained_labels):
        rows.append(
            [
                f"{plain(name)} ({about.train_rows[label]:,} train rows)",
                *(mean_of(values[:, label]) for values in by_side),
                *_originals(originals, name),
            ]
        )
    average = [mean_of(study.per_seed([split], side, key)) for side in study.sides]
    title = f"average {BY_KEY[key].title}"
    return [*rows, [title, *average, *_originals(originals, "average")]]


def statistic_rows(
    study: Study,
    split: str,
    key: str,
    originals: Originals | None = None,
    labels: Sequence[int] | None = None,
) -> list[list[Cell]]:
    """A row a statistic over ``labels`` (all), taken in each seed and averaged over the seeds."""
    by_side = []
    for side in study.sides:
        values = study.record(split, side).classes_of(key)
        values = values if labels is None else values[:, list(labels)]
        by_side.append([seed[~np.isnan(seed)] for seed in values])
    rows: list[list[Cell]] = []
    for name, statistic in STATISTICS.items():
        cells = [
            # a class with one test row has no cohesion, and in a small sample most have one
            mean_of([float(statistic(seed)) if len(seed) >= 2 else np.nan for seed in seeds])
            for seeds in by_side
        ]
        rows.append([name, *cells, *_originals(originals, name)])
    return rows


def _originals(originals: Originals | None, row: str) -> list[Cell]:
    return [
        Published(values[row]) if row in values else None for values in (originals or {}).values()
    ]


# ---------------------------------------------------------------- words and blocks


_SAMPLED = {
    "recall_at_1": "Recall@k",
    "map_at_r": "MAP@R and R-precision",
    "knn_accuracy": "nearest-neighbours accuracy",
}


def rows_in_words(about: ArmRecord) -> str:
    """How large a split is, and which measures are of a sample of its test rows."""
    counts = about.counts
    sampled = [
        f"{name} {queries:,}"
        for key, name in _SAMPLED.items()
        if (queries := about.sampled(key)) is not None
    ]
    sample = (
        f"; a sample of the test rows is asked, each among all: for {', for '.join(sampled)} "
        "(the 95 % margins of this sampling are in the metrics)"
        if sampled
        else ""
    )
    return (
        f"{counts['train_rows']:,} train rows, {counts['test_rows']:,} test rows "
        f"({counts['empty_rows']:,} without a known token), {len(about.label_names)} labels{sample}"
    )


def scarce_names(about: ArmRecord) -> str:
    """The scarce labels of a split, or how many there are."""
    names = [plain(about.label_names[label]) for label in about.scarce]
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} labels"


def scarce_rows(about: ArmRecord) -> str:
    """How many train rows the scarce labels of a split have together."""
    return f"{sum(about.train_rows[label] for label in about.scarce):,} train rows"


def tsne_map(split: str) -> Map:
    """The t-SNE of a split."""
    picture = Picture(f"plots/tsne/{split}.png", f"t-SNE of {split}, a panel an arm")
    return Map(split, picture)


def originals_note(originals: Originals | None) -> list[Block]:
    """What the columns of the original are."""
    if originals is None:
        return []
    return [
        "*original*: the values that the original study published, of one run each on the whole "
        "corpus with an unnamed sampler."
    ]


def verdict_blocks(
    study: Study,
    verdicts: Sequence[Verdict],
    splits: Sequence[str],
    measures: Sequence[Measure],
    about: str = "",
) -> list[Block]:
    """The verdicts, the 2 × 2 of objective and sampler, and where cohesion disagrees."""
    if not verdicts:
        return [
            f"**{NO_VERDICT}**: no two arms that differ in the objective alone have these measures."
        ]
    blocks: list[Block] = [corrected_for(verdicts, about), verdict_table(verdicts)]
    effects = effects_table(study, splits, measures)
    if effects:
        blocks += [
            "What the objective and the sampler each move, with 95 % intervals that are not "
            "corrected:",
            effects,
        ]
    apart = cohesion_against_retrieval(verdicts)
    if apart:
        blocks.append(f"**Cohesion and MAP@R do not agree.** {'. '.join(apart)}.")
    return blocks


def corrected_for(verdicts: Sequence[Verdict], about: str = "") -> str:
    """How the verdicts of a table were corrected."""
    families = {verdict.primary: verdict.family for verdict in verdicts}
    primary, others = families.get(True), families.get(False)
    parts = []
    if primary:
        parts.append(f"The primary comparison is corrected with those of all tables ({primary})")
    if others:
        parts.append(f"the others with those of this table ({others})")
    how = ", ".join(parts) or "No comparison has a test"
    return (
        f"Verdicts{f' on {about}' if about else ''}, paired by seed. {how[0].upper()}{how[1:]}. "
        "The intervals are simultaneous: one excludes zero exactly if p is below 0.05."
    )


def cohesion_against_retrieval(verdicts: Sequence[Verdict]) -> list[str]:
    """The comparisons in which cohesion has another winner than MAP@R, in words."""
    sentences = []
    for cohesion, retrieval in [
        *disagreements(verdicts, "cohesion", "map_at_r"),
        *disagreements(verdicts, "scarce_cohesion", "scarce_map_at_r"),
    ]:
        arms = cohesion.contrast.arms
        name = arms[0].sampler if arms and cohesion.contrast.same_sampler else "each at its best"
        sentences.append(
            f"{name[0].upper()}{name[1:]}: by cohesion {words(cohesion.judgement)}, "
            f"by MAP@R {words(retrieval.judgement)}"
        )
    return sentences


def against_baselines(
    study: Study, splits: Sequence[str], subject: Measure
) -> dict[Baseline, Against]:
    """The arms against each baseline, by a measure averaged over ``splits``.

    Where the arms compete by their neighbours, TF-IDF does so by its logistic regression.
    """
    trained = {arm_title(arm): study.per_seed(splits, arm, subject.key) for arm in study.arms}
    keys = {Baseline.TFIDF: OF_TFIDF.get(subject.key, subject.key), Baseline.UNTRAINED: subject.key}
    with_classifier = " with logistic regression" * (keys[Baseline.TFIDF] != subject.key)
    titles = {
        Baseline.TFIDF: f"TF-IDF{with_classifier}",
        Baseline.UNTRAINED: "the untrained encoder",
    }
    grain = study.grain(splits, subject.key)
    return {
        baseline: against(
            baseline,
            titles[baseline],
            subject,
            study.per_seed(splits, baseline, key),
            trained,
            grain,
        )
        for baseline, key in keys.items()
    }


def unbeaten(one: Against) -> str:
    """That nothing that was trained beats a baseline, in a sentence."""
    baseline, best = cell_text(mean_of(one.values)), cell_text(mean_of(one.trained[one.best]))
    numbers = f"{baseline}: the best, {one.best}, has a {one.measure.name} of {best}"
    if set(one.outcomes.values()) == {Outcome.SECOND}:
        return f"**{one.title[0].upper()}{one.title[1:]} beats all that was trained**, {numbers}."
    return f"**Nothing that was trained beats {one.title}**, {numbers}."


def original_by_label(label_names: Sequence[str]) -> Originals:
    """The original's table 7-1: its labels that the run has, and the average."""
    found: dict[Family, dict[str, float]] = {}
    for family, values in original.COHESION_BY_LABEL.items():
        by_label = dict(zip(original.AG_NEWS_LABELS, values, strict=True))
        found[family] = {name: by_label[name] for name in label_names if name in by_label}
        found[family]["average"] = original.COHESION_AVERAGE[family]
    return found

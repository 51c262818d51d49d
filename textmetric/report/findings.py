"""The tables and figures of the study, one by one, with their verdicts.

The ids are those of the original study's tables. Which splits a table is about follows from
their kinds and roles, so any two corpora can play the roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from textmetric.measures import mean_interval
from textmetric.report import original
from textmetric.report.document import (
    Block,
    Cell,
    Column,
    Picture,
    Table,
    mean_cell,
)
from textmetric.report.names import (
    BY_KEY,
    COHESION_NEVER_ALONE,
    FAMILIES,
    MEASURES,
    SCARCE_COHESION_NEVER_ALONE,
    TUNINGS,
    Measure,
)
from textmetric.report.rows import (
    STATISTICS,
    Published,
    arms_table,
    label_rows,
    measure_rows,
    published_by_label,
    rows_in_words,
    scarce_names,
    scarce_rows,
    statistic_rows,
    tsne_map,
)
from textmetric.report.study import Record, Study
from textmetric.report.tables import plain
from textmetric.report.verdicts import (
    NO_VERDICT,
    Contrast,
    Verdict,
    disagreements,
    effects_table,
    judge,
    judge_splits,
    verdict_table,
)

RARE_PICTURES = {
    "8-2-1": ("cohesion", "cohesion"),
    "8-2-2": ("sufficient_cosine", "cosine to the sufficient labels"),
    "8-2-3": ("among_scarce_cosine", "cosine to the other rare labels"),
}
"""Table → the value of every label that its picture shows, and what to call it."""

FEW_CLASSES = 20
"""Up to so many classes every class has a row of its own; above it, their statistics do."""
TEST_ACCURACY = Measure("test_accuracy", "test accuracy")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """A table of the study and what it says.

    Attributes:
        table: its id, such as ``7-1``.
        title: what it is about.
        blocks: what stands under its heading.
        subject: the measure that the table is about; None for pictures alone.
        headline: the measure of retrieval beside it; the same where that is the subject.
        verdicts: of every measure and contrast, corrected for their number.
        splits: what it was measured on; empty for the transfer.
    """

    table: str
    title: str
    blocks: list[Block]
    subject: Measure | None = None
    headline: Measure | None = None
    verdicts: Sequence[Verdict] = ()
    splits: Sequence[str] = field(default_factory=list)

    def of(self, measure: Measure) -> Verdict | None:
        """The verdict on a measure that counts: the last contrast, each at its best."""
        found = [verdict for verdict in self.verdicts if verdict.measure.key == measure.key]
        return found[-1] if found else None

    @property
    def anchor(self) -> str:
        """The target of links to it."""
        return f"table-{self.table}"

    @property
    def link(self) -> str:
        """A link to it, in Markdown."""
        return f"[{self.table}](#{self.anchor})"


def find_all(study: Study) -> list[Finding]:
    """Every table that the corpora and splits of a run allow, in the order of the study."""
    found = [
        _balanced(study),
        _many_classes(study),
        _each_label_scarce(study),
        *_rarest(study),
        _open_classes(study),
        _transfer(study),
        _label_efficiency(study),
    ]
    return [finding for finding in found if finding]


# ---------------------------------------------------------------- the tables, one by one


def _balanced(study: Study) -> Finding | None:
    split = study.full("target")
    if split is None:
        return None
    published = None
    if original.corpus_of(study.corpora["target"]) == original.AG_NEWS:
        published = published_by_label(study.arm_record(split)["label_names"])
    return _cohesion_finding(study, "7-1", "The whole target: cohesion by label", split, published)


def _many_classes(study: Study) -> Finding | None:
    split = study.full("source")
    if split is None:
        return None
    published = None
    if original.corpus_of(study.corpora["source"]) == original.DBPEDIA_CLASSES:
        published = {
            family: dict(zip(STATISTICS, values, strict=True))
            for family, values in original.COHESION_STATISTICS.items()
        }
    return _cohesion_finding(study, "7-2", "The whole source: cohesion by label", split, published)


def _cohesion_finding(
    study: Study, table: str, title: str, split: str, published: Published | None
) -> Finding:
    """Cohesion by label, or its statistics, with separation and retrieval under it."""
    record = study.arm_record(split)
    few = len(record["label_names"]) <= FEW_CLASSES
    guide = (
        "Read a row from left to right: the mean cosine of two test texts of a label, arm by arm; "
        "large is good only where the between-class cosine below stays small."
        if few
        else "Read a row from left to right: how the cohesion of the labels spreads, each "
        "statistic taken over the labels of a seed and then averaged; large is good only where "
        "the between-class cosine below stays small."
    )
    verdicts = judge_splits(study, [split], COHESION_NEVER_ALONE)
    rows = label_rows(study, split, "cohesion", published) if few else None
    if rows is None:
        rows = statistic_rows(study, split, "cohesion", published)
    rows += measure_rows(study, [split], COHESION_NEVER_ALONE[1:], published)
    return Finding(
        table,
        title,
        [
            f"Split {plain(split)}, {rows_in_words(record)}. {guide}",
            *_published_note(published),
            arms_table(study, "label" if few else "over the labels", rows, published),
            *_verdict_blocks(study, verdicts, [split], COHESION_NEVER_ALONE),
            tsne_map(split),
        ],
        subject=BY_KEY["cohesion"],
        headline=BY_KEY["map_at_r"],
        verdicts=verdicts,
        splits=[split],
    )


def _published_note(published: Published | None) -> list[Block]:
    if published is None:
        return []
    return [
        "*original*: the values that the original study published, of one run each on the whole "
        "corpus with an unnamed sampler."
    ]


def _each_label_scarce(study: Study) -> Finding | None:
    splits = study.scarce("target")
    if not splits:
        return None
    subject = BY_KEY["scarce_map_at_r"]
    measures = (
        subject,
        BY_KEY["scarce_knn_accuracy"],
        *SCARCE_COHESION_NEVER_ALONE[:-1],
    )
    verdicts = judge_splits(study, splits, measures)
    rows = [
        row
        for split in splits
        for row in measure_rows(
            study, [split], measures, prefix=f"{scarce_names(study.arm_record(split))}: "
        )
    ]
    rows += measure_rows(study, splits, measures, prefix="**mean**: ")
    keep = ", ".join(sorted({f"{study.splits[split].keep:g}" for split in splits}))
    pictures: list[Block] = []
    for split in splits:
        pictures += [
            f"**{scarce_names(study.arm_record(split))}** scarce "
            f"({scarce_rows(study.arm_record(split))}), in red:",
            tsne_map(split),
        ]
    return Finding(
        "8-1",
        "Target with a scarce label",
        [
            f"One label at a time keeps {keep} of its train rows; the test set stays whole. Read "
            "a row from left to right: a measure of the scarce label's own test texts, which look "
            "for their like among all; the last rows are means over the labels.",
            arms_table(study, "scarce label: measure", rows),
            *_verdict_blocks(study, verdicts, splits, measures, about="the mean over the labels"),
            "The pictures: the t-SNE of a sample of the test set, one sampler a row, "
            "classification on the left and metric learning on the right.",
            *pictures,
        ],
        subject=subject,
        headline=subject,
        verdicts=verdicts,
        splits=splits,
    )


def rare_split(study: Study) -> str | None:
    """The split whose rarest labels the tables 8-2 are about."""
    split = study.full("source")
    return split if split and len(study.arm_record(split)["scarce"]) >= 2 else None


def _rarest(study: Study) -> list[Finding]:
    """8-2 and its parts: the rarest labels of the source."""
    split = rare_split(study)
    if split is None:
        return []
    record = study.arm_record(split)
    count = len(record["scarce"])
    findings = [Finding("8-2", f"The {count} rarest labels: rows and t-SNE", _histogram(record))]
    retrieval = BY_KEY["scarce_map_at_r"]
    tables = (
        (
            "8-2-1",
            f"The {count} rarest labels: cohesion",
            SCARCE_COHESION_NEVER_ALONE,
            "Large is good, if the labels stand apart too (8-2-2).",
        ),
        (
            "8-2-2",
            f"The {count} rarest labels against the sufficient ones",
            (BY_KEY["scarce_between_class_cosine"], retrieval),
            "The mean cosine of a rare label's centroid to those of the sufficient labels: small "
            "is good.",
        ),
        (
            "8-2-3",
            f"The {count} rarest labels among one another",
            (BY_KEY["scarce_among_cosine"], retrieval),
            "The mean cosine of a rare label's centroid to those of the other rare labels: small "
            "is good.",
        ),
    )
    for table, title, measures, guide in tables:
        verdicts = judge_splits(study, [split], measures)
        rows = statistic_rows(study, split, RARE_PICTURES[table][0], labels=record["scarce"])
        rows += measure_rows(
            study, [split], measures[1:], prefix="" if table == "8-2-1" else "rare labels' "
        )
        blocks: list[Block] = [
            f"{guide} Read a row from left to right: a statistic over the rare labels of a seed, "
            "averaged over the seeds; the picture has every label.",
            arms_table(study, "over the rare labels", rows),
            *_verdict_blocks(study, verdicts, [split], measures),
            Picture(
                f"reports/figures/{table}.png",
                f"{title}: every rare label, arm by arm, with 95 % intervals",
            ),
        ]
        findings.append(Finding(table, title, blocks, measures[0], retrieval, verdicts, [split]))
    return findings


def _histogram(record: Record) -> list[Block]:
    counts = np.array(record["train_rows"])
    return [
        "Read the bars as how many labels (upwards) have how many train rows (to the right): "
        f"{len(counts)} labels of {counts.min():,} to {counts.max():,} rows (median "
        f"{np.median(counts):,.0f}); the {len(record['scarce'])} rarest, in red, have at most "
        f"{counts[record['scarce']].max():,}.",
        Picture(
            "reports/figures/8-2-histogram.png",
            "histogram of the train rows of the source's labels",
        ),
        "Their test texts alone, in a t-SNE of their own (a colour a label, the same in every "
        "panel): a label that holds together is one clump.",
        Picture("reports/figures/8-2-tsne.png", "t-SNE of the rarest labels, a panel an arm"),
    ]


def _open_classes(study: Study) -> Finding | None:
    splits = study.open()
    if not splits:
        return None
    headline = BY_KEY["map_at_r"]
    measures = (headline, *COHESION_NEVER_ALONE[:-1])
    shown = [
        measure for measure in MEASURES if measure.key in study.arm_record(splits[0])["per_seed"]
    ]
    verdicts = judge_splits(study, splits, measures)
    blocks: list[Block] = []
    for split in splits:
        record = study.arm_record(split)
        blocks += [
            f"Split {plain(split)}: trained on "
            f"{len(record['label_names']) - len(record['unseen'])} labels "
            f"({record['counts']['train_rows']:,} texts), measured on the "
            f"{len(record['unseen'])} others ({record['counts']['test_rows']:,} texts), which no "
            "model has seen. Read a row from left to right: a measure, arm by arm.",
            arms_table(study, "measure", measure_rows(study, [split], shown)),
        ]
    blocks += _verdict_blocks(
        study, verdicts, splits, measures, about="the mean of them" if len(splits) > 1 else ""
    )
    blocks += [tsne_map(split) for split in splits]
    return Finding("open", "Labels never seen", blocks, headline, headline, verdicts, splits)


def _transfer(study: Study) -> Finding:
    conditions = _conditions(study)
    rows = [
        [
            Cell(FAMILIES[init]),
            *(
                _accuracy_cell(_test_accuracy(study, init, condition, share=1.0))
                for condition in conditions
            ),
        ]
        for init in study.transfers
    ]
    comparisons = [
        (
            TEST_ACCURACY,
            Contrast(name, "metric", "cls"),
            _test_accuracy(study, "metric", condition, share=1.0),
            _test_accuracy(study, "cls", condition, share=1.0),
        )
        for condition, name in _original_last(conditions).items()
    ]
    verdicts = judge(comparisons)
    helps = judge(
        [
            (
                TEST_ACCURACY,
                Contrast(f"{FAMILIES[init]}, {name}", init, "scratch"),
                _test_accuracy(study, init, condition, share=1.0),
                _test_accuracy(study, "scratch", condition, share=1.0),
            )
            for init in ("cls", "metric")
            for condition, name in conditions.items()
        ],
        first="pre-training",
        second="scratch",
    )
    return Finding(
        "9",
        "Transfer to the target",
        [
            "Embeddings trained on the source start a classifier of the target; *scratch* starts "
            "from nothing. Read a column from top to bottom: test accuracy after the last epoch, "
            "with the encoder frozen or fine-tuned, and a head that ends in tanh (the original's) "
            "or does not.",
            Table([Column("initialisation"), *map(Column, conditions.values())], rows),
            verdict_table(verdicts),
            "Does training on the source help at all?",
            verdict_table(helps, minus="pre-trained − scratch"),
            Picture(
                "reports/figures/transfer.png",
                "accuracy and loss on the target's validation part by epoch",
            ),
        ],
        subject=TEST_ACCURACY,
        headline=TEST_ACCURACY,
        verdicts=verdicts,
    )


def _label_efficiency(study: Study) -> Finding | None:
    conditions = _conditions(study)
    shares = sorted({float(share) for share in next(iter(study.transfers.values()))["share"]})
    small = [share for share in shares if share < 1]
    if not small:
        return None
    rows = [
        [
            Cell(f"{share * 100:g} %, {FAMILIES[init]}"),
            *(
                _accuracy_cell(_test_accuracy(study, init, condition, share))
                for condition in conditions
            ),
        ]
        for share in shares
        for init in study.transfers
    ]
    verdicts = judge(
        [
            (
                TEST_ACCURACY,
                Contrast(f"{share * 100:g} %, {name}", "metric", "cls"),
                _test_accuracy(study, "metric", condition, share),
                _test_accuracy(study, "cls", condition, share),
            )
            for share in reversed(small)
            for condition, name in _original_last(conditions).items()
        ]
    )
    return Finding(
        "9-labels",
        "Transfer with few labels",
        [
            "The same with a part of the target's train rows and as many steps. Read a column "
            "from block to block: how much of the accuracy is left with fewer labels.",
            Table([Column("train rows"), *map(Column, conditions.values())], rows),
            verdict_table(verdicts),
            Picture(
                "reports/figures/label-efficiency.png",
                "test accuracy by share of the target's train rows",
            ),
        ],
        subject=TEST_ACCURACY,
        headline=TEST_ACCURACY,
        verdicts=verdicts,
    )


Condition = tuple[str, bool]
"""tuning, and whether the head ends in tanh."""


def _conditions(study: Study) -> dict[Condition, str]:
    """What the transfer was run under, and how it is called."""
    frame = next(iter(study.transfers.values()))
    heads = list(dict.fromkeys(frame["tanh"].astype(bool)))
    return {
        (tuning, tanh): f"{words}, {'tanh' if tanh else 'no tanh'}"
        for tuning, words in TUNINGS.items()
        if tuning in set(frame["tuning"])
        for tanh in heads
    }


def _original_last(conditions: Mapping[Condition, str]) -> dict[Condition, str]:
    """The original's condition, fine-tuned with tanh, comes last: it is the one that counts."""
    wanted = ("finetuned", True)
    return dict(sorted(conditions.items(), key=lambda item: item[0] == wanted))


def _test_accuracy(study: Study, init: str, condition: Condition, share: float) -> Floats:
    frame = study.transfers[init]
    tuning, tanh = condition
    chosen = frame[
        (frame["tuning"] == tuning)
        & (frame["tanh"].astype(bool) == tanh)
        & np.isclose(frame["share"], share)
    ].dropna(subset=["test_accuracy"])
    by_seed = chosen.set_index("seed")["test_accuracy"].reindex(list(study.seeds))
    return by_seed.to_numpy(np.float64)


def _accuracy_cell(values: Floats) -> Cell:
    return mean_cell(mean_interval(values), values.tolist())


# ---------------------------------------------------------------- what findings share


def _verdict_blocks(
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
    what = f" on {about}" if about else ""
    blocks: list[Block] = [
        f"Verdicts{what}: paired by seed, corrected for all comparisons of this table.",
        verdict_table(verdicts),
    ]
    effects = effects_table(study, splits, measures)
    if effects:
        blocks += ["What the objective and the sampler each move:", effects]
    apart = cohesion_against_retrieval(verdicts)
    if apart:
        blocks.append(f"**Cohesion and MAP@R do not agree.** {'. '.join(apart)}.")
    return blocks


def cohesion_against_retrieval(verdicts: Sequence[Verdict]) -> list[str]:
    """The comparisons of a table in which cohesion names another winner than MAP@R, in words."""
    return [
        *disagreements(verdicts, "cohesion", "map_at_r"),
        *disagreements(verdicts, "scarce_cohesion", "scarce_map_at_r"),
    ]

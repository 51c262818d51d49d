"""Tables 8-2 and 8-2-1 to 8-2-3: the rarest labels of the source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textmetric.errors import needing

with needing("the report", "study"):
    import pandas as pd

from textmetric.measures import mean_interval
from textmetric.measures.record import ArmRecord
from textmetric.report.blocks import Block, Picture
from textmetric.report.findings.finding import (
    Finding,
    against_baselines,
    arms_table,
    measure_rows,
    statistic_rows,
    verdict_blocks,
)
from textmetric.report.names import BY_KEY, SCARCE_COHESION_NEVER_ALONE, Measure
from textmetric.report.study import Study
from textmetric.report.verdicts import Verdict, comparisons

RARE_PICTURES = {
    "8-2-1": ("cohesion", "cohesion"),
    "8-2-2": ("sufficient_cosine", "cosine to the sufficient labels"),
    "8-2-3": ("among_scarce_cosine", "cosine to the other rare labels"),
}
"""Table → the value of every label that its picture shows, and what to call it."""

RETRIEVAL = tuple(
    BY_KEY[key] for key in ("scarce_map_at_r", "scarce_recall_at_1", "scarce_knn_accuracy")
)
"""The measures of table 8-2."""


def rare_split(study: Study) -> str | None:
    """The split whose rarest labels the tables 8-2 are about."""
    split = study.full("source")
    return split if split and len(study.about(split).scarce) >= 2 else None


def rarest_labels(study: Study) -> list[Finding]:
    """8-2 and its parts, if the whole source has rare labels marked."""
    split = rare_split(study)
    if split is None:
        return []
    count = len(study.about(split).scarce)
    return [
        _retrieval(study, split, count),
        _spread(
            study,
            split,
            "8-2-1",
            f"The {count} rarest labels: cohesion",
            BY_KEY["scarce_gap"],
            SCARCE_COHESION_NEVER_ALONE,
            "Large is good, if the labels are also apart (8-2-2); so the primary measure is the "
            "gap of both.",
        ),
        _spread(
            study,
            split,
            "8-2-2",
            f"The {count} rarest labels against the sufficient ones",
            BY_KEY["scarce_between_class_cosine"],
            (BY_KEY["scarce_between_class_cosine"], RETRIEVAL[0]),
            "The mean cosine of a rare label's centroid to those of the sufficient labels: small "
            "is good.",
        ),
        _spread(
            study,
            split,
            "8-2-3",
            f"The {count} rarest labels among one another",
            BY_KEY["scarce_among_cosine"],
            (BY_KEY["scarce_among_cosine"], RETRIEVAL[0]),
            "The mean cosine of a rare label's centroid to those of the other rare labels: small "
            "is good.",
        ),
    ]


def _retrieval(study: Study, split: str, count: int) -> Finding:
    """8-2: how many rows the labels have, their t-SNE, and retrieval of the rarest."""

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            *_histogram(study.about(split)),
            "Read a row from left to right: a measure of the rare labels' own test texts, which "
            "look for their like among all.",
            arms_table(study, "measure", measure_rows(study, [split], RETRIEVAL)),
            *verdict_blocks(study, verdicts, [split], RETRIEVAL),
        ]

    return Finding(
        "8-2",
        f"The {count} rarest labels: rows, t-SNE and retrieval",
        RETRIEVAL[0],
        comparisons(study, [split], RETRIEVAL),
        write,
        use=f"retrieval of {count} rare labels",
        baselines=against_baselines(study, [split], RETRIEVAL[0]),
    )


def _spread(
    study: Study,
    split: str,
    table: str,
    title: str,
    subject: Measure,
    measures: Sequence[Measure],
    guide: str,
) -> Finding:
    """A table of how a value spreads over the rare labels, with a picture of every label."""
    rows = statistic_rows(study, split, RARE_PICTURES[table][0], labels=study.about(split).scarce)
    rows += measure_rows(
        study, [split], measures[1:], prefix="" if table == "8-2-1" else "rare labels' "
    )

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            f"{guide} Read a row from left to right: a statistic over the rare labels of a seed, "
            "averaged over the seeds; the picture has every label.",
            arms_table(study, "over the rare labels", rows),
            *verdict_blocks(study, verdicts, [split], measures),
            Picture(
                f"reports/figures/{table}.png",
                f"{title}: every rare label, arm by arm, with 95 % intervals",
            ),
        ]

    return Finding(
        table,
        title,
        subject,
        comparisons(study, [split], measures),
        write,
        baselines=against_baselines(study, [split], subject),
    )


def label_values(study: Study, split: str, key: str, labels: Sequence[int]) -> pd.DataFrame:
    """What the pictures of the rare labels show: label (its id), arm, mean, low, high.

    Labels come in the order of their train rows, most first.
    """
    about = study.about(split)
    order = sorted(labels, key=lambda label: (-about.train_rows[label], label))
    return pd.DataFrame(
        [
            [label, arm, *mean_interval(values[:, label])]
            for arm in study.arms
            for values in [study.records[split][arm].classes_of(key)]
            for label in order
        ],
        columns=["label", "arm", "mean", "low", "high"],
    )


def _histogram(about: ArmRecord) -> list[Block]:
    counts = np.array(about.train_rows)
    return [
        "Read the bars as how many labels (upwards) have how many train rows (to the right): "
        f"{len(counts)} labels of {counts.min():,} to {counts.max():,} rows (median "
        f"{np.median(counts):,.0f}); the {len(about.scarce)} rarest, in red, have at most "
        f"{counts[about.scarce].max():,}.",
        Picture(
            "reports/figures/8-2-histogram.png",
            "histogram of the train rows of the source's labels",
        ),
        "Their test texts alone, in a t-SNE of their own (a colour a label, the same in every "
        "panel): a label that holds together is one clump.",
        Picture("reports/figures/8-2-tsne.png", "t-SNE of the rarest labels, a panel an arm"),
    ]

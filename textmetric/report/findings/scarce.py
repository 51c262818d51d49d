"""Table 8-1: each label of the target cut in turn."""

from __future__ import annotations

from collections.abc import Sequence

from textmetric.report.blocks import Block
from textmetric.report.findings.finding import (
    Finding,
    against_baselines,
    arms_table,
    measure_rows,
    scarce_names,
    scarce_rows,
    tsne_map,
    verdict_blocks,
)
from textmetric.report.names import BY_KEY, SCARCE_COHESION_NEVER_ALONE
from textmetric.report.study import Study
from textmetric.report.verdicts import Verdict, comparisons


def each_label_scarce(study: Study) -> Finding | None:
    """8-1, if the target has splits with labels cut."""
    splits = study.scarce("target")
    if not splits:
        return None
    subject = BY_KEY["scarce_map_at_r"]
    measures = (subject, BY_KEY["scarce_knn_accuracy"], *SCARCE_COHESION_NEVER_ALONE[:-1])
    rows = [
        row
        for split in splits
        for row in measure_rows(
            study, [split], measures, prefix=f"{scarce_names(study.about(split))}: "
        )
    ]
    rows += measure_rows(study, splits, measures, prefix="**mean**: ")
    keep = ", ".join(sorted({f"{study.splits[split].keep:g}" for split in splits}))
    pictures: list[Block] = []
    for split in splits:
        about = study.about(split)
        pictures += [
            f"**{scarce_names(about)}** scarce ({scarce_rows(about)}), in red:",
            tsne_map(split),
        ]

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            f"One label at a time keeps {keep} of its train rows; the test set stays whole. Read "
            "a row from left to right: a measure of the scarce label's own test texts, which look "
            "for their like among all; the last rows are means over the labels.",
            arms_table(study, "scarce label: measure", rows),
            *verdict_blocks(study, verdicts, splits, measures, about="the mean over the labels"),
            "The pictures: the t-SNE of a sample of the test set, one sampler a row, "
            "classification on the left and metric learning on the right.",
            *pictures,
        ]

    return Finding(
        "8-1",
        "Target with a scarce label",
        subject,
        comparisons(study, splits, measures),
        write,
        use="retrieval of a scarce label",
        baselines=against_baselines(study, splits, subject),
    )

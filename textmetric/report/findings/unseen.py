"""Table open: labels that were never trained on."""

from __future__ import annotations

from textmetric.report.blocks import Block
from textmetric.report.findings.finding import (
    Finding,
    arms_table,
    measure_rows,
    tsne_map,
    verdict_blocks,
)
from textmetric.report.formats import plain
from textmetric.report.names import BY_KEY, COHESION_NEVER_ALONE, MEASURES
from textmetric.report.study import Study
from textmetric.report.verdicts import judge_splits


def unseen_labels(study: Study) -> Finding | None:
    """The table, if there are open splits."""
    splits = study.open()
    if not splits:
        return None
    headline = BY_KEY["map_at_r"]
    measures = (headline, *COHESION_NEVER_ALONE[:-1])
    shown = [measure for measure in MEASURES if measure.key in study.about(splits[0]).per_seed]
    verdicts = judge_splits(study, splits, measures)
    blocks: list[Block] = []
    for split in splits:
        about = study.about(split)
        blocks += [
            f"Split {plain(split)}: trained on {len(about.trained_labels)} labels "
            f"({about.counts['train_rows']:,} texts), measured on {len(about.unseen)} others "
            f"({about.counts['test_rows']:,} texts), which no model has seen. Read a row from left "
            "to right: a measure, arm by arm.",
            arms_table(study, "measure", measure_rows(study, [split], shown)),
        ]
    blocks += verdict_blocks(
        study, verdicts, splits, measures, about="the mean of them" if len(splits) > 1 else ""
    )
    blocks += [tsne_map(split) for split in splits]
    return Finding("open", "Labels never seen", blocks, headline, headline, verdicts, splits)

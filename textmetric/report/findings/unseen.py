"""Table open: labels that were never trained on."""

from __future__ import annotations

from collections.abc import Sequence

from textmetric.report.blocks import Block
from textmetric.report.findings.finding import (
    Finding,
    against_baselines,
    arms_table,
    measure_rows,
    tsne_map,
    verdict_blocks,
)
from textmetric.report.formats import plain
from textmetric.report.names import BY_KEY, COHESION_NEVER_ALONE, MEASURES
from textmetric.report.study import Study
from textmetric.report.verdicts import Verdict, comparisons


def unseen_labels(study: Study) -> Finding | None:
    """The table, if there are open splits."""
    splits = study.open()
    if not splits:
        return None
    headline = BY_KEY["map_at_r"]
    measures = (headline, *COHESION_NEVER_ALONE[:-1])
    shown = [measure for measure in MEASURES if measure.key in study.about(splits[0]).per_seed]

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        blocks: list[Block] = []
        for split in splits:
            about = study.about(split)
            blocks += [
                f"Split {plain(split)}: trained on {len(about.trained_labels)} labels "
                f"({about.counts['train_rows']:,} texts), measured on the {len(about.unseen)} "
                f"others ({about.counts['test_rows']:,} texts), which no model has seen. What is "
                f"best is chosen on {len(about.held_out)} labels of the validation part, which "
                "were not trained on either. Read a row from left to right: a measure, arm by arm.",
                arms_table(study, "measure", measure_rows(study, [split], shown)),
            ]
        blocks += verdict_blocks(
            study, verdicts, splits, measures, about="the mean of them" if len(splits) > 1 else ""
        )
        return blocks + [tsne_map(split) for split in splits]

    return Finding(
        "open",
        "Labels never seen",
        headline,
        comparisons(study, splits, measures),
        write,
        use="retrieval of unseen labels",
        baselines=against_baselines(study, splits, headline),
    )

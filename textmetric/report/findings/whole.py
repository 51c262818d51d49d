"""Tables 7-1 and 7-2: cohesion by label on the whole target and the whole source."""

from __future__ import annotations

from textmetric.report import original
from textmetric.report.findings.finding import (
    STATISTICS,
    Finding,
    Originals,
    arms_table,
    label_rows,
    measure_rows,
    original_by_label,
    originals_note,
    rows_in_words,
    statistic_rows,
    tsne_map,
    verdict_blocks,
)
from textmetric.report.formats import plain
from textmetric.report.names import BY_KEY, COHESION_NEVER_ALONE
from textmetric.report.study import Study
from textmetric.report.verdicts import judge_splits

FEW_CLASSES = 20
"""Up to this many classes each has a row of its own; above it, the table has statistics."""


def whole_target(study: Study) -> Finding | None:
    """7-1, if the target has a split that cuts nothing."""
    split = study.full("target")
    if split is None:
        return None
    originals = None
    if original.corpus_of(study.corpora["target"]) == original.AG_NEWS:
        originals = original_by_label(study.about(split).label_names)
    return _finding(study, "7-1", "The whole target: cohesion by label", split, originals)


def whole_source(study: Study) -> Finding | None:
    """7-2, if the source has a split that cuts nothing."""
    split = study.full("source")
    if split is None:
        return None
    originals = None
    if original.corpus_of(study.corpora["source"]) == original.DBPEDIA_CLASSES:
        originals = {
            family: dict(zip(STATISTICS, values, strict=True))
            for family, values in original.COHESION_STATISTICS.items()
        }
    return _finding(study, "7-2", "The whole source: cohesion by label", split, originals)


def _finding(
    study: Study, table: str, title: str, split: str, originals: Originals | None
) -> Finding:
    """Cohesion by label, or its statistics, with separation and retrieval below."""
    about = study.about(split)
    few = len(about.label_names) <= FEW_CLASSES
    guide = (
        "Read a row from left to right: the mean cosine of two test texts of a label, arm by arm; "
        "large is good only where the between-class cosine below stays small."
        if few
        else "Read a row from left to right: how the cohesion of the labels spreads, each "
        "statistic taken over the labels of a seed and then averaged; large is good only where "
        "the between-class cosine below stays small."
    )
    verdicts = judge_splits(study, [split], COHESION_NEVER_ALONE)
    rows = (label_rows if few else statistic_rows)(study, split, "cohesion", originals)
    rows += measure_rows(study, [split], COHESION_NEVER_ALONE[1:], originals)
    return Finding(
        table,
        title,
        [
            f"Split {plain(split)}, {rows_in_words(about)}. {guide}",
            *originals_note(originals),
            arms_table(study, "label" if few else "over the labels", rows, originals),
            *verdict_blocks(study, verdicts, [split], COHESION_NEVER_ALONE),
            tsne_map(split),
        ],
        subject=BY_KEY["cohesion"],
        headline=BY_KEY["map_at_r"],
        verdicts=verdicts,
        splits=[split],
    )

"""The tables about whole corpora: retrieval, classifying, and cohesion by label (7-1 and 7-2)."""

from __future__ import annotations

from collections.abc import Sequence

from textmetric.grid import Role
from textmetric.report import original
from textmetric.report.blocks import Block
from textmetric.report.findings.finding import (
    STATISTICS,
    Finding,
    Originals,
    against_baselines,
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
from textmetric.report.names import BY_KEY, COHESION_NEVER_ALONE, Measure
from textmetric.report.study import Study
from textmetric.report.verdicts import Verdict, comparisons

FEW_CLASSES = 20
"""Up to this many classes each has a row of its own; above it, the table has statistics."""

ROLES: dict[Role, str] = {"target": "1", "source": "2"}
"""Role → the last part of the ids of its tables."""

RETRIEVAL = tuple(BY_KEY[key] for key in ("map_at_r", "r_precision", "recall_at_1"))
VERIFICATION = tuple(BY_KEY[key] for key in ("verification_auc", "verification_eer"))
CLUSTERS = tuple(BY_KEY[key] for key in ("kmeans_ami", "kmeans_ari"))
CLASSIFYING = tuple(BY_KEY[key] for key in ("knn_accuracy", "centroid_accuracy"))


def whole(study: Study) -> list[Finding]:
    """The tables of the first split of each role that cuts nothing."""
    splits = {role: split for role in ROLES if (split := study.full(role))}
    return [
        *(_retrieval(study, role, split) for role, split in splits.items()),
        *(_classifying(study, role, split) for role, split in splits.items()),
        *(_cohesion(study, role, split) for role, split in splits.items()),
    ]


def _retrieval(study: Study, role: Role, split: str) -> Finding:
    guide = (
        "a measure of how well a test text finds the others of its label, arm by arm; below, of "
        "how well the distance of two texts says whether they share a label."
    )
    shown = (*RETRIEVAL, *VERIFICATION)
    return _simple(study, role, split, "R", "retrieval", RETRIEVAL, shown, guide)


def _classifying(study: Study, role: Role, split: str) -> Finding:
    guide = (
        "the share of the test texts whose label is found, by the nearest train texts, by the "
        "nearest centroid, and by the classifier that an objective trains, if it trains one (the "
        "head of TF-IDF is logistic regression)."
    )
    shown = (*CLASSIFYING, BY_KEY["head_accuracy"])
    return _simple(study, role, split, "C", "classifying", CLASSIFYING, shown, guide)


def _simple(
    study: Study,
    role: Role,
    split: str,
    letter: str,
    use: str,
    measures: Sequence[Measure],
    shown: Sequence[Measure],
    guide: str,
) -> Finding:
    """A row a measure, the first of ``measures`` is the subject."""
    about = study.about(split)

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            f"Split {plain(split)}, {rows_in_words(about)}. Read a row from left to right: {guide}",
            arms_table(study, "measure", measure_rows(study, [split], shown)),
            *verdict_blocks(study, verdicts, [split], measures),
        ]

    return Finding(
        f"{letter}-{ROLES[role]}",
        f"The whole {role}: {use}",
        measures[0],
        comparisons(study, [split], measures),
        write,
        use=f"{use}, {len(about.label_names)} classes",
        baselines=against_baselines(study, [split], measures[0]),
    )


def _cohesion(study: Study, role: Role, split: str) -> Finding:
    """Cohesion by label, or its statistics, with separation and retrieval below."""
    about = study.about(split)
    originals = _originals(study, role, split)
    few = len(about.label_names) <= FEW_CLASSES
    guide = (
        "Read a row from left to right: the mean cosine of two test texts of a label, arm by arm; "
        "large is good only where the between-class cosine below stays small."
        if few
        else "Read a row from left to right: how the cohesion of the labels spreads, each "
        "statistic taken over the labels of a seed and then averaged; large is good only where "
        "the between-class cosine below stays small."
    )
    rows = (label_rows if few else statistic_rows)(study, split, "cohesion", originals)
    rows += measure_rows(study, [split], (*COHESION_NEVER_ALONE[1:], *CLUSTERS), originals)

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            f"Split {plain(split)}, {rows_in_words(about)}. {guide} The primary measure is their "
            "gap, since a space that has collapsed to a point has the highest cohesion.",
            *originals_note(originals),
            arms_table(study, "label" if few else "over the labels", rows, originals),
            *verdict_blocks(study, verdicts, [split], COHESION_NEVER_ALONE),
            tsne_map(split),
        ]

    return Finding(
        f"7-{ROLES[role]}",
        f"The whole {role}: cohesion by label",
        BY_KEY["gap"],
        comparisons(study, [split], COHESION_NEVER_ALONE),
        write,
        use=f"compact clusters, {len(about.label_names)} classes",
        baselines=against_baselines(study, [split], BY_KEY["gap"]),
    )


def _originals(study: Study, role: Role, split: str) -> Originals | None:
    """The original's values, if the run used its corpus."""
    corpus = original.corpus_of(study.corpora[role])
    if role == "target" and corpus == original.AG_NEWS:
        return original_by_label(study.about(split).label_names)
    if role == "source" and corpus == original.DBPEDIA_CLASSES:
        return {
            family: dict(zip(STATISTICS, values, strict=True))
            for family, values in original.COHESION_STATISTICS.items()
        }
    return None

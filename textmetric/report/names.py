"""The names of arms, starts and measures in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from textmetric.grid import SCRATCH, Arm, Baseline, Family

FAMILIES = {Family.CLASSIFICATION: "classification", Family.METRIC: "metric learning"}

BASELINES = {Baseline.TFIDF: "TF-IDF", Baseline.UNTRAINED: "untrained"}
"""The heads of columns."""

INITS = {family.short: words for family, words in FAMILIES.items()} | {SCRATCH: "from scratch"}
"""What fine-tuning starts from → the words for it."""

ANSWER = "answer.png"
"""The picture of the summary, in ``reports/figures/``."""

TUNINGS = {"frozen": "encoder frozen", "finetuned": "encoder fine-tuned"}


class Measure(NamedTuple):
    """A measure: its key in the files, its name, and whether large is good."""

    key: str
    name: str
    large_is_good: bool = True

    @property
    def title(self) -> str:
        """The name with an arrow towards the good."""
        return f"{self.name} {'↑' if self.large_is_good else '↓'}"


MEASURES = (
    Measure("map_at_r", "MAP@R"),
    Measure("r_precision", "R-precision"),
    Measure("recall_at_1", "Recall@1"),
    Measure("recall_at_10", "Recall@10"),
    Measure("recall_at_100", "Recall@100"),
    Measure("knn_accuracy", "nearest-neighbours accuracy"),
    Measure("centroid_accuracy", "centroid accuracy"),
    Measure("head_accuracy", "head accuracy"),
    Measure("cohesion", "cohesion"),
    Measure("between_class_cosine", "between-class cosine", large_is_good=False),
    Measure("gap", "gap (cohesion − between)"),
    Measure("kmeans_ami", "AMI of k-means"),
    Measure("kmeans_ari", "ARI of k-means"),
    Measure("verification_auc", "verification AUC"),
    Measure("verification_eer", "equal error rate", large_is_good=False),
)
"""The measures of a whole test part, the headline first."""

SCARCE_MEASURES = (
    Measure("scarce_map_at_r", "MAP@R"),
    Measure("scarce_recall_at_1", "Recall@1"),
    Measure("scarce_knn_accuracy", "nearest-neighbours accuracy"),
    Measure("scarce_centroid_accuracy", "centroid accuracy"),
    Measure("scarce_head_accuracy", "head accuracy"),
    Measure("scarce_cohesion", "cohesion"),
    Measure("scarce_between_class_cosine", "cosine to the sufficient labels", large_is_good=False),
    Measure("scarce_gap", "gap (cohesion − cosine to the sufficient)"),
    Measure("scarce_among_cosine", "cosine among the scarce labels", large_is_good=False),
)
"""The measures of the scarce labels alone."""

TEST_ACCURACY = Measure("test_accuracy", "test accuracy")
"""Of the transfer."""

BY_KEY = {measure.key: measure for measure in (*MEASURES, *SCARCE_MEASURES)}

OF_TFIDF = {"knn_accuracy": "head_accuracy"}
"""The key of a measure → that by which TF-IDF competes in it: it has a classifier of its own."""

HEADLINES = tuple(
    BY_KEY[key] for key in ("map_at_r", "knn_accuracy", "cohesion", "between_class_cosine")
)
"""The measures of the overview figure."""

COHESION_NEVER_ALONE = tuple(
    BY_KEY[key] for key in ("cohesion", "between_class_cosine", "gap", "map_at_r")
)
"""A table with the first shows the others too: a collapsed space has the highest cohesion."""

SCARCE_COHESION_NEVER_ALONE = tuple(BY_KEY[f"scarce_{m.key}"] for m in COHESION_NEVER_ALONE)
"""The same of the scarce labels."""


def arm_title(arm: Arm) -> str:
    """An arm in words.

    >>> arm_title(Arm(Family.METRIC, "balanced"))
    'metric learning, balanced'
    """
    return f"{FAMILIES[arm.family]}, {arm.sampler}"


def side_title(side: Arm | Baseline) -> str:
    """An arm or a baseline in words."""
    return arm_title(side) if isinstance(side, Arm) else BASELINES[side]


def pairs(arms: Iterable[Arm]) -> list[tuple[Arm, Arm]]:
    """The comparisons that differ in the objective alone: (metric arm, classification arm)."""
    known = list(arms)
    return [
        (arm, other)
        for arm in known
        if arm.family is Family.METRIC
        and (other := Arm(Family.CLASSIFICATION, arm.sampler)) in known
    ]


def side_by_side(arms: Iterable[Arm]) -> list[Arm]:
    """The arms ordered for two columns: one row a sampler, classification on the left."""
    known = list(arms)
    samplers = list(dict.fromkeys(arm.sampler for arm in known))
    return sorted(known, key=lambda arm: samplers.index(arm.sampler))

"""What arms, initialisations and measures are called in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

FAMILIES = {"cls": "classification", "metric": "metric learning", "scratch": "from scratch"}
"""Prefix of an arm, or an initialisation → the words for it."""

TUNINGS = {"frozen": "encoder frozen", "finetuned": "encoder fine-tuned"}


class Measure(NamedTuple):
    """How a measure is told: its key in the files, its name, and whether large is good."""

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
)
"""The measures of a whole test set, the headline first."""

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
"""The same of the scarce labels alone."""

BY_KEY = {measure.key: measure for measure in (*MEASURES, *SCARCE_MEASURES)}
"""All of them, by key."""

HEADLINES = tuple(
    BY_KEY[key] for key in ("map_at_r", "knn_accuracy", "cohesion", "between_class_cosine")
)
"""The measures that the overview figure shows."""

COHESION_NEVER_ALONE = tuple(
    BY_KEY[key] for key in ("cohesion", "between_class_cosine", "gap", "map_at_r")
)
"""Whoever shows the first shows the others too: a collapsed space has the highest cohesion."""

SCARCE_COHESION_NEVER_ALONE = tuple(BY_KEY[f"scarce_{m.key}"] for m in COHESION_NEVER_ALONE)
"""The same of the scarce labels."""


def family(arm: str) -> str:
    """The objective's part of an arm: ``"cls"`` of ``"cls_shuffled"``."""
    return arm.partition("_")[0]


def sampler(arm: str) -> str:
    """The sampler's part of an arm: ``"shuffled"`` of ``"cls_shuffled"``."""
    return arm.partition("_")[2]


def arm_title(arm: str) -> str:
    """An arm in words; what is no arm stays as it is.

    >>> arm_title("metric_balanced")
    'metric learning, balanced'
    """
    if family(arm) not in FAMILIES:
        return arm
    words = FAMILIES[family(arm)]
    return f"{words}, {sampler(arm)}" if sampler(arm) else words


def pairs(arms: Iterable[str]) -> list[tuple[str, str]]:
    """The comparisons that differ in the objective alone: (other arm, classification arm).

    >>> pairs(["cls_shuffled", "cls_balanced", "metric_shuffled"])
    [('metric_shuffled', 'cls_shuffled')]
    """
    known = list(arms)
    return [
        (arm, f"cls_{sampler(arm)}")
        for arm in known
        if family(arm) != "cls" and f"cls_{sampler(arm)}" in known
    ]


def side_by_side(arms: Iterable[str]) -> list[str]:
    """The arms ordered for two columns: one row a sampler, classification on the left.

    >>> side_by_side(["cls_shuffled", "cls_balanced", "metric_shuffled", "metric_balanced"])
    ['cls_shuffled', 'metric_shuffled', 'cls_balanced', 'metric_balanced']
    """
    known = list(arms)
    samplers = list(dict.fromkeys(map(sampler, known)))
    return sorted(known, key=lambda arm: samplers.index(sampler(arm)))

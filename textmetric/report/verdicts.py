"""Verdicts: which is better in a table, computed from paired differences over the seeds.

Each table is one family of comparisons, corrected for their number together. No sentence that
names a winner is written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from textmetric.grid import ARMS, Arm, Family
from textmetric.measures import Outcome, Paired, mean_interval, outcomes, paired_difference
from textmetric.report.blocks import Cell, Column, Difference, Effect, Judgement, PValue, Table
from textmetric.report.names import Measure, pairs
from textmetric.report.study import Study
from textmetric.types import Float64

LEVEL = 0.95


@dataclass(frozen=True)
class Contrast:
    """Which two sides are compared.

    Attributes:
        name: what both sides share, or how they were chosen: ``shuffled``.
        arms: (first, second); None if the sides are starts of fine-tuning.
        headline: whether this is the comparison that counts in its table.
    """

    name: str
    arms: tuple[Arm, Arm] | None = None
    headline: bool = False

    @property
    def title(self) -> str:
        """The name, with both samplers if they differ."""
        if self.arms and self.arms[0].sampler != self.arms[1].sampler:
            return f"{self.name} ({self.arms[0].sampler} − {self.arms[1].sampler})"
        return self.name


@dataclass(frozen=True)
class Verdict:
    """One comparison of a table.

    Attributes:
        measure: what is compared.
        contrast: which sides are compared.
        paired: first − second over the seeds.
        p: corrected for the number of comparisons in the table.
        judgement: which side is better; unknown with one seed or with a missing value.
    """

    measure: Measure
    contrast: Contrast
    paired: Paired
    p: float
    judgement: Judgement

    @property
    def outcome(self) -> Outcome:
        """Which side is better."""
        return self.judgement.outcome


def judge(
    comparisons: Sequence[tuple[Measure, Contrast, Float64, Float64]],
    first: str = "metric",
    second: str = "classification",
) -> list[Verdict]:
    """The verdicts of one table.

    Args:
        comparisons: measure, contrast, and the values (seeds,) of its first and second side.
        first: the name of the first side, as in ``metric better``.
        second: the name of the second side.

    Returns:
        One a comparison, in order.
    """
    paired = [paired_difference(one, other, LEVEL) for _, _, one, other in comparisons]
    found = outcomes(paired, [measure.large_is_good for measure, *_ in comparisons], LEVEL)
    return [
        Verdict(measure, contrast, found_difference, p, Judgement(outcome, first, second))
        for (measure, contrast, _, _), found_difference, (outcome, p) in zip(
            comparisons, paired, found, strict=True
        )
    ]


def contrasts(study: Study, splits: Sequence[str]) -> list[Contrast]:
    """Metric learning against classification: under each sampler, and each at its best.

    "At its best" is the arm of the family with the highest MAP@R on the **validation** part of
    ``splits``, so the test part chooses nothing. This contrast is the headline. If it is a
    comparison under one sampler, that one is renamed; otherwise it comes last. Without validation
    rows the last comparison is the headline.
    """
    found = [Contrast(arms[0].sampler, arms) for arms in pairs(study.arms)]
    best = _best(study, splits)
    if best is None:
        return [*found[:-1], *(replace(last, headline=True) for last in found[-1:])]
    same = [contrast.name for contrast in found if contrast.arms == best]
    others = [contrast for contrast in found if contrast.arms != best]
    return [*others, Contrast(", ".join([*same, "each at its best"]), best, headline=True)]


def _best(study: Study, splits: Sequence[str]) -> tuple[Arm, Arm] | None:
    """The best arm of metric learning and of classification on validation, if both are known."""
    best = []
    for family in (Family.METRIC, Family.CLASSIFICATION):
        arms = [arm for arm in study.arms if arm.family is family]
        scores = [study.validation_map_at_r(splits, arm) for arm in arms]
        if not arms or any(map(math.isnan, scores)):
            return None
        best.append(arms[int(np.argmax(scores))])
    return best[0], best[1]


def judge_splits(study: Study, splits: Sequence[str], measures: Sequence[Measure]) -> list[Verdict]:
    """The verdicts of a table about ``splits``: every measure, averaged over them by seed.

    Measures come in order, each under every contrast. A measure that the splits lack (the cosine
    among scarce labels if one is scarce) is left out.
    """
    compared = contrasts(study, splits)
    known = [
        measure
        for measure in measures
        if all(np.isfinite(study.per_seed(splits, arm, measure.key)).all() for arm in study.arms)
    ]
    return judge(
        [
            (
                measure,
                contrast,
                study.per_seed(splits, contrast.arms[0], measure.key),
                study.per_seed(splits, contrast.arms[1], measure.key),
            )
            for measure in known
            for contrast in compared
            if contrast.arms
        ]
    )


def verdict_table(verdicts: Sequence[Verdict], minus: str = "metric − classification") -> Table:
    """The verdicts as a table of their own: difference, effect size, corrected p, words."""
    columns = ["measure", "compared", minus, "effect size", "p", "verdict"]
    rows: list[list[Cell]] = [
        [
            verdict.measure.title,
            verdict.contrast.title,
            Difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high]),
            Effect(verdict.paired.effect),
            PValue(verdict.p),
            verdict.judgement,
        ]
        for verdict in verdicts
    ]
    return Table([Column(title) for title in columns], rows)


def disagreements(
    verdicts: Sequence[Verdict], cohesion_key: str, retrieval_key: str
) -> list[tuple[Verdict, Verdict]]:
    """The contrasts in which cohesion has another winner than MAP@R: the two verdicts of each."""
    by_contrast: dict[Contrast, dict[str, Verdict]] = {}
    for verdict in verdicts:
        by_contrast.setdefault(verdict.contrast, {})[verdict.measure.key] = verdict
    return [
        (cohesion, retrieval)
        for by_key in by_contrast.values()
        if (cohesion := by_key.get(cohesion_key)) and (retrieval := by_key.get(retrieval_key))
        if cohesion.outcome is not retrieval.outcome
        and Outcome.UNKNOWN not in (cohesion.outcome, retrieval.outcome)
    ]


def effects_table(study: Study, splits: Sequence[str], measures: Sequence[Measure]) -> Table | None:
    """The 2 × 2 of objective and sampler: what each of them moves, and what both move together.

    By seed, with classification C and metric learning M, shuffled s and balanced b:
    objective = (Ms + Mb)/2 − (Cs + Cb)/2, sampler = (Cb + Mb)/2 − (Cs + Ms)/2, and
    interaction = (Mb − Ms) − (Cb − Cs).

    Returns:
        A row a measure, or None if an arm of the four is missing.
    """
    rows: list[list[Cell]] = [
        [measure.title, *(Difference(mean_interval(values)) for values in effects.values())]
        for measure in measures
        if (effects := effects_of(study, splits, measure.key))
        and all(np.isfinite(values).all() for values in effects.values())
    ]
    if not rows:
        return None
    columns = [
        "moves the mean by",
        "objective (metric − classification)",
        "sampler (balanced − shuffled)",
        "interaction",
    ]
    return Table([Column(title) for title in columns], rows)


def effects_of(study: Study, splits: Sequence[str], key: str) -> Mapping[str, Float64]:
    """``objective``, ``sampler`` and ``interaction`` by seed; empty if an arm is missing."""
    if not set(ARMS) <= set(study.arms):
        return {}
    cs, cb, ms, mb = (study.per_seed(splits, arm, key) for arm in ARMS)
    return {
        "objective": (ms + mb) / 2 - (cs + cb) / 2,
        "sampler": (cb + mb) / 2 - (cs + ms) / 2,
        "interaction": (mb - ms) - (cb - cs),
    }

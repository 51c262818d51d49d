"""Verdicts: which is better in a table, computed from paired differences over the seeds.

Each table is one family of comparisons, corrected for their number together. No sentence that
names a winner is written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from textmetric.grid import Arm, Family
from textmetric.measures import Outcome, Paired, mean_interval, outcomes, paired_difference
from textmetric.report.blocks import Cell, Column, Difference, Effect, Judgement, PValue, Table
from textmetric.report.names import Measure, pairs
from textmetric.report.study import Study
from textmetric.types import Float64

LEVEL = 0.95


@dataclass(frozen=True)
class Contrast:
    """Two arms, or two starts of fine-tuning, that are compared.

    Attributes:
        name: what is equal in both, or how they were chosen: ``shuffled``.
        first: the one whose larger value gives a positive difference.
        second: the other.
        headline: whether this is the comparison that counts in its table.
    """

    name: str
    first: Arm | str
    second: Arm | str
    headline: bool = False


@dataclass(frozen=True)
class Verdict:
    """One comparison of a table.

    Attributes:
        measure: what is compared.
        contrast: who is compared.
        paired: first − second over the seeds.
        p: corrected for the number of comparisons in the table.
        judgement: who is better; unknown if there is one seed, or a value is missing.
    """

    measure: Measure
    contrast: Contrast
    paired: Paired
    p: float
    judgement: Judgement

    @property
    def outcome(self) -> Outcome:
        """Who is better."""
        return self.judgement.outcome


def judge(
    comparisons: Sequence[tuple[Measure, Contrast, Float64, Float64]],
    first: str = "metric",
    second: str = "classification",
) -> list[Verdict]:
    """The verdicts of one table.

    Args:
        comparisons: measure, contrast, and the values (seeds,) of its first and second.
        first: what to call the first if it is better, as in ``metric better``.
        second: the same of the second.

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
    same = {(one, other): Contrast(one.sampler, one, other) for one, other in pairs(study.arms)}
    chosen = _chosen(study, splits)
    if chosen is None:
        found = list(same.values())
        return [
            Contrast(contrast.name, contrast.first, contrast.second, contrast is found[-1])
            for contrast in found
        ]
    before = same.pop(chosen, None)
    name = f"{before.name}, each at its best" if before else "each at its best"
    return [*same.values(), Contrast(name, *chosen, headline=True)]


def _chosen(study: Study, splits: Sequence[str]) -> tuple[Arm, Arm] | None:
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
    known = [
        measure
        for measure in measures
        if all(np.isfinite(study.per_seed(splits, arm, measure.key)).all() for arm in study.arms)
    ]
    comparisons = []
    for measure in known:
        for contrast in contrasts(study, splits):
            assert isinstance(contrast.first, Arm) and isinstance(contrast.second, Arm)  # noqa: PT018
            one, other = (
                study.per_seed(splits, arm, measure.key)
                for arm in (contrast.first, contrast.second)
            )
            comparisons.append((measure, contrast, one, other))
    return judge(comparisons)


def verdict_table(verdicts: Sequence[Verdict], minus: str = "metric − classification") -> Table:
    """The verdicts as a table of their own: difference, effect size, corrected p, words."""
    columns = ["measure", "compared", minus, "effect size", "p", "verdict"]
    rows: list[list[Cell]] = [
        [
            verdict.measure.title,
            compared(verdict.contrast),
            Difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high]),
            Effect(verdict.paired.effect),
            PValue(verdict.p),
            verdict.judgement,
        ]
        for verdict in verdicts
    ]
    return Table([Column(title) for title in columns], rows)


def compared(contrast: Contrast) -> str:
    """A contrast by name, with both samplers if they differ."""
    first, second = contrast.first, contrast.second
    if isinstance(first, Arm) and isinstance(second, Arm) and first.sampler != second.sampler:
        return f"{contrast.name} ({first.sampler} − {second.sampler})"
    return contrast.name


def disagreements(
    verdicts: Sequence[Verdict], cohesion_key: str, retrieval_key: str
) -> list[tuple[Verdict, Verdict]]:
    """The contrasts in which cohesion has another winner than MAP@R: the two verdicts of each."""
    by_contrast: dict[Contrast, dict[str, Verdict]] = {}
    for verdict in verdicts:
        by_contrast.setdefault(verdict.contrast, {})[verdict.measure.key] = verdict
    found = []
    for by_key in by_contrast.values():
        if cohesion_key not in by_key or retrieval_key not in by_key:
            continue
        both = by_key[cohesion_key], by_key[retrieval_key]
        outcomes_ = {verdict.outcome for verdict in both}
        if len(outcomes_) == 2 and Outcome.UNKNOWN not in outcomes_:
            found.append(both)
    return found


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
    classification, metric = Family.CLASSIFICATION, Family.METRIC
    wanted = (
        Arm(classification, "shuffled"),
        Arm(classification, "balanced"),
        Arm(metric, "shuffled"),
        Arm(metric, "balanced"),
    )
    if not set(wanted) <= set(study.arms):
        return {}
    cs, cb, ms, mb = (study.per_seed(splits, arm, key) for arm in wanted)
    return {
        "objective": (ms + mb) / 2 - (cs + cb) / 2,
        "sampler": (cb + mb) / 2 - (cs + ms) / 2,
        "interaction": (mb - ms) - (cb - cs),
    }

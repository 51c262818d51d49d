"""Verdicts: which is better, computed from paired differences over the seeds.

Every table names one primary comparison. The primary comparisons of all tables are corrected
together, the other comparisons with those of their own table. A comparison that several tables
show is judged once. No sentence that names a winner is written by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from textmetric.grid import ARMS, Arm, Baseline, Family
from textmetric.measures import Outcome, Paired, mean_interval, simultaneous_differences
from textmetric.report.blocks import Cell, Column, Difference, Effect, Judgement, PValue, Table
from textmetric.report.names import Measure, pairs
from textmetric.report.study import Study
from textmetric.types import Float64

DECIDED = (Outcome.FIRST, Outcome.SECOND)


@dataclass(frozen=True)
class Contrast:
    """Which two sides are compared.

    Attributes:
        name: what both sides share, or how they were chosen: ``shuffled``.
        arms: (first, second); None if the sides are starts of fine-tuning.
        headline: whether this is the comparison that counts for its measure.
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

    @property
    def same_sampler(self) -> bool:
        """Whether two arms are compared that differ in the objective alone."""
        return self.arms is not None and self.arms[0].sampler == self.arms[1].sampler


@dataclass(frozen=True)
class Comparison:
    """Two series of values, paired by seed, before they are judged.

    Attributes:
        measure: what is compared.
        contrast: which sides are compared.
        first: (seeds,) the values of the first side.
        second: (seeds,) the values of the second side.
        splits: what it was measured on; empty for the transfer.
        grain: the step of the values, see :func:`textmetric.measures.paired_difference`.
        sides: what the sides are called, as in ``metric better``.
        test_to_train: of resampled splits, see :func:`textmetric.measures.paired_difference`;
            equal for all comparisons that are judged together.
    """

    measure: Measure
    contrast: Contrast
    first: Float64
    second: Float64
    splits: tuple[str, ...] = ()
    grain: float = 0.0
    sides: tuple[str, str] = ("metric", "classification")
    test_to_train: float = 0.0

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two comparisons of the same values."""
        return self.measure.key, self.splits, self.contrast.arms or self.contrast.name


@dataclass(frozen=True)
class Verdict:
    """A comparison that has been judged.

    Attributes:
        comparison: what was compared.
        paired: first − second over the seeds; interval and p are corrected for the family.
        judgement: which side is better.
        primary: whether its family are the primary comparisons of all tables.
        family: number of comparisons that it was corrected with.
    """

    comparison: Comparison
    paired: Paired
    judgement: Judgement
    primary: bool
    family: int

    @property
    def measure(self) -> Measure:
        """What is compared."""
        return self.comparison.measure

    @property
    def contrast(self) -> Contrast:
        """Which sides are compared."""
        return self.comparison.contrast

    @property
    def outcome(self) -> Outcome:
        """Which side is better."""
        return self.judgement.outcome


# ---------------------------------------------------------------- what is compared


def comparisons(
    study: Study, splits: Sequence[str], measures: Sequence[Measure]
) -> list[Comparison]:
    """Every measure, averaged over ``splits`` by seed, under each of its :func:`contrasts`.

    A measure that the splits lack (the cosine among scarce labels if one is scarce) is left out.
    """
    found = []
    for measure in measures:
        values = {arm: study.per_seed(splits, arm, measure.key) for arm in study.arms}
        if not all(np.isfinite(series).all() for series in values.values()):
            continue
        grain = study.grain(splits, measure.key)
        found += [
            Comparison(
                measure,
                contrast,
                values[contrast.arms[0]],
                values[contrast.arms[1]],
                tuple(splits),
                grain,
            )
            for contrast in contrasts(study, splits, measure)
            if contrast.arms
        ]
    return found


def contrasts(study: Study, splits: Sequence[str], measure: Measure) -> list[Contrast]:
    """Metric learning against classification: under each sampler, and each at its best.

    "At its best" is the arm of the family that has the best mean of ``measure`` on the
    **validation** part of ``splits``, so the test part chooses nothing. On validation a split with
    scarce labels has the rows of these labels, and an open split has labels that were not trained
    on. This contrast is the headline. If it is a comparison under one sampler, that one is renamed;
    otherwise it comes last. Without the measure on validation the last comparison is the headline.
    """
    found = [Contrast(arms[0].sampler, arms) for arms in pairs(study.arms)]
    best = _best(study, splits, measure)
    if best is None:
        return [*found[:-1], *(replace(last, headline=True) for last in found[-1:])]
    same = [contrast.name for contrast in found if contrast.arms == best]
    others = [contrast for contrast in found if contrast.arms != best]
    return [*others, Contrast(", ".join([*same, "each at its best"]), best, headline=True)]


def _best(study: Study, splits: Sequence[str], measure: Measure) -> tuple[Arm, Arm] | None:
    """The best arm of metric learning and of classification on validation, if both are known."""
    best = []
    for family in (Family.METRIC, Family.CLASSIFICATION):
        arms = [arm for arm in study.arms if arm.family is family]
        scores = [
            study.per_seed(splits, arm, measure.key, part="validation").mean() for arm in arms
        ]
        if not arms or not np.isfinite(scores).all():
            return None
        best.append(arms[int(np.argmax(scores) if measure.large_is_good else np.argmin(scores))])
    return best[0], best[1]


# ---------------------------------------------------------------- judging


def judge(
    primaries: Sequence[Comparison], tables: Sequence[Sequence[Comparison]]
) -> list[list[Verdict]]:
    """Judge the comparisons of all tables.

    The primary comparisons are one family, the others of each table are one each; a comparison
    that an earlier table has belongs to that. Families are corrected by
    :func:`textmetric.measures.simultaneous_differences`. Then a headline that no comparison under
    one sampler supports, and that one of them contradicts, becomes ``DEPENDS``.

    Args:
        primaries: the primary comparison of each table that has one.
        tables: all comparisons of each table.

    Returns:
        The verdicts of each table, in order.
    """
    judged: dict[tuple[object, ...], Verdict] = {}
    for number, group in enumerate([primaries, *tables]):
        family = {one.key: one for one in group if one.key not in judged}
        found = simultaneous_differences(
            [(one.first, one.second) for one in family.values()],
            grains=[one.grain for one in family.values()],
            test_to_train=next((one.test_to_train for one in family.values()), 0.0),
        )
        tested = sum(not np.isnan(paired.p) for paired in found)
        for (key, one), paired in zip(family.items(), found, strict=True):
            outcome = paired.outcome(large_is_good=one.measure.large_is_good)
            judged[key] = Verdict(one, paired, Judgement(outcome, *one.sides), number == 0, tested)
    everything = list(judged.values())
    judged = {key: _supported(verdict, everything) for key, verdict in judged.items()}
    return [[judged[one.key] for one in table] for table in tables]


def _supported(verdict: Verdict, judged: Collection[Verdict]) -> Verdict:
    """The verdict, or that it depends on the sampler."""
    if not verdict.contrast.headline or verdict.outcome is Outcome.UNKNOWN:
        return verdict
    under_one_sampler = {
        other.outcome
        for other in judged
        if other.contrast.same_sampler
        and other.measure == verdict.measure
        and other.comparison.splits == verdict.comparison.splits
    }
    if verdict.outcome in under_one_sampler or not under_one_sampler & set(DECIDED):
        return verdict
    return replace(verdict, judgement=replace(verdict.judgement, outcome=Outcome.DEPENDS))


# ---------------------------------------------------------------- baselines


@dataclass(frozen=True)
class Against:
    """What was trained, compared with a baseline.

    Attributes:
        baseline: which.
        title: what it is called in a sentence.
        measure: by which it is compared.
        values: (seeds,) of the baseline; (1,) if it draws nothing.
        trained: name → (seeds,) the values of what was trained.
        outcomes: name → whether the trained side (``FIRST``) or the baseline is better.
    """

    baseline: Baseline
    title: str
    measure: Measure
    values: Float64
    trained: Mapping[str, Float64]
    outcomes: Mapping[str, Outcome]

    @property
    def beaten(self) -> bool:
        """Whether a trained side is better, or no test is possible."""
        return not self.outcomes or not set(self.outcomes.values()) <= {
            Outcome.SECOND,
            Outcome.NO_DIFFERENCE,
        }

    @property
    def best(self) -> str:
        """The name of the trained side with the best mean."""
        sign = 1 if self.measure.large_is_good else -1
        return max(self.trained, key=lambda name: sign * float(self.trained[name].mean()))


def against(
    baseline: Baseline,
    title: str,
    measure: Measure,
    values: Float64,
    trained: Mapping[str, Float64],
    grain: float,
    test_to_train: float = 0.0,
) -> Against:
    """Compare each trained side with a baseline, paired by seed and corrected for their number.

    A side or a baseline without the measure is left out.

    Args:
        baseline: which.
        title: what it is called in a sentence.
        measure: by which they are compared.
        values: (seeds,) of the baseline; (1,) if it draws nothing.
        trained: name → (seeds,) the values of what was trained.
        grain: the step of the values, see :func:`textmetric.measures.paired_difference`.
        test_to_train: of resampled splits, see there.
    """
    known = {
        name: series
        for name, series in trained.items()
        if np.isfinite(series).all() and np.isfinite(values).all()
    }
    found = simultaneous_differences(
        [(series, np.broadcast_to(values, series.shape)) for series in known.values()],
        grains=[grain] * len(known),
        test_to_train=test_to_train,
    )
    outcomes = {
        name: paired.outcome(large_is_good=measure.large_is_good)
        for name, paired in zip(known, found, strict=True)
    }
    return Against(baseline, title, measure, values, known, outcomes)


# ---------------------------------------------------------------- tables


def verdict_table(verdicts: Sequence[Verdict], minus: str = "metric − classification") -> Table:
    """The verdicts as a table of their own: difference, effect size, corrected p, words."""
    columns = ["measure", "compared", minus, "effect size", "p", "verdict"]
    rows: list[list[Cell]] = [
        [
            verdict.measure.title,
            verdict.contrast.title + (" (**primary**)" if verdict.primary else ""),
            Difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high]),
            Effect(verdict.paired.effect),
            PValue(verdict.paired.p),
            verdict.judgement,
        ]
        for verdict in verdicts
    ]
    return Table([Column(title) for title in columns], rows)


def disagreements(
    verdicts: Sequence[Verdict], cohesion_key: str, retrieval_key: str
) -> list[tuple[Verdict, Verdict]]:
    """The arms for which cohesion has another winner than MAP@R: the two verdicts of each."""
    by_arms: dict[object, dict[str, Verdict]] = {}
    for verdict in verdicts:
        by_arms.setdefault(verdict.contrast.arms, {})[verdict.measure.key] = verdict
    return [
        (cohesion, retrieval)
        for by_key in by_arms.values()
        if (cohesion := by_key.get(cohesion_key)) and (retrieval := by_key.get(retrieval_key))
        if cohesion.outcome is not retrieval.outcome
        and Outcome.UNKNOWN not in (cohesion.outcome, retrieval.outcome)
    ]


def effects_table(study: Study, splits: Sequence[str], measures: Sequence[Measure]) -> Table | None:
    """The 2 × 2 of objective and sampler: what each of them moves, and what both move together.

    By seed, with classification C and metric learning M, shuffled s and balanced b:
    objective = (Ms + Mb)/2 − (Cs + Cb)/2, sampler = (Cb + Mb)/2 − (Cs + Ms)/2, and
    interaction = (Mb − Ms) − (Cb − Cs). The intervals are not corrected.

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

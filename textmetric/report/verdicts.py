"""Verdicts by code: who is better in a table, from paired differences over the seeds.

Every table is one family of comparisons, corrected for their number together. No sentence that
names a winner is written by hand anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textmetric.measures import Outcome, Paired, mean_interval, outcomes, paired_difference
from textmetric.report.document import Cell, Column, Table
from textmetric.report.names import Measure, arm_title, family, pairs, sampler
from textmetric.report.study import Study
from textmetric.report.tables import difference

LEVEL = 0.95
METRIC, CLASSIFICATION = "metric", "classification"
NO_DIFFERENCE = "no difference at 95 %"
NO_VERDICT = "no verdict"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """Two arms, or two ways of starting, that are compared.

    Attributes:
        name: what is equal in both, or how they were chosen: ``shuffled``.
        first: the one whose larger value gives a positive difference.
        second: the other.
    """

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Verdict:
    """One comparison of a table.

    Attributes:
        measure: what is compared.
        contrast: who is compared.
        paired: first − second over the seeds.
        p: corrected for the number of comparisons in the table.
        words: ``metric better``, ``classification better``, ``no difference at 95 %``, or
            ``no verdict`` where one seed, or a missing value, allows none.
    """

    measure: Measure
    contrast: Contrast
    paired: Paired
    p: float
    words: str


def judge(
    comparisons: Sequence[tuple[Measure, Contrast, Floats, Floats]],
    first: str = METRIC,
    second: str = CLASSIFICATION,
) -> list[Verdict]:
    """The verdicts of one table.

    Args:
        comparisons: measure, contrast, and the values (seeds,) of its first and second.
        first: what to call the first where it is better, as in ``metric better``.
        second: the same of the second.

    Returns:
        One a comparison, in order.
    """
    words: dict[Outcome, str] = {
        "first better": f"{first} better",
        "second better": f"{second} better",
        "no difference": NO_DIFFERENCE,
        "unknown": NO_VERDICT,
    }
    paired = [paired_difference(one, other, LEVEL) for _, _, one, other in comparisons]
    found = outcomes(paired, [measure.large_is_good for measure, *_ in comparisons], LEVEL)
    return [
        Verdict(measure, contrast, difference_, p, words[outcome])
        for (measure, contrast, _, _), difference_, (outcome, p) in zip(
            comparisons, paired, found, strict=True
        )
    ]


def contrasts(study: Study, splits: Sequence[str]) -> list[Contrast]:
    """Metric learning against classification: under each sampler, and each at its best.

    "At its best" is the arm of the objective with the highest MAP@R on the **validation** part
    of ``splits``, so the test part chooses nothing. It comes last, unless it is a comparison
    under one sampler anyway: then that one says so in its name and comes last.
    """
    same = {(one, other): Contrast(sampler(one), one, other) for one, other in pairs(study.arms)}
    chosen = _chosen(study, splits)
    if chosen is None:
        return list(same.values())
    before = same.pop(chosen, None)
    name = f"{before.name}, each at its best" if before else "each at its best"
    return [*same.values(), Contrast(name, *chosen)]


def _chosen(study: Study, splits: Sequence[str]) -> tuple[str, str] | None:
    """The best arm of metric learning and of classification on validation, if both are known."""
    best = []
    for wanted in ("metric", "cls"):
        arms = [arm for arm in study.arms if family(arm) == wanted]
        scores = [study.validation_map_at_r(splits, arm) for arm in arms]
        if not arms or any(map(math.isnan, scores)):
            return None
        best.append(arms[int(np.argmax(scores))])
    return best[0], best[1]


def judge_splits(study: Study, splits: Sequence[str], measures: Sequence[Measure]) -> list[Verdict]:
    """The verdicts of a table about ``splits``: every measure, averaged over them by seed.

    Measures come in order, and each under every contrast; a measure that the splits lack (the
    cosine among scarce labels where one is scarce) is left out.
    """
    arms = study.arms
    known = [
        measure
        for measure in measures
        if all(np.isfinite(study.per_seed(splits, arm, measure.key)).all() for arm in arms)
    ]
    return judge(
        [
            (
                measure,
                contrast,
                study.per_seed(splits, contrast.first, measure.key),
                study.per_seed(splits, contrast.second, measure.key),
            )
            for measure in known
            for contrast in contrasts(study, splits)
        ]
    )


def verdict_table(verdicts: Sequence[Verdict], minus: str = "metric − classification") -> Table:
    """The verdicts as a table of their own: difference, effect size, corrected p, words."""
    columns = ["measure", "compared", minus, "effect size", "p", "verdict"]
    rows = [
        [
            Cell(verdict.measure.title),
            Cell(_compared(verdict.contrast)),
            Cell(
                difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high]),
                _known(verdict.paired.mean),
            ),
            Cell(_effect(verdict.paired.effect), _known(verdict.paired.effect)),
            Cell(_p(verdict.p), _known(verdict.p)),
            Cell(f"**{verdict.words}**" if verdict.words.endswith("better") else verdict.words),
        ]
        for verdict in verdicts
    ]
    return Table([Column(title) for title in columns], rows)


def _compared(contrast: Contrast) -> str:
    samplers = sampler(contrast.first), sampler(contrast.second)
    if samplers[0] == samplers[1]:
        return contrast.name
    return f"{contrast.name} ({samplers[0]} − {samplers[1]})"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _effect(effect: float) -> str:
    if math.isnan(effect):
        return "–"
    return f"{'+' if effect > 0 else '−'}∞" if math.isinf(effect) else f"{effect:+.1f}"


def _p(p: float) -> str:
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def said(verdict: Verdict) -> str:
    """A verdict in half a sentence: words, difference, effect size.

    Only differences with an interval are told.
    """
    if verdict.words == NO_VERDICT:
        return f"{verdict.measure.name}: **{NO_VERDICT}**"
    paired = verdict.paired
    return (
        f"{verdict.measure.name}: **{verdict.words}** "
        f"({difference([paired.mean, paired.low, paired.high])}, d {_effect(paired.effect)})"
    )


def disagreements(verdicts: Sequence[Verdict], cohesion_key: str, retrieval_key: str) -> list[str]:
    """Sentences about the contrasts in which cohesion names another winner than MAP@R does."""
    sentences = []
    by_contrast: dict[Contrast, dict[str, Verdict]] = {}
    for verdict in verdicts:
        by_contrast.setdefault(verdict.contrast, {})[verdict.measure.key] = verdict
    for contrast, by_key in by_contrast.items():
        if cohesion_key not in by_key or retrieval_key not in by_key:
            continue
        cohesion, retrieval = by_key[cohesion_key], by_key[retrieval_key]
        if cohesion.words == retrieval.words or NO_VERDICT in (cohesion.words, retrieval.words):
            continue
        name = _compared(contrast)
        sentences.append(
            f"{name[0].upper()}{name[1:]}: by cohesion {cohesion.words}, by MAP@R {retrieval.words}"
        )
    return sentences


def effects_table(study: Study, splits: Sequence[str], measures: Sequence[Measure]) -> Table | None:
    """The 2 × 2 of objective and sampler: what each of them moves, and what both move together.

    By seed, with classification C and metric learning M, shuffled s and balanced b:
    objective = (Ms + Mb)/2 − (Cs + Cb)/2, sampler = (Cb + Mb)/2 − (Cs + Ms)/2, and
    interaction = (Mb − Ms) − (Cb − Cs).

    Returns:
        A row a measure, or None where an arm of the four is missing.
    """
    rows = [
        [
            Cell(measure.title),
            *(
                Cell(difference(mean_interval(values)), _known(mean_interval(values)[0]))
                for values in effects.values()
            ),
        ]
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


def effects_of(study: Study, splits: Sequence[str], key: str) -> Mapping[str, Floats]:
    """``objective``, ``sampler`` and ``interaction`` by seed; empty where an arm is missing."""
    wanted = ("cls_shuffled", "cls_balanced", "metric_shuffled", "metric_balanced")
    if not set(wanted) <= set(study.arms):
        return {}
    cs, cb, ms, mb = (study.per_seed(splits, arm, key) for arm in wanted)
    return {
        "objective": (ms + mb) / 2 - (cs + cb) / 2,
        "sampler": (cb + mb) / 2 - (cs + ms) / 2,
        "interaction": (mb - ms) - (cb - cs),
    }


def arms_named(contrast: Contrast) -> str:
    """Both arms of a contrast in words; its name where the two are no arms."""
    if not sampler(contrast.first):
        return contrast.name
    return f"{arm_title(contrast.first)} against {arm_title(contrast.second)}"

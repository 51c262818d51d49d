"""What a comparison found: the values of every split, and the verdicts computed from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from textmetric.compare.learners import Arm, OfSplit
from textmetric.compare.prior import Interval, Prior, combined
from textmetric.compare.purposes import Purpose
from textmetric.grid import Arm as Way
from textmetric.grid import Baseline, Family, Sampler
from textmetric.measures import Paired, mean_interval, simultaneous_differences
from textmetric.report.names import Measure
from textmetric.report.verdicts import Against, Contrast, Verdict, against, judge
from textmetric.report.verdicts import Comparison as Series
from textmetric.types import Float64, Int64

BASELINES = {
    Baseline.TFIDF: "TF-IDF",
    Baseline.UNTRAINED: "the untrained encoder",
}


@dataclass(frozen=True)
class Comparison:
    """Metric learning against classification on a user's texts, for one purpose.

    Attributes:
        purpose: what the embeddings are for.
        classes: names of the classes.
        rows: how many rows were compared on.
        given: how many rows there were.
        left_out: how many rows were left out and why.
        arms: every way to train.
        seeds: of the splits, each with its own trainings.
        splits: what each of them gave, in their order.
        wall_seconds: how long it took.
        cpu_seconds: of the trainings and their measures, wherever they were done, user and system.
        prior: what a rule expected before; None where other arms than the default are compared.
    """

    purpose: Purpose
    classes: Sequence[str]
    rows: int
    given: int
    left_out: Sequence[str]
    arms: Sequence[Arm]
    seeds: Sequence[int]
    splits: Sequence[OfSplit]
    wall_seconds: float
    cpu_seconds: float
    prior: Prior | None = None

    @property
    def measure(self) -> Measure:
        """What decides."""
        return self.purpose.measures[0]

    @property
    def test_to_train(self) -> float:
        """See :meth:`.Purpose.test_to_train`."""
        return self.purpose.test_to_train(len(self.classes))

    def of_arm(self, arm: Arm, key: str | None = None) -> Float64:
        """(splits,) a measure of an arm on the test parts, by default the one that decides."""
        place = list(self.arms).index(arm)
        key = self.measure.key if key is None else key
        return np.array([split.arms[place].test[key] for split in self.splits])

    def of_baseline(self, baseline: Baseline, key: str | None = None) -> Float64:
        """(splits,) a measure of a baseline on the test parts."""
        key = self.measure.key if key is None else key
        return np.array([split.baselines[baseline][key] for split in self.splits])

    def chosen(self, family: Family, sampler: Sampler | None = None) -> Int64:
        """(splits,) the arm of a family that is best on the validation part of each split.

        Args:
            family: of the arms to choose from.
            sampler: theirs; None for all.

        Returns:
            Places in ``arms``; of equal arms the first; -1 where every training failed.
        """
        places = [
            place
            for place, arm in enumerate(self.arms)
            if arm.family is family and sampler in (None, arm.sampler)
        ]
        found = np.full(len(self.splits), -1)
        for row, split in enumerate(self.splits):
            known = [place for place in places if not math.isnan(split.arms[place].validation)]
            if known:
                found[row] = max(known, key=lambda place: split.arms[place].validation)
        return found

    def of_family(
        self, family: Family, sampler: Sampler | None = None, key: str | None = None
    ) -> Float64:
        """(splits,) a measure of the arm that :meth:`chosen` names, on the test parts."""
        key = self.measure.key if key is None else key
        return np.array(
            [
                math.nan if place < 0 else split.arms[place].test[key]
                for place, split in zip(self.chosen(family, sampler), self.splits, strict=True)
            ]
        )

    def interval(self, values: Float64) -> tuple[float, float, float]:
        """Mean and 95 % interval of a series over the splits, corrected for their overlap."""
        return mean_interval(values, test_to_train=self.test_to_train)

    @property
    def grain(self) -> float:
        """The step of the measure: 1 / test rows."""
        return 1 / min(split.rows[2] for split in self.splits)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Metric learning against classification: each at its best, then under each sampler.

        The first is the verdict; it is one comparison, chosen before. The others are corrected
        with one another.
        """
        samplers = list(dict.fromkeys(arm.sampler for arm in self.arms))
        compared = [self._series(Contrast("each at its best", headline=True))]
        compared += [
            self._series(
                Contrast(
                    sampler, (Way(Family.METRIC, sampler), Way(Family.CLASSIFICATION, sampler))
                )
            )
            for sampler in samplers
        ]
        (found,) = judge(compared[:1], [compared])
        return found

    def _series(self, contrast: Contrast) -> Series:
        sampler = None if contrast.arms is None else contrast.arms[0].sampler
        return Series(
            self.measure,
            contrast,
            self.of_family(Family.METRIC, sampler),
            self.of_family(Family.CLASSIFICATION, sampler),
            grain=self.grain,
            test_to_train=self.test_to_train,
        )

    @property
    def verdict(self) -> Verdict:
        """Each family at its best."""
        return self.verdicts[0]

    @property
    def with_prior(self) -> Interval | None:
        """The measured difference combined with the prior, see :func:`.combined`.

        None if there is no prior, or the difference has no interval.
        """
        found = self.verdict.paired
        if self.prior is None or self.prior.expected is None or math.isnan(found.low):
            return None
        return combined(self.prior.expected, (found.mean, found.low, found.high))

    @cached_property
    def differences(self) -> dict[Arm | Baseline, Paired]:
        """Each arm and baseline minus classification at its best, corrected for their number."""
        best = self.of_family(Family.CLASSIFICATION)
        sides: dict[Arm | Baseline, Float64] = {arm: self.of_arm(arm) for arm in self.arms}
        sides |= {baseline: self.of_baseline(baseline) for baseline in Baseline}
        found = simultaneous_differences(
            [(values, best) for values in sides.values()],
            grains=[self.grain] * len(sides),
            test_to_train=self.test_to_train,
        )
        return dict(zip(sides, found, strict=True))

    @cached_property
    def against(self) -> list[Against]:
        """Both families at their best against each baseline."""
        trained = {family.value: self.of_family(family) for family in Family}
        return [
            against(
                baseline,
                name,
                self.measure,
                self.of_baseline(baseline),
                trained,
                self.grain,
                self.test_to_train,
            )
            for baseline, name in BASELINES.items()
        ]

    @property
    def failures(self) -> dict[Arm, str]:
        """The arms of which a training failed, with the last sentence."""
        return {
            arm: error
            for place, arm in enumerate(self.arms)
            for split in self.splits
            if (error := split.arms[place].error)
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything for JSON; NaN stays NaN, and :func:`.write_json` makes null of it."""
        verdict = self.verdict
        return {
            "for": self.purpose.name,
            "measure": self.measure.key,
            "rows": self.rows,
            "given_rows": self.given,
            "left_out": list(self.left_out),
            "classes": len(self.classes),
            "splits": len(self.splits),
            "seeds": list(self.seeds),
            "test_to_train": self.test_to_train,
            "verdict": verdict.outcome.name.lower(),
            "difference": _paired(verdict.paired),
            "prior": None
            if self.prior is None
            else self.prior.as_dict() | {"with_prior": self.with_prior},
            "under_one_sampler": {
                each.contrast.name: {"verdict": each.outcome.name.lower()} | _paired(each.paired)
                for each in self.verdicts[1:]
            },
            "families": {
                family.value: {
                    "interval": list(self.interval(self.of_family(family))),
                    "test": self.of_family(family).tolist(),
                    "chosen": [
                        None if place < 0 else self.arms[place].title
                        for place in self.chosen(family)
                    ],
                }
                for family in Family
            },
            "arms": {
                arm.title: {
                    "family": arm.family.value,
                    "lr": [split.arms[place].lr for split in self.splits],
                    "validation": [split.arms[place].validation for split in self.splits],
                    "test": {
                        measure.key: self.of_arm(arm, measure.key).tolist()
                        for measure in self.purpose.measures
                    },
                    "minus_classification": _paired(self.differences[arm]),
                    "seconds": [split.arms[place].seconds for split in self.splits],
                }
                for place, arm in enumerate(self.arms)
            },
            "baselines": {
                baseline.value: {
                    "test": {
                        measure.key: self.of_baseline(baseline, measure.key).tolist()
                        for measure in self.purpose.measures
                    },
                    "minus_classification": _paired(self.differences[baseline]),
                }
                for baseline in Baseline
            },
            "wall_seconds": round(self.wall_seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
        }


def _paired(found: Paired) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p}

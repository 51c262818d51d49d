"""The results of a run, read once: the input of the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textmetric.errors import UserError, needing

with needing("the report", "study"):
    import pandas as pd

from textmetric.files import read_arrays, read_json, reading
from textmetric.grid import INITS, Arm, Baseline, Family, Layout, Role, Sampler, Split
from textmetric.measures.record import ArmRecord
from textmetric.params import Model, Pretrain, SplitEntry, Train
from textmetric.types import Float32, Float64, Int64, Integers, Measured

Side = Arm | Baseline
"""What has a record on every split."""


@dataclass(frozen=True)
class Study:
    """A run of the pipeline.

    Attributes:
        splits: name → its entry in params.yaml, in order.
        arms: in order.
        samplers: in order.
        seeds: of every training.
        train: the loop's settings, equal for every arm.
        model: the encoder's settings.
        found: the share of the train texts' tokens that have a given vector, by role; empty without
            given token vectors.
        corpora: role → summary of its corpus.
        objectives: family → name and parameters.
        records: split → arm → its measures.
        baselines: split → baseline → its measures.
        tfidf_transfer: the columns share, seed and test_accuracy of TF-IDF with logistic
            regression on the target, see
            :func:`textmetric.pipeline.measure_baselines.measure_baselines`.
        curves: split → arm → a row a seed and epoch.
        transfers: initialisation → what stage finetune found, see
            :func:`textmetric.pipeline.finetune_seeds.finetune_seeds`.
        pretraining: the objective, its parameters and the loop of the pre-training; None without.
    """

    splits: Mapping[str, SplitEntry]
    arms: Sequence[Arm]
    samplers: Sequence[Sampler]
    seeds: Sequence[int]
    train: Train
    model: Model
    found: Mapping[Role, float]
    corpora: Mapping[Role, Mapping[str, Any]]
    objectives: Mapping[Family, Mapping[str, Any]]
    records: Mapping[str, Mapping[Arm, ArmRecord]]
    baselines: Mapping[str, Mapping[Baseline, ArmRecord]]
    tfidf_transfer: pd.DataFrame
    curves: Mapping[str, Mapping[Arm, pd.DataFrame]]
    transfers: Mapping[str, pd.DataFrame]
    pretraining: Mapping[str, Any] | None = None

    @property
    def roles(self) -> list[Role]:
        """The roles that a split has, in order."""
        return list(dict.fromkeys(split.role for split in self.splits.values()))

    @property
    def sides(self) -> list[Side]:
        """The arms, then the baselines: the columns of a table."""
        return [*self.arms, *Baseline]

    def full(self, role: Role) -> str | None:
        """The first split of a role that cuts nothing."""
        for name, split in self.splits.items():
            if split.role == role and not split.scarce and split.open is None:
                return name
        return None

    def scarce(self, role: Role) -> list[str]:
        """The splits of a role with labels cut; where all are, none is scarcer than another."""
        return [
            name
            for name, split in self.splits.items()
            if split.role == role and 0 < len(set(split.scarce)) < len(self.about(name).label_names)
        ]

    def open(self) -> list[str]:
        """The splits that are measured on labels never trained on."""
        return [name for name, split in self.splits.items() if split.open is not None]

    def about(self, split: str) -> ArmRecord:
        """A record of a split, for what is the same in every arm: names, rows, scarce labels."""
        return self.records[split][self.arms[0]]

    def record(self, split: str, side: Side) -> ArmRecord:
        """The measures of an arm or a baseline on a split."""
        return self.records[split][side] if isinstance(side, Arm) else self.baselines[split][side]

    def per_seed(
        self, splits: Iterable[str], side: Side, key: str, part: Measured = "test"
    ) -> Float64:
        """(seeds,) a measure, averaged over ``splits``; NaN where one of them lacks it.

        (1,) of a baseline that draws nothing.
        """
        values = [self.record(split, side).seeds_of(key, part) for split in splits]
        return np.asarray(np.array(values).mean(axis=0))

    def grain(self, splits: Sequence[str], key: str) -> float:
        """The step of a measure on the test part, averaged over ``splits``: 1 / rows of one split.

        Of several splits the steps add as independent errors do, in squares.
        """
        steps = [1 / max(1, self.about(split).queries(key)) for split in splits]
        return math.hypot(*steps) / len(steps)


def read_study(
    layout: Layout,
    *,
    splits: Mapping[Split, SplitEntry],
    arms: Sequence[Arm],
    samplers: Sequence[Sampler],
    train: Train,
    model: Model,
    pretrain: Pretrain | None = None,
) -> Study:
    """Read what the stages wrote.

    The grid is what the arguments say. No file is found by a pattern, since a smaller grid leaves
    stale files.

    Args:
        layout: where everything is.
        splits: each with its entry in params.yaml.
        arms: of the study.
        samplers: of the study.
        train: the loop's settings, for the text.
        model: the encoder, for the text.
        pretrain: what the encoders were pre-trained by; None if they were not.

    Raises:
        UserError: a file is missing or damaged, or does not fit the others.
    """
    roles = dict.fromkeys(split.role for split in splits)
    records = {split.name: _records(layout, split, arms) for split in splits}
    return Study(
        splits={split.name: entry for split, entry in splits.items()},
        arms=arms,
        samplers=samplers,
        seeds=next(iter(records.values()))[arms[0]].seeds,
        train=train,
        model=model,
        found={
            role: read_json(layout.token_labels(role))["found"]
            for role in roles
            if model.encoder == "bag" and model.vectors is not None
        },
        corpora={role: read_json(layout.summary(role)) for role in roles},
        objectives={family: read_json(layout.objective(family)) for family in Family},
        records=records,
        baselines={split.name: _baselines(layout, split, records[split.name]) for split in splits},
        tfidf_transfer=_read_csv(layout.baseline_transfer),
        curves={
            split.name: {arm: _read_csv(layout.curve(arm, split)) for arm in arms}
            for split in splits
        },
        transfers={init: _read_csv(layout.transfer(init)) for init in INITS},
        pretraining=None if pretrain is None else read_json(layout.pretraining),
    )


@dataclass(frozen=True)
class SplitMaps:
    """The t-SNE of a split, all arms.

    Attributes:
        coordinates: arm → (seeds, n, 2).
        rows: (n,) of the test part.
        labels: (n,) of these rows.
        seeds: that have a map.
        of_scarce: arm → (m, 2), the rows of the scarce labels alone, of the first seed.
        scarce_labels: (m,) of these rows.
    """

    coordinates: Mapping[Arm, Float32]
    rows: Int64
    labels: Integers
    seeds: list[int]
    of_scarce: Mapping[Arm, Float32]
    scarce_labels: Integers


def read_maps(layout: Layout, split: Split, arms: Sequence[Arm]) -> SplitMaps:
    """Read what stage tsne wrote of a split, for every arm.

    Raises:
        UserError: a file is missing or damaged.
    """
    coordinates: dict[Arm, Float32] = {}
    of_scarce: dict[Arm, Float32] = {}
    for family in dict.fromkeys(arm.family for arm in arms):
        path = layout.map(family, split)
        arrays = read_arrays(path)
        try:
            found = [Arm.parse(str(name)) for name in arrays["arms"]]
            coordinates |= zip(found, arrays["coordinates"], strict=True)
            of_scarce |= zip(found, arrays["scarce_coordinates"], strict=True)
            shared = [arrays[key] for key in ("rows", "labels", "seeds", "scarce_labels")]
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}): run stage tsne again") from None
    missing = [arm.name for arm in arms if arm not in coordinates]
    if missing:
        raise UserError(f"{path} has no map of {missing[0]}: run stage tsne again (dvc repro)")
    rows, labels, seeds, scarce_labels = shared
    return SplitMaps(
        {arm: coordinates[arm] for arm in arms},
        rows,
        labels,
        seeds.tolist(),
        {arm: of_scarce[arm] for arm in arms},
        scarce_labels,
    )


def _records(layout: Layout, split: Split, arms: Sequence[Arm]) -> dict[Arm, ArmRecord]:
    """The records of a split, which must be of the same seeds."""
    records = {arm: ArmRecord.read(layout.record(arm, split)) for arm in arms}
    expected = records[arms[0]].seeds
    for arm, record in records.items():
        if record.seeds != expected:
            raise UserError(
                f"{layout.record(arm, split)} has the seeds {record.seeds}, but {arms[0]} has "
                f"{expected}, expected the same for paired differences: run stage evaluate again "
                "(dvc repro)"
            )
    return records


def _baselines(
    layout: Layout, split: Split, of_arms: Mapping[Arm, ArmRecord]
) -> dict[Baseline, ArmRecord]:
    """The baselines of a split, whose seeds must be those of the arms, or the first alone."""
    found = {name: ArmRecord.read(layout.baseline(name, split)) for name in Baseline}
    expected = next(iter(of_arms.values())).seeds
    for name, record in found.items():
        if record.seeds not in (expected, expected[:1]):
            raise UserError(
                f"{layout.baseline(name, split)} has the seeds {record.seeds}, but the arms have "
                f"{expected}, expected the same: run stage baselines again (dvc repro)"
            )
    return found


def _read_csv(path: Path) -> pd.DataFrame:
    with reading(path, "a table"):
        return pd.read_csv(path)

"""The record of an arm or a baseline on a split: what is measured and the report reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.types import Float64, Measured


@dataclass(frozen=True)
class ArmRecord:
    """All measures of the seeds of an arm, or of a baseline, on a split.

    Attributes:
        split: its name.
        arm: name of the arm or baseline.
        seeds: of the trainings, in order; of what draws nothing, the first alone.
        label_names: the C class names, by id.
        train_rows: number of rows of each class in the train part, by id.
        test_rows: number of rows of each class in the test part, by id.
        scarce: ids of the classes that were cut or are rare.
        held_out: ids of the classes that only the validation part has.
        unseen: ids of the classes that only the test part has.
        counts: ``train_rows``, ``validation_rows``, ``test_rows``, ``empty_rows`` (test rows
            without a known token) and ``leaked_rows`` (dropped from train because their text is in
            test).
        per_seed: measure → its value for each seed on the test part.
        validation: the same measures on the validation part, by which an arm is chosen; empty if
            the split has no validation row.
        interval: measure → mean, low, high of ``per_seed``.
        per_class: measure → for each seed its value for each class on the test part.

    NaN is null in JSON. Reading gives None for it.
    """

    split: str
    arm: str
    seeds: list[int]
    label_names: list[str]
    train_rows: list[int]
    test_rows: list[int]
    scarce: list[int]
    held_out: list[int]
    unseen: list[int]
    counts: Mapping[str, int]
    per_seed: Mapping[str, Sequence[float | None]]
    validation: Mapping[str, Sequence[float | None]]
    interval: Mapping[str, Sequence[float | None]]
    per_class: Mapping[str, Sequence[Sequence[float | None]]]

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> ArmRecord:
        """Read what :meth:`write` wrote.

        Raises:
            UserError: the file is missing, damaged, or lacks a key.
        """
        found: Any = read_json(path)
        for field in fields(cls):
            if not isinstance(found, dict) or field.name not in found:
                raise UserError(
                    f"{path} lacks {field.name!r}: run the stage that writes it again (dvc repro)"
                )
        return cls(**{field.name: found[field.name] for field in fields(cls)})

    def metrics(self) -> dict[str, float | int | None]:
        """The mean over seeds of every measure on the test part, and the counts.

        It is what ``dvc metrics`` shows.
        """
        means = {key: interval[0] for key, interval in self.interval.items()}
        return {**means, **self.counts}

    @property
    def trained_labels(self) -> list[str]:
        """The names of the classes that training saw; their ids are the same."""
        return self.label_names[: len(self.label_names) - len(self.held_out + self.unseen)]

    def queries(self, measure: str) -> int:
        """Number of test rows that a measure averages over: of the scarce classes, or all.

        Of a measure whose queries are a sample, those of the sample.
        """
        if (sampled := self.sampled(measure)) is not None:
            return sampled
        of = self.scarce if measure.startswith("scarce_") else range(len(self.test_rows))
        return sum(self.test_rows[label] for label in of)

    def sampled(self, measure: str) -> int | None:
        """Number of queries that a measure has if they are a sample; None if all rows are."""
        of_seeds = self.per_seed.get(f"{measure}_queries")
        return int(of_seeds[0]) if of_seeds and of_seeds[0] is not None else None

    def seeds_of(self, measure: str, part: Measured = "test") -> Float64:
        """(seeds,) the values of a measure on a part, NaN where it is missing."""
        values = self.per_seed if part == "test" else self.validation
        return np.array(values.get(measure, [None] * len(self.seeds)), dtype=np.float64)

    def classes_of(self, measure: str) -> Float64:
        """(seeds, C) the values of a measure by class on test, NaN where it is undefined."""
        return np.array(self.per_class[measure], dtype=np.float64)

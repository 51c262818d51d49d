"""All that the stages left of a run, read once: what the report is made from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from textmetric.errors import UserError
from textmetric.files import read_json
from textmetric.params import Split, Train
from textmetric.report.names import family, sampler
from textmetric.splits import cells

INITS = ("cls", "metric", "scratch")
Record = dict[str, Any]
_RECORD_KEYS = (
    "seeds",
    "label_names",
    "train_rows",
    "scarce",
    "unseen",
    "counts",
    "per_seed",
    "interval",
    "per_class",
)


@dataclass(frozen=True)
class Study:
    """A run of the pipeline.

    Attributes:
        splits: name → its entry in params.yaml, in order.
        arms: names of the arms, in order.
        samplers: names of the samplers, in order.
        seeds: of every training.
        train: the loop's settings, equal for every arm.
        corpora: role → summary of its corpus.
        objectives: ``classification`` and ``metric`` → name and parameters.
        records: split → arm → what stage evaluate found, see
            :func:`textmetric.pipeline.measure.measure_arms`.
        curves: split → arm → a row a seed and epoch.
        transfers: initialisation → what stage finetune found, see
            :func:`textmetric.training.finetuning.finetune_seeds`.
    """

    splits: Mapping[str, Split]
    arms: Sequence[str]
    samplers: Sequence[str]
    seeds: Sequence[int]
    train: Train
    corpora: Mapping[str, Record]
    objectives: Mapping[str, Record]
    records: Mapping[str, Mapping[str, Record]]
    curves: Mapping[str, Mapping[str, pd.DataFrame]]
    transfers: Mapping[str, pd.DataFrame]

    @property
    def roles(self) -> list[str]:
        """The roles that a split has, in order."""
        return list(dict.fromkeys(split.role for split in self.splits.values()))

    def full(self, role: str) -> str | None:
        """The first split of a role that cuts nothing."""
        return next(
            (
                name
                for name, split in self.splits.items()
                if split.role == role and not split.scarce and split.open is None
            ),
            None,
        )

    def scarce(self, role: str) -> list[str]:
        """The splits of a role with labels cut."""
        return [name for name, split in self.splits.items() if split.role == role and split.scarce]

    def open(self) -> list[str]:
        """The splits that are measured on labels never trained on."""
        return [name for name, split in self.splits.items() if split.open is not None]

    def arm_record(self, split: str) -> Record:
        """What is the same for every arm of a split: names, rows, scarce labels."""
        return self.records[split][self.arms[0]]

    def per_seed(self, splits: Iterable[str], arm: str, key: str) -> npt.NDArray[np.float64]:
        """(seeds,) a measure, averaged over ``splits``; NaN where one of them lacks it."""
        missing = [None] * len(self.seeds)
        values = [self.records[split][arm]["per_seed"].get(key, missing) for split in splits]
        return np.asarray(np.array(values, dtype=np.float64).mean(axis=0))  # null becomes NaN

    def validation_map_at_r(self, splits: Iterable[str], arm: str) -> float:
        """Mean over splits and seeds, after the last epoch; NaN without validation rows."""
        last = [
            frame.loc[frame["epoch"] == frame["epoch"].max(), "validation_map_at_r"].mean()
            for frame in (self.curves[split][arm] for split in splits)
        ]
        return float(np.mean(last))


def read_study(
    root: str | os.PathLike[str],
    *,
    splits: Mapping[str, Split],
    arms: Sequence[str],
    samplers: Sequence[str],
    train: Train,
) -> Study:
    """Read what the stages left in ``root``.

    The grid is what the arguments say: nothing is looked for by pattern, since a smaller grid
    leaves stale files.

    Args:
        root: the folder that holds ``data/``.
        splits: name → its entry in params.yaml.
        arms: names of the arms.
        samplers: names of the samplers.
        train: the loop's settings, to be told.

    Raises:
        UserError: a file is missing or damaged, or does not fit the others.
    """
    data = Path(root) / "data"
    roles = dict.fromkeys(split.role for split in splits.values())
    records = {split: _records(data / "measures" / split, arms) for split in splits}
    first = next(iter(records.values()))[arms[0]]
    return Study(
        splits=splits,
        arms=arms,
        samplers=samplers,
        seeds=first["seeds"],
        train=train,
        corpora={role: read_json(data / "raw" / role / "summary.json") for role in roles},
        objectives={
            family: read_json(data / "objectives" / f"{family}.json")
            for family in ("classification", "metric")
        },
        records=records,
        curves={
            split: {
                arm: _read_csv(data / "curves" / family(arm) / cell / f"{sampler(arm)}.csv")
                for arm in arms
            }
            for split, cell in cells(splits).items()
        },
        transfers={init: _read_csv(data / "finetune" / f"{init}.csv") for init in INITS},
    )


def _records(folder: Path, arms: Sequence[str]) -> dict[str, Record]:
    """What stage evaluate wrote of every arm: complete, and of the same seeds."""
    records = {arm: read_json(folder / f"{arm}.json") for arm in arms}
    for arm, record in records.items():
        path = folder / f"{arm}.json"
        for key in _RECORD_KEYS:
            if key not in record:
                raise UserError(f"{path} lacks {key!r}: run stage evaluate again (dvc repro)")
        if record["seeds"] != records[arms[0]]["seeds"]:
            raise UserError(
                f"{path} has the seeds {record['seeds']}, but {arms[0]} has "
                f"{records[arms[0]]['seeds']}, expected the same for paired differences: run "
                "stage evaluate again (dvc repro)"
            )
    return records


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): write it again (dvc repro)") from None

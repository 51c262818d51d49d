"""Measure every split and arm of a family on the test and validation parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from textmetric import parallel
from textmetric.files import read_arrays, read_json, replacing_folder, write_json
from textmetric.grid import Arm, Family, Layout, Split, array_of, moved, trainings
from textmetric.measures import Evaluation, evaluate, summarise
from textmetric.measures.record import ArmRecord
from textmetric.types import MEASURED, Measured

PREDICTIONS = ("head", "knn", "centroid")

_Value = TypeVar("_Value")


def measure_arms(
    layout: Layout,
    family: Family,
    *,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    seeds: Sequence[int],
    progress: bool = True,
) -> None:
    """Measure every split, arm and seed of a family; write records and metrics.

    A record, :class:`.ArmRecord`, has the values of every seed on both parts, and of every class
    on the test part. Metrics are the means of the test part.

    Args:
        layout: where everything is.
        family: of the arms.
        splits: of the study.
        arms: of the family.
        seeds: of every arm.
        progress: show a progress bar.

    Raises:
        UserError: a file is missing or damaged.
    """
    about = {split: about_split(layout, split) for split in splits}
    found = iter(
        parallel.run(
            _measure,
            [
                (
                    layout.embedding(training),
                    len(about[training.split][0]["names"]),
                    about[training.split][0]["scarce"],
                )
                for training in trainings(arms, splits, seeds)
            ],
            files=lambda job: parallel.Files([job[0]]),
            label=f"evaluate {family.short}",
            unit="model",
            progress=progress,
        )
    )
    measures, metrics = layout.measures(family), layout.metrics(family)
    with replacing_folder(measures) as records, replacing_folder(metrics) as means:
        for split in splits:
            for arm in arms:
                of_arm = [next(found) for _ in seeds]
                record = record_of(split, arm.name, seeds, about[split], of_arm)
                record.write(moved(layout.record(arm, split), measures, records))
                write_json(moved(layout.metric(arm, split), metrics, means), record.metrics())


def about_split(layout: Layout, split: Split) -> list[dict[str, Any]]:
    """What stage split wrote of a split's labels and corpus.

    Raises:
        UserError: a file is missing or damaged.
    """
    return [read_json(layout.split(split) / name) for name in ("labels.json", "corpus.json")]


def record_of(
    split: Split,
    name: str,
    seeds: Sequence[int],
    about: Sequence[dict[str, Any]],
    found: Sequence[Mapping[Measured, Evaluation]],
) -> ArmRecord:
    """The record of an arm or a baseline.

    Args:
        split: that was measured.
        name: of the arm or the baseline.
        seeds: of ``found``.
        about: of :func:`about_split`.
        found: by seed, the measures of each part that has rows.
    """
    labels, corpus = about
    of_test, of_validation = ([one[part] for one in found if part in one] for part in MEASURED)
    return ArmRecord(
        split=split.name,
        arm=name,
        seeds=list(seeds),
        label_names=labels["names"],
        train_rows=labels["train_rows"],
        test_rows=of_test[0].rows,
        scarce=labels["scarce"],
        held_out=labels["held_out"],
        unseen=labels["unseen"],
        counts={
            "train_rows": sum(labels["train_rows"]),
            "validation_rows": sum(of_validation[0].rows) if of_validation else 0,
            "test_rows": sum(of_test[0].rows),
            "empty_rows": labels["empty_rows"]["test"],
            "leaked_rows": corpus["leaked_rows"],
        },
        per_seed=_by_seed([one.flat for one in of_test]),
        validation=_by_seed([one.flat for one in of_validation]),
        interval=summarise([one.flat for one in of_test]),
        per_class=_by_seed([one.per_class for one in of_test]),
    )


def _by_seed(found: Sequence[Mapping[str, _Value]]) -> dict[str, list[_Value]]:
    return {key: [one[key] for one in found] for key in found[0]} if found else {}


def _measure(
    job: tuple[Path, int, list[int]], tick: Callable[[], None]
) -> dict[Measured, Evaluation]:
    path, classes, scarce = job
    found = measure_parts(read_arrays(path), classes, scarce)
    tick()
    return found


def measure_parts(
    arrays: Mapping[str, NDArray[Any]], classes: int, scarce: Sequence[int]
) -> dict[Measured, Evaluation]:
    """The measures of each part that has rows, from what :func:`.embedded_parts` gives."""
    found: dict[Measured, Evaluation] = {}
    for part in MEASURED:
        name_of = partial(array_of, part)
        if name_of("labels") in arrays:
            found[part] = evaluate(
                arrays[name_of("embeddings")],
                arrays[name_of("labels")],
                classes=classes,
                scarce=scarce,
                predictions={
                    name: arrays[name_of(name)] for name in PREDICTIONS if name_of(name) in arrays
                },
            )
    return found

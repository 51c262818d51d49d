"""Measure every split and arm of a family on the test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textmetric import parallel
from textmetric.files import read_arrays, read_json, replacing_folder, write_json
from textmetric.grid import Arm, Family, Layout, Split, moved, trainings
from textmetric.measures import Evaluation, evaluate, summarise
from textmetric.measures.record import ArmRecord

PREDICTIONS = ("head", "knn", "centroid")


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

    A record, :class:`.ArmRecord`, has the values of every seed and class; metrics are their means.

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
    about = {
        split: [read_json(layout.split(split) / name) for name in ("labels.json", "corpus.json")]
        for split in splits
    }
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
            label=f"evaluate {family.short}",
            unit="model",
            progress=progress,
        )
    )
    measures, metrics = layout.measures(family), layout.metrics(family)
    with replacing_folder(measures) as records, replacing_folder(metrics) as means:
        for split in splits:
            for arm in arms:
                record = _record(split, arm, seeds, about[split], [next(found) for _ in seeds])
                record.write(moved(layout.record(arm, split), measures, records))
                write_json(moved(layout.metric(arm, split), metrics, means), record.metrics())


def _record(
    split: Split,
    arm: Arm,
    seeds: Sequence[int],
    about: Sequence[dict[str, Any]],
    found: Sequence[tuple[int, Evaluation]],
) -> ArmRecord:
    labels, corpus = about
    rows, evaluations = found[0][0], [evaluation for _, evaluation in found]
    first = evaluations[0]
    return ArmRecord(
        split=split.name,
        arm=arm.name,
        seeds=list(seeds),
        label_names=labels["names"],
        train_rows=labels["train_rows"],
        scarce=labels["scarce"],
        unseen=labels["unseen"],
        counts={
            "train_rows": sum(labels["train_rows"]),
            "test_rows": rows,
            "empty_rows": labels["empty_rows"]["test"],
            "leaked_rows": corpus["leaked_rows"],
        },
        per_seed={key: [one.flat[key] for one in evaluations] for key in first.flat},
        interval=summarise([one.flat for one in evaluations]),
        per_class={key: [one.per_class[key] for one in evaluations] for key in first.per_class},
    )


def _measure(job: tuple[Path, int, list[int]], tick: Callable[[], None]) -> tuple[int, Evaluation]:
    path, classes, scarce = job
    arrays = read_arrays(path)
    evaluation = evaluate(
        arrays["embeddings"],
        arrays["labels"],
        classes=classes,
        scarce=scarce,
        predictions={key: arrays[key] for key in PREDICTIONS if key in arrays},
    )
    tick()
    return len(arrays["labels"]), evaluation

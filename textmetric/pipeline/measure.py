"""The measures of every arm of every split: all seeds, with intervals, from files to records."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textmetric import parallel
from textmetric.files import read_arrays, read_json
from textmetric.measures.evaluate import Evaluation, evaluate
from textmetric.measures.intervals import summarise

PREDICTIONS = ("head", "knn", "centroid")


def measure_arms(
    embeddings: str | os.PathLike[str],
    splits: str | os.PathLike[str],
    *,
    cells: Mapping[str, str],
    arms: Sequence[str],
    seeds: Sequence[int],
    progress: bool = True,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Measure every split, arm and seed on the test set.

    Args:
        embeddings: the folder of the files ``<family>/<split>/<sampler>/seed-<seed>.npz`` of every
            arm ``<family>_<sampler>``: ``embeddings`` (n, dim), ``labels`` (n,), and predictions
            (n,) called head, knn or centroid.
        splits: the folder of all splits, for the names and train rows of their classes.
        cells: split → its folder below ``splits``.
        arms: names of the arms.
        seeds: of every arm.
        progress: show a progress bar.

    Returns:
        (split, arm) → its record: ``split``, ``arm``, ``seeds``; ``label_names``, ``train_rows``
        (a number a class), ``scarce`` and ``unseen`` (class ids); ``counts`` (rows of the split,
        see below); ``per_seed`` key → a value a seed; ``interval`` key → (mean, low, high);
        ``per_class`` key → for each seed a value a class. Counts: ``train_rows``, ``test_rows``,
        ``empty_rows`` (test rows without a known token) and ``leaked_rows`` (dropped from train
        since their text is in test).

    Raises:
        UserError: a file is missing or damaged.
    """
    about = {
        name: {file: read_json(Path(splits, cell, f"{file}.json")) for file in ("labels", "corpus")}
        for name, cell in cells.items()
    }
    jobs = [
        (
            Path(embeddings, family, name, sampler, f"seed-{seed}.npz"),
            len(about[name]["labels"]["names"]),
            about[name]["labels"]["scarce"],
        )
        for name in cells
        for family, _, sampler in (arm.partition("_") for arm in arms)
        for seed in seeds
    ]
    found = iter(parallel.run(_measure, jobs, label="evaluate", unit="model", progress=progress))
    return {
        (name, arm): _record(name, arm, seeds, **about[name], found=[next(found) for _ in seeds])
        for name in cells
        for arm in arms
    }


def _record(
    name: str,
    arm: str,
    seeds: Sequence[int],
    labels: dict[str, Any],
    corpus: dict[str, Any],
    found: Sequence[tuple[int, Evaluation]],
) -> dict[str, Any]:
    rows, evaluations = found[0][0], [evaluation for _, evaluation in found]
    first = evaluations[0]
    return {
        "split": name,
        "arm": arm,
        "seeds": list(seeds),
        "label_names": labels["names"],
        "train_rows": labels["train_rows"],
        "scarce": labels["scarce"],
        "unseen": labels["unseen"],
        "counts": {
            "train_rows": sum(labels["train_rows"]),
            "test_rows": rows,
            "empty_rows": labels["empty_rows"]["test"],
            "leaked_rows": corpus["leaked_rows"],
        },
        "per_seed": {key: [one.flat[key] for one in evaluations] for key in first.flat},
        "interval": summarise([one.flat for one in evaluations]),
        "per_class": {key: [one.per_class[key] for one in evaluations] for key in first.per_class},
    }


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

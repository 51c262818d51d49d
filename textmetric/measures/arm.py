"""The measures of the arms of a split: every seed, with intervals, from files to records."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textmetric import parallel
from textmetric.arrays import read_arrays
from textmetric.files import read_json
from textmetric.measures.evaluate import Evaluation, evaluate
from textmetric.measures.intervals import summarise

PREDICTIONS = ("head", "knn", "centroid")


def measure_arms(
    embeddings: str | os.PathLike[str],
    split: str | os.PathLike[str],
    *,
    name: str,
    arms: Sequence[str],
    progress: bool = True,
) -> dict[str, dict[str, Any]]:
    """Measure every arm and seed of a split on the test set.

    Args:
        embeddings: the folder of the files ``<arm>.npz``: ``embeddings`` (seeds, n, dim),
            ``labels`` (n,), ``seeds``, and predictions (seeds, n) called head, knn or centroid.
        split: the folder of the split, for the names and train rows of its classes.
        name: the split's name, for the records.
        arms: names of the arms.
        progress: show a progress bar.

    Returns:
        arm → its record: ``split``, ``arm``, ``seeds``; ``label_names``, ``train_rows`` (a number
        a class), ``scarce`` and ``unseen`` (class ids); ``counts`` (rows of the split, see below);
        ``per_seed`` key → a value a seed; ``interval`` key → (mean, low, high); ``per_class`` key
        → for each seed a value a class. Counts: ``train_rows``, ``test_rows``, ``empty_rows``
        (test rows without
        a known token) and ``leaked_rows`` (dropped from train since their text is in test).

    Raises:
        UserError: a file is missing or damaged.
    """
    about = read_json(os.path.join(split, "labels.json"))
    corpus = read_json(os.path.join(split, "corpus.json"))
    by_arm = {arm: read_arrays(Path(embeddings, f"{arm}.npz")) for arm in arms}
    jobs = [
        {
            "embeddings": arrays["embeddings"][place],
            "labels": arrays["labels"],
            "classes": len(about["names"]),
            "scarce": about["scarce"],
            "predictions": {key: arrays[key][place] for key in PREDICTIONS if key in arrays},
        }
        for arrays in by_arm.values()
        for place in range(len(arrays["seeds"]))
    ]
    found = iter(
        parallel.run(_measure, jobs, label=f"evaluate {name}", unit="seed", progress=progress)
    )
    return {
        arm: _record(name, arm, about, corpus, arrays, [next(found) for _ in arrays["seeds"]])
        for arm, arrays in by_arm.items()
    }


def _record(
    name: str,
    arm: str,
    about: dict[str, Any],
    corpus: dict[str, Any],
    arrays: dict[str, Any],
    found: Sequence[Evaluation],
) -> dict[str, Any]:
    return {
        "split": name,
        "arm": arm,
        "seeds": arrays["seeds"],
        "label_names": about["names"],
        "train_rows": about["train_rows"],
        "scarce": about["scarce"],
        "unseen": about["unseen"],
        "counts": {
            "train_rows": sum(about["train_rows"]),
            "test_rows": len(arrays["labels"]),
            "empty_rows": about["empty_rows"]["test"],
            "leaked_rows": corpus["leaked_rows"],
        },
        "per_seed": {key: [one.flat[key] for one in found] for key in found[0].flat},
        "interval": summarise([one.flat for one in found]),
        "per_class": {key: [one.per_class[key] for one in found] for key in found[0].per_class},
    }


def _measure(job: dict[str, Any], tick: Callable[[], None]) -> Evaluation:
    evaluation = evaluate(**job)
    tick()
    return evaluation

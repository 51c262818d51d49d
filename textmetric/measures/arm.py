"""The measures of one arm: every seed of it, with intervals, from files to one record."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from textmetric import parallel
from textmetric.arrays import read_arrays
from textmetric.files import read_json
from textmetric.measures.evaluate import Evaluation, evaluate
from textmetric.measures.intervals import summarise

PREDICTIONS = ("head", "knn", "centroid")


def measure_arm(
    embeddings: str | os.PathLike[str],
    split: str | os.PathLike[str],
    *,
    name: str,
    arm: str,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure every seed of an arm on the test set.

    Args:
        embeddings: the ``.npz`` file of the arm: ``embeddings`` (seeds, n, dim), ``labels``
            (n,), ``seeds``, and predictions (seeds, n) called head, knn or centroid.
        split: the folder of the split, for the names and train rows of its classes.
        name: the split's name, for the record.
        arm: the arm's name, for the record.
        progress: show a progress bar.

    Returns:
        ``split``, ``arm``, ``seeds``; ``label_names``, ``train_rows`` (a number a class),
        ``scarce`` and ``unseen`` (class ids); ``counts`` (rows of the split, see below);
        ``per_seed`` key → a value a seed; ``interval`` key → (mean, low, high); ``per_class`` key
        → for each seed a value a class. Counts: ``train_rows``, ``test_rows``, ``empty_rows``
        (test rows without
        a known token) and ``leaked_rows`` (dropped from train since their text is in test).

    Raises:
        UserError: a file is missing or damaged.
    """
    about = read_json(os.path.join(split, "labels.json"))
    corpus = read_json(os.path.join(split, "corpus.json"))
    arrays = read_arrays(embeddings)
    jobs = [
        {
            "embeddings": arrays["embeddings"][place],
            "labels": arrays["labels"],
            "classes": len(about["names"]),
            "scarce": about["scarce"],
            "predictions": {key: arrays[key][place] for key in PREDICTIONS if key in arrays},
        }
        for place in range(len(arrays["seeds"]))
    ]
    found = parallel.run(
        _measure, jobs, label=f"evaluate {name}/{arm}", unit="seed", progress=progress
    )
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

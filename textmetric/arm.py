"""An arm of the study, objective × sampler: training its seeds, embedding the test set."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from textmetric import parallel
from textmetric.arrays import write_arrays
from textmetric.encoder import Encoder, choose_device
from textmetric.files import replacing_file, replacing_folder, write_json
from textmetric.losses import Family, build
from textmetric.measures import knn_predict
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.text import TokenizedCorpus
from textmetric.training import one_thread, prepare, train

Path_ = str | os.PathLike[str]


def train_arm(
    split: Path_,
    models: Path_,
    curves: Path_,
    costs: Path_,
    *,
    family: Family,
    objective: Mapping[str, Any],
    sampler: str,
    seeds: Sequence[int],
    model: Model,
    settings: Train,
    label: str = "train",
    progress: bool = True,
) -> None:
    """Train one model a seed and write them.

    Args:
        split: the folder of the tokenised training set.
        models: folder to write; each seed gets ``seed-<seed>/`` in it.
        curves: csv file to write, a row a seed and epoch.
        costs: json file to write: seconds and peak memory. Nothing that must be the same bytes
            in every run may depend on it.
        family: ``classification`` or ``metric``.
        objective: name and parameters.
        sampler: ``shuffled`` or ``balanced``.
        seeds: one training each; in parallel processes on the CPU, one after another on CUDA.
        model: the encoder.
        settings: the loop.
        label: what stands before the progress bar.
        progress: whether to show it.

    Raises:
        UserError: see :func:`textmetric.training.train`.
    """
    started = time.perf_counter()
    device = choose_device(settings.device)
    prepare(
        Encoder(2, model.dim, model.layer).to(device),
        build(family, objective, dim=model.dim, classes=2).to(device),
        settings,
    )
    with replacing_folder(models) as folder:
        jobs = [
            {
                "split": os.fspath(split),
                "folder": folder / f"seed-{seed}",
                "family": family,
                "objective": dict(objective),
                "sampler": sampler,
                "model": model,
                "settings": settings,
                "seed": seed,
                "device": device,
            }
            for seed in seeds
        ]
        results = parallel.run(
            _train_seed,
            jobs,
            workers=1 if device.type == "cuda" else None,
            ticks=settings.epochs,
            label=label,
            unit="epoch",
            progress=progress,
        )
    with replacing_file(curves) as path:
        pd.DataFrame([row for curve, _ in results for row in curve]).to_csv(path, index=False)
    costs_by_seed = [cost for _, cost in results]
    write_json(
        costs,
        {"seeds": costs_by_seed, "wall_seconds": round(time.perf_counter() - started, 3)},
    )


def _train_seed(
    job: dict[str, Any], tick: Callable[[], None]
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    folder, split = job.pop("folder"), job.pop("split")
    trained, curve, seconds = train(TokenizedCorpus.load(split), tick=tick, **job)
    trained.save(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = {
        "seed": job["seed"],
        "epoch_seconds": [round(value, 4) for value in seconds],
        "peak_mib": round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1),
    }
    return curve, cost


def embed_arms(
    split: Path_,
    models: Path_,
    out: Path_,
    *,
    arms: Sequence[str],
    seeds: Sequence[int],
    neighbours: int,
    label: str = "embed",
    progress: bool = True,
) -> None:
    """Embed and classify the test set with every arm and seed of a split.

    Args:
        split: the folder of the tokenised split.
        models: the folder that holds ``<arm>/seed-<seed>/``.
        out: folder to write; ``<arm>.npz`` holds ``embeddings`` (seeds, n, dim) float32,
            ``labels`` (n,) int32, ``seeds``, and predictions (seeds, n) int32: ``knn`` (from
            the train rows), ``centroid``, and ``head`` where there is one. A split whose test
            labels were never trained on has no predictions: none could be right.
        arms: names of the arms.
        seeds: which seeds.
        neighbours: k of ``knn``.
        label: what stands before the progress bar.
        progress: whether to show it.
    """
    jobs = [
        (os.fspath(split), Path(models) / arm / f"seed-{seed}", neighbours)
        for arm in arms
        for seed in seeds
    ]
    results = parallel.run(_embed, jobs, label=label, unit="model", progress=progress)
    labels = np.array(TokenizedCorpus.load(split).test.labels)
    with replacing_folder(out) as folder:
        for place, arm in enumerate(arms):
            of_arm = results[place * len(seeds) : (place + 1) * len(seeds)]
            arrays = {name: np.stack([result[name] for result in of_arm]) for name in of_arm[0]}
            write_arrays(folder / f"{arm}.npz", labels=labels, seeds=np.array(seeds), **arrays)


def _embed(job: tuple[str, Path, int], tick: Callable[[], None]) -> dict[str, npt.NDArray[Any]]:
    split, folder, neighbours = job
    corpus, model = TokenizedCorpus.load(split), TrainedModel.load(folder)
    with one_thread():
        embeddings = model.embed(corpus.test.tokens)
        results: dict[str, npt.NDArray[Any]] = {"embeddings": embeddings}
        if not corpus.unseen:
            results["knn"] = knn_predict(
                model.embed(corpus.train.tokens), corpus.train.labels, embeddings, k=neighbours
            )
            results["centroid"] = model.predict_centroid(embeddings)
            if model.head is not None:
                results["head"] = model.predict_head(embeddings)
    tick()
    return results

"""The arms of the study, objective × sampler: training their seeds, embedding the test set."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from textmetric import parallel
from textmetric.encoders.bag import Encoder, choose_device
from textmetric.files import replacing_folder, write_arrays, write_csv, write_json
from textmetric.losses import Family, build
from textmetric.measures import knn_predict
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.text import TokenizedCorpus
from textmetric.training.loop import one_thread, prepare, train

Path_ = str | os.PathLike[str]

# A process trains or embeds several times from the same texts, which none of them changes. Who
# starts such jobs clears it first: the folder may have been written anew.
_corpus = lru_cache(maxsize=1)(TokenizedCorpus.load)


def train_arms(
    splits: Path_,
    models: Path_,
    curves: Path_,
    costs: Path_,
    *,
    names: Sequence[str],
    family: Family,
    objective: Mapping[str, Any],
    samplers: Sequence[str],
    seeds: Sequence[int],
    model: Model,
    settings: Train,
    label: str = "train",
    progress: bool = True,
) -> None:
    """Train one model a split, sampler and seed and write them.

    Args:
        splits: the folder that holds the tokenised training set ``<name>/``.
        models: folder to write; each gets ``<name>/<sampler>/seed-<seed>/`` in it.
        curves: folder to write: ``<name>/<sampler>.csv``, a row a seed and epoch.
        costs: folder to write: ``<name>/<sampler>.json``, seconds and peak memory. Nothing that
            must be the same bytes in every run may depend on it.
        names: of the splits.
        family: ``classification`` or ``metric``.
        objective: name and parameters.
        samplers: of ``shuffled`` and ``balanced``, an arm each.
        seeds: one training each; those of all arms run in parallel processes on the CPU, one
            after another on CUDA.
        model: the encoder.
        settings: the loop.
        label: what stands before the progress bar.
        progress: whether to show it.

    Raises:
        UserError: see :func:`textmetric.training.loop.train`.
    """
    started = time.perf_counter()
    _corpus.cache_clear()
    device = choose_device(settings.device)
    prepare(
        Encoder(2, model.dim, model.layer).to(device),
        build(family, objective, dim=model.dim, classes=2).to(device),
        settings,
    )
    with replacing_folder(models) as folder:
        jobs = [
            {
                "split": os.path.join(splits, name),
                "folder": folder / name / sampler / f"seed-{seed}",
                "family": family,
                "objective": dict(objective),
                "sampler": sampler,
                "model": model,
                "settings": settings,
                "seed": seed,
                "device": device,
            }
            for name in names
            for sampler in samplers
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
    wall = round(time.perf_counter() - started, 3)
    with replacing_folder(curves) as curves_folder, replacing_folder(costs) as costs_folder:
        found = iter(results)
        for name in names:
            for sampler in samplers:
                of_arm = [next(found) for _ in seeds]
                curve = [row for rows, _ in of_arm for row in rows]
                write_csv(curves_folder / name / f"{sampler}.csv", curve)
                write_json(
                    costs_folder / name / f"{sampler}.json",
                    {"seeds": [cost for _, cost in of_arm], "stage_seconds": wall},
                )


def _train_seed(
    job: dict[str, Any], tick: Callable[[], None]
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    folder, split = job.pop("folder"), job.pop("split")
    trained, curve, seconds = train(_corpus(split), tick=tick, **job)
    trained.save(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = {
        "seed": job["seed"],
        "epoch_seconds": [round(value, 4) for value in seconds],
        "peak_mib": round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1),
    }
    return curve, cost


def embed_models(
    splits: Path_,
    models: Path_,
    out: Path_,
    *,
    cells: Mapping[str, str],
    samplers: Sequence[str],
    seeds: Sequence[int],
    neighbours: int,
    label: str = "embed",
    progress: bool = True,
) -> None:
    """Embed and classify the test set of every split with every model of a family.

    Args:
        splits: the folder of all splits.
        models: the folder of the family's models, ``<sampler>/seed-<seed>/`` of every cell.
        out: folder to write; ``<split>/<sampler>/seed-<seed>.npz`` holds ``embeddings`` (n, dim)
            float32, ``labels`` (n,) int32, and predictions (n,) int32: ``knn`` (from the train
            rows), ``centroid``, and ``head`` where there is one. A split whose test labels were
            never trained on has no predictions: none could be right.
        cells: split → its folder below ``splits`` and ``models``.
        samplers: of the arms; with none the folder stays empty.
        seeds: which seeds.
        neighbours: k of ``knn``.
        label: what stands before the progress bar.
        progress: whether to show it.
    """
    _corpus.cache_clear()
    with replacing_folder(out) as folder:
        jobs = [
            (
                Path(splits, cell),
                Path(models, cell, sampler, f"seed-{seed}"),
                folder / name / sampler / f"seed-{seed}.npz",
                neighbours,
            )
            for name, cell in cells.items()
            for sampler in samplers
            for seed in seeds
        ]
        parallel.run(_embed, jobs, label=label, unit="model", progress=progress)


def _embed(job: tuple[Path, Path, Path, int], tick: Callable[[], None]) -> None:
    split, folder, out, neighbours = job
    corpus, model = _corpus(os.fspath(split)), TrainedModel.load(folder)
    with one_thread():
        embeddings = model.embed(corpus.test.tokens)
        arrays = {"embeddings": embeddings, "labels": np.array(corpus.test.labels)}
        if not corpus.unseen:
            arrays["knn"] = knn_predict(
                model.embed(corpus.train.tokens), corpus.train.labels, embeddings, k=neighbours
            )
            arrays["centroid"] = model.predict_centroid(embeddings)
            if model.head is not None:
                arrays["head"] = model.predict_head(embeddings)
    write_arrays(out, **arrays)
    tick()

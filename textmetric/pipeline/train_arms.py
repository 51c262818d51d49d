"""Train every split, sampler and seed of a family and role."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textmetric import parallel
from textmetric.encoders import build_encoder
from textmetric.files import replacing_folder, write_csv, write_json
from textmetric.grid import Arm, Family, Layout, Role, Sampler, Split, moved, trainings
from textmetric.losses import build
from textmetric.params import Model, Pretrain, Train
from textmetric.pipeline.encoder_vectors import encoder_vectors, first_two, fitting
from textmetric.text import TokenizedCorpus
from textmetric.training.device import choose_device
from textmetric.training.loop import train, warm_up

_corpus = parallel.kept(TokenizedCorpus.load)


def train_arms(
    layout: Layout,
    family: Family,
    role: Role,
    *,
    splits: Sequence[Split],
    objective: Mapping[str, Any],
    samplers: Sequence[Sampler],
    seeds: Sequence[int],
    model: Model,
    settings: Train,
    pretrain: Pretrain | None = None,
    min_freq: int = 1,
    max_size: int | None = None,
    progress: bool = True,
) -> None:
    """Train one model a split, sampler and seed; write models, learning curves and costs.

    A curve has a row a seed and epoch. Costs are seconds and peak memory: they differ from run to
    run, so nothing that must be the same in every run may depend on them.

    Args:
        layout: where everything is.
        family: of the objective.
        role: of the splits.
        splits: to train on, each a folder that stage split wrote.
        objective: name and parameters.
        samplers: an arm each.
        seeds: one training each. Trainings run in parallel processes on the CPU, one after
            another on CUDA.
        model: the encoder.
        settings: the loop.
        pretrain: what every encoder learns from text alone before; None for nothing. Trainings
            with the same split and seed do the same here, each for itself.
        min_freq: which tokens the vocabulary kept, and at most how many; the models say so.
        max_size: see ``min_freq``.
        progress: show a progress bar.

    Raises:
        UserError: see :func:`textmetric.training.loop.train`.
    """
    started = time.perf_counter()
    device = choose_device(settings.device, "params.yaml: train.device")
    vectors = first_two(encoder_vectors(layout, model, role))
    warm_up(
        build_encoder(model, 2, vectors).to(device),
        build(family, objective, dim=model.dim, classes=2).to(device),
        settings,
    )
    arms = [Arm(family, sampler) for sampler in samplers]
    models = layout.models(family, role)
    with replacing_folder(models) as folder:
        jobs: list[dict[str, Any]] = [
            {
                "split": training.split,
                "folder": moved(layout.model(training), models, folder),
                "family": family,
                "objective": dict(objective),
                "sampler": training.arm.sampler,
                "model": model,
                "settings": settings,
                "pretrain": pretrain,
                "min_freq": min_freq,
                "max_size": max_size,
                "seed": training.seed,
                "layout": layout,
                "role": role,
                "device": device,
            }
            for training in trainings(arms, splits, seeds)
        ]
        results = parallel.run(
            _train_seed,
            jobs,
            workers=1 if device.type == "cuda" else None,
            files=lambda job: parallel.Files(layout.read_with(job["split"]), [job["folder"]]),
            ticks=settings.epochs + (0 if pretrain is None else pretrain.epochs),
            label=f"train {family.short}/{role}",
            unit="epoch",
            progress=progress,
        )
    wall = round(time.perf_counter() - started, 3)
    curves, costs = layout.curves(family, role), layout.costs(family, role)
    with replacing_folder(curves) as curves_folder, replacing_folder(costs) as costs_folder:
        found = iter(results)
        for split in splits:
            for arm in arms:
                of_arm = [next(found) for _ in seeds]
                write_csv(
                    moved(layout.curve(arm, split), curves, curves_folder),
                    [row for rows, _ in of_arm for row in rows],
                )
                write_json(
                    moved(layout.cost(arm, split), costs, costs_folder),
                    {"seeds": [cost for _, cost in of_arm], "stage_seconds": wall},
                )


def _train_seed(
    job: dict[str, Any], tick: Callable[[], None]
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    parallel.forget_peak()
    folder: Path = job.pop("folder")
    # Mapped by every process: a copy for each training would take long.
    layout: Layout = job.pop("layout")
    vectors = encoder_vectors(layout, job["model"], job.pop("role"))
    corpus = fitting(_corpus(layout.split(job.pop("split"))), vectors)
    trained = train(corpus, vectors=vectors, tick=tick, **job)
    trained.model.save(folder)
    cost = {
        "seed": job["seed"],
        "epoch_seconds": [round(value, 4) for value in trained.seconds],
        "peak_mib": parallel.peak_mib(),
    }
    if trained.pretraining:
        cost["pretraining_seconds"] = [round(value, 4) for value in trained.pretraining]
    return trained.curve, cost

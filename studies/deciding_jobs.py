"""The trainings of a sweep: each a small file, measured on validation and test, with its speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studies.names import name_of
from textmetric import parallel
from textmetric.command import INTERACTIVE
from textmetric.encoders import build_encoder
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import Family
from textmetric.losses import build, describe, module_of
from textmetric.measures import knn_predict, retrieval
from textmetric.measures.rows import mean
from textmetric.params import Model, Train
from textmetric.sampling.batches import WindowSampler, steps_per_epoch
from textmetric.text import TokenizedCorpus
from textmetric.training.device import choose_device
from textmetric.training.loop import one_thread, train, warm_up

MEASURES = {"map_at_r": "MAP@R", "accuracy": "k-NN accuracy"}
STEPS = "steps"
"""The steps until the learning curve is at :data:`REACHED` of its end."""
REACHED = 0.9


@dataclass(frozen=True)
class Training:
    """One training: everything its result depends on.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        family: of the objective.
        objective: its name and the parameters that were given.
        sampler: ``shuffled`` or ``balanced``.
        model: the encoder.
        settings: the loop.
        seed: of the weights, the batches and the mining.
        neighbours: k of the k-nearest-neighbour accuracy.
        in_batch: balanced batches of this many classes; None for the sampler's.
    """

    corpus: Path
    family: Family
    objective: Mapping[str, Any]
    sampler: str
    model: Model
    settings: Train
    seed: int
    neighbours: int
    in_batch: int | None

    def key(self) -> str:
        """The name of the result: a hash of the above, the code and the packages that count."""
        identity = [
            self.corpus.name,
            self.family,
            describe(self.family, self.objective),
            self.sampler,
            self.model.model_dump(),
            self.settings.model_dump(),
            choose_device(self.settings.device, "train.device").type,
            self.seed,
            self.neighbours,
            self.in_batch,
        ]
        return name_of(identity, "studies.deciding_jobs", module_of(self.family, self.objective))


def run_trainings(jobs: Sequence[Training], results: Path) -> list[dict[str, float]]:
    """What each training gave, in their order; what is in the folder is read, the rest done.

    Returns:
        Of each ``map_at_r`` and ``accuracy`` of the test part, the same with ``validation_``, and
        :data:`STEPS`; all NaN where the training failed.
    """
    files = [results / f"{job.key()}.json" for job in jobs]
    missing = parallel.unfinished(jobs, files)
    # trainings alike in these run the same compiled loops
    alike = {(job.objective["name"], job.settings.optimizer): job for job, _ in missing}
    for job in alike.values():
        device = choose_device(job.settings.device, "train.device")
        warm_up(
            build_encoder(job.model, 2).to(device),
            build(job.family, job.objective, dim=job.model.dim, classes=2).to(device),
            job.settings,
        )
    parallel.finish(_run, jobs, files, label="sweeps", unit="training", progress=INTERACTIVE)
    return [
        {name: math.nan if value is None else value for name, value in read_json(file).items()}
        for file in files
    ]


def _run(job: tuple[Training, Path], tick: Callable[[], None]) -> None:
    given, file = job
    try:
        found = _measured(given, TokenizedCorpus.load(given.corpus))
    except UserError:  # diverged or collapsed: other settings may not
        names = [*MEASURES, *(f"validation_{name}" for name in MEASURES), STEPS]
        found = dict.fromkeys(names, math.nan)
    write_json(file, found)
    tick()


def _measured(job: Training, corpus: TokenizedCorpus) -> dict[str, float]:
    batches = None
    if job.in_batch is not None:
        batches = WindowSampler(
            "balanced",
            corpus.train.labels,
            job.settings.batch_size,
            job.seed,
            job.settings.window,
            classes_per_batch=job.in_batch,
        )
    trained = train(
        corpus,
        family=job.family,
        objective=job.objective,
        sampler=job.sampler,
        model=job.model,
        settings=job.settings,
        seed=job.seed,
        device=choose_device(job.settings.device, "train.device"),
        batches=batches,
    )
    found: dict[str, float] = {}
    with one_thread():
        learnt = trained.model.embed(corpus.train.tokens)
        for prefix, part in (("", corpus.test), ("validation_", corpus.validation)):
            rows, labels = trained.model.embed(part.tokens), np.asarray(part.labels)
            nearest = knn_predict(learnt, corpus.train.labels, rows, k=job.neighbours)
            found[f"{prefix}map_at_r"] = mean(retrieval(rows, labels, ks=(1,)).map_at_r)
            found[f"{prefix}accuracy"] = float((nearest == labels).mean())
    curve = [epoch["validation_map_at_r"] for epoch in trained.curve]
    steps = steps_per_epoch(len(corpus.train), job.settings.batch_size)
    return found | {STEPS: float(steps * epochs_until(curve))}


def epochs_until(curve: Sequence[float]) -> int:
    """The first epoch, from 1, whose value is at least :data:`REACHED` of the last one.

    >>> epochs_until([0.2, 0.5, 0.46, 0.5])
    2
    """
    return next(epoch for epoch, value in enumerate(curve, start=1) if value >= REACHED * curve[-1])

"""What a step of training costs: its batches, what the objective prepares, its loss, the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.rounds import peak_memory
from studies.hypotheses_jobs import SAMPLER, built, hashed
from textmetric import parallel
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.losses import Gradients, Objective
from textmetric.losses.distances import pairwise
from textmetric.losses.mining import MINERS, pair_masks
from textmetric.losses.objective import Batches, Floats
from textmetric.losses.triplet import Triplet
from textmetric.params import Model, Train
from textmetric.sampling.batches import WindowSampler, steps_per_epoch
from textmetric.text import TokenizedCorpus
from textmetric.training.compiled_step import CompiledStep
from textmetric.training.loop import first_encoder, one_thread
from textmetric.types import Int32, Int64

PARTS = ("batches", "clusters", "views", "loss", "step")
OF_MINING = ("mining", "definition")
ROWS = 2048
"""A round has as many steps as give this many rows, and two at least."""


@dataclass(frozen=True)
class Cost:
    """The steps of one objective: everything that is measured depends on.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        objective: its name and the parameters that were given.
        model: the encoder.
        settings: the loop, with the batch size.
        rounds: how many times everything is measured.
    """

    corpus: Path
    objective: Mapping[str, Any]
    model: Model
    settings: Train
    rounds: int

    def key(self) -> str:
        """The name of the result: a hash of what it depends on."""
        identity = {
            "corpus": self.corpus.name,
            "model": self.model.model_dump(),
            "settings": self.settings.model_dump(),
            "rounds": self.rounds,
        }
        modules = ("studies.hypotheses_costs", "studies.hypotheses_jobs")
        return hashed(identity, self.objective, *modules)


def measure_all(costs: Sequence[Cost], results: Path, progress: bool) -> list[dict[str, Any]]:
    """The costs of steps, in their order; those in the folder are read, the others measured.

    They are measured in this process, one after another, also where a cluster is named: times of
    different machines cannot be compared.

    Returns:
        For each, lists with a value a round, in seconds of processor time a step: ``batches``, to
        draw a batch; ``clusters``, what the objective does before an epoch, shared among its steps;
        ``views`` of a batch; ``loss`` with its gradient; ``step``: all except batches and clusters.
        Of the triplet loss also ``mining`` and ``definition``: its miner, and all of its loss
        with the gradient, as torch and numpy define them. ``mib``: the peak of memory above what is
        there before, of the steps; None where it is not known.

    Raises:
        UserError: a result is damaged.
    """
    files = [results / f"{cost.key()}.json" for cost in costs]
    parallel.finish(
        _measure, costs, files, workers=1, label="costs", unit="objective", progress=progress
    )
    found = [read_json(file) for file in files]
    for file, one in zip(files, found, strict=True):
        if not isinstance(one, dict) or not {*PARTS, "mib"} <= set(one):
            raise UserError(f"{file} does not hold the costs of an objective: delete it")
    return found


def _measure(job: tuple[Cost, Path], tick: Callable[[], None]) -> None:
    cost, file = job
    steps = Steps(cost)
    with one_thread():
        steps.round()  # compiles, and fills the caches
        rounds = [steps.round() for _ in range(cost.rounds)]
        _, mib = peak_memory(steps.train)
    found: dict[str, Any] = {name: [each[name] for each in rounds] for name in rounds[0]}
    write_json(file, found | {"mib": mib})
    tick()


class Steps:
    """The steps of an objective, whose loss and views are timed where they are called."""

    def __init__(self, cost: Cost) -> None:
        corpus, settings = TokenizedCorpus.load(cost.corpus), cost.settings
        self.data, self.epochs, self.lr = corpus.train, settings.epochs, settings.lr
        self.labels = np.asarray(self.data.labels, np.int64)
        self.encoder = first_encoder(corpus, cost.model, 0)
        self.objective = built(cost.objective, cost.model, corpus, 0)
        size = settings.batch_size
        own = self.objective.batches(np.asarray(self.data.labels), size, 0)
        self.batches: Batches = own or WindowSampler(SAMPLER, self.labels, size, 0, None)
        self.per_epoch = steps_per_epoch(len(self.data), size)
        self.count = max(2, ROWS // size)
        self.spent: dict[str, float] = {}
        self._loss, self._views = self.objective.loss_and_gradient, self.objective.views
        self.objective.loss_and_gradient = self._timed_loss  # type: ignore[method-assign]
        self.objective.views = self._timed_views  # type: ignore[method-assign]
        self.step = CompiledStep(
            self.encoder, self.objective, self.data, settings.optimizer, batch_size=size
        )
        self.encoder.train()
        self.objective.train()

    def round(self) -> dict[str, float]:
        """Seconds of processor time a step, by part, see :func:`measure_all`."""
        self.spent = dict.fromkeys(PARTS, 0.0)
        of_epoch = {"clusters": _seconds(self._begin)}
        of_epoch["batches"] = _seconds(lambda: list(self.batches.epoch()))
        self.spent["step"] = _seconds(self.train) - self.drawing
        found = {name: seconds / self.count for name, seconds in self.spent.items()}
        found |= {name: seconds / self.per_epoch for name, seconds in of_epoch.items()}
        return found | (self._mining() if isinstance(self.objective, Triplet) else {})

    def train(self) -> None:
        """Some steps; ``drawing`` is then the seconds that their batches took."""
        drawn, self.drawing = self._endless(), 0.0
        for _ in range(self.count):
            start = time.process_time()
            rows = next(drawn)
            self.drawing += time.process_time() - start
            self.step(rows, self.lr)

    def _begin(self) -> None:
        self.objective.begin_epoch(1, self.epochs, lambda: self.encoder.embed(self.data.tokens))

    def _endless(self) -> Iterator[Int64]:
        while True:
            yield from self.batches.epoch()

    def _timed_loss(
        self, embeddings: Floats, labels: Int64, parameters: Sequence[Floats]
    ) -> Gradients:
        start = time.process_time()
        found = self._loss(embeddings, labels, parameters)
        if found is None:
            found = _by_autograd(self.objective, embeddings, labels)
        self.spent["loss"] += time.process_time() - start
        return found

    def _timed_views(self, ids: Int32, offsets: Int64) -> tuple[Int32, Int64]:
        start = time.process_time()
        found = self._views(ids, offsets)
        self.spent["views"] += time.process_time() - start
        return found

    def _mining(self) -> dict[str, float]:
        """Seconds of the miner, and of all of the loss, as torch and numpy define them."""
        objective = self.objective
        assert isinstance(objective, Triplet)
        params, spent = objective.params, dict.fromkeys(OF_MINING, 0.0)
        for rows, _ in zip(self._endless(), range(self.count), strict=False):
            labels = self.labels[rows]
            embeddings = self.encoder.embed(self.data.tokens.take(rows))
            distances = pairwise(torch.from_numpy(embeddings), params.distance)
            start = time.process_time()
            masks = pair_masks(torch.from_numpy(labels))
            MINERS[params.miner](distances, *masks, params.margin, objective.generator)
            middle = time.process_time()
            _by_autograd(objective, embeddings, labels)
            spent["mining"] += (middle - start) / self.count
            spent["definition"] += (time.process_time() - middle) / self.count
        return spent


def _by_autograd(objective: Objective, embeddings: Floats, labels: Int64) -> Gradients:
    """What :class:`.CompiledStep` does for an objective without a gradient of its own."""
    leaf = torch.from_numpy(embeddings).requires_grad_()
    loss = objective(leaf, torch.from_numpy(labels))
    loss.backward()
    gradients = [
        None if each.grad is None else each.grad.numpy() for each in objective.parameters()
    ]
    objective.zero_grad()
    assert leaf.grad is not None
    return Gradients(loss.item(), leaf.grad.numpy(), gradients)


def _seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start

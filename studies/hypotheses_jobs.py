"""What :mod:`studies.hypotheses` does: trainings with their measures, and costs of steps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from studies.names import name_of
from studies.regions import Picked, all_triplets, picked
from textmetric import parallel
from textmetric.encoders import BagEncoder, build_encoder
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.losses import Gradients, Objective, build, describe, family_of, module_of
from textmetric.losses.distances import pairwise
from textmetric.losses.objective import Batches, Floats
from textmetric.losses.triplet import Triplet
from textmetric.measures import retrieval
from textmetric.measures.rows import mean
from textmetric.params import Model, Train
from textmetric.sampling.batches import BatchSampler, WindowSampler
from textmetric.sampling.streams import Stream, generator_of
from textmetric.text import LabelledTokens, TokenizedCorpus
from textmetric.training.loop import Epoch, first_encoder, fit, one_thread, warm_up
from textmetric.types import Float32, Int64, Integers

SAMPLER = "balanced"
PAIRS = ("contrastive", "triplet", "quadruplet", "lifted", "n_pair", "multi_similarity")
CLASSES = ("cross_entropy", "norm_softmax", "proxy_nca")
OF_PAIRS, OF_CLASSES = "pairs and triplets", "classification and proxies"
GROUPS = {OF_PAIRS: PAIRS, OF_CLASSES: CLASSES}
Partners = Literal["drawn", "fixed", "redrawn"]
PART = {"test": "test", "validation": "validation", "train_alike": "train", "test_alike": "test"}
"""The MAP@R that a training leaves, and the part it is of; ``_alike``: of :func:`alike` rows."""


@dataclass(frozen=True)
class Training:
    """One training: everything its result depends on. It runs on the CPU.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        objective: its name and the parameters that were given.
        model: the encoder.
        settings: the loop.
        seed: of the weights, the batches, the mining and the dropout, each a stream of its own.
        partners: ``drawn``: balanced batches of all rows; ``fixed`` and ``redrawn``: see
            :class:`FirstEpoch`.
        dropout: share of the embedding's values that :class:`Dropout` drops.
        watched: keep the regions of a batch's triplets by epoch; of the triplet loss only.
    """

    corpus: Path
    objective: Mapping[str, Any]
    model: Model
    settings: Train
    seed: int
    partners: Partners = "drawn"
    dropout: float = 0.0
    watched: bool = False

    def key(self) -> str:
        """The name of the result: a hash of what it depends on."""
        identity = {
            "corpus": self.corpus.name,
            "model": self.model.model_dump(),
            "settings": self.settings.model_dump(),
            "seed": self.seed,
            "partners": self.partners,
            "dropout": self.dropout,
            "watched": self.watched,
        }
        return hashed(identity, self.objective, "studies.hypotheses_jobs", "studies.regions")


def hashed(identity: Mapping[str, Any], objective: Mapping[str, Any], *modules: str) -> str:
    """The name of the result of a training or measurement, see :func:`.name_of`.

    Args:
        identity: what the result depends on besides the objective, as JSON has it.
        objective: its name and the parameters that were given.
        modules: whose code makes the result, and which are not imported from the library.
    """
    family = family_of(objective["name"])
    about = [identity, describe(family, objective)]
    return name_of(about, *modules, module_of(family, objective))


def built(
    objective: Mapping[str, Any], model: Model, corpus: TokenizedCorpus, seed: int
) -> Objective:
    """The objective of a training on a corpus."""
    classes = len(corpus.trained_labels)
    family = family_of(objective["name"])
    return build(family, objective, dim=model.dim, classes=classes, seed=seed)


class FirstEpoch:
    """Balanced batches of the rows of the first epoch only: its batches, or drawn again.

    Both ways train on the same rows, each about equally often. If the batches are fixed, a row
    meets the same rows in every epoch; only the order of the batches is drawn again. If they are
    redrawn, a row has other negatives, and other positives, in every epoch.

    Args:
        labels: (n,) of the train part.
        batch_size: B.
        seed: of the training; the batches are its stream ``BATCHES``.
        redrawn: whether the batches are drawn again.
    """

    def __init__(self, labels: Integers, batch_size: int, seed: int, redrawn: bool) -> None:
        self._rng = generator_of(seed, Stream.BATCHES)
        first = BatchSampler(SAMPLER, labels, batch_size, self._rng)
        self._batches = np.array(list(first.epoch()))
        self._rows = np.unique(self._batches)
        self._again = None
        if redrawn:
            self._again = BatchSampler(
                SAMPLER, labels[self._rows], batch_size, self._rng, steps=first.steps
            )

    def epoch(self) -> Iterator[Int64]:
        """See :class:`textmetric.losses.objective.Batches`."""
        if self._again is None:
            return iter(self._rng.permutation(self._batches))
        return (self._rows[batch] for batch in self._again.epoch())


class Dropout(Objective):
    """An objective that sees embeddings whose values are dropped at random, the others scaled up.

    Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".

    Args:
        inner: what gives the loss; it has one view.
        share: of the values, at least 0 and below 1.
        seed: of the training; the draws are its stream ``DROPOUT``.
    """

    def __init__(self, inner: Objective, share: float, seed: int) -> None:
        torch.nn.Module.__init__(self)
        self.inner = inner
        self.share = share
        self._draws = generator_of(seed, Stream.DROPOUT)
        self.log = inner.log

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,)."""
        kept = torch.from_numpy(self._kept(tuple(embeddings.shape))).to(embeddings)
        loss: Tensor = self.inner(embeddings * kept, labels)
        self.log = self.inner.log
        return loss

    def loss_and_gradient(
        self, embeddings: Floats, labels: Int64, parameters: Sequence[Floats]
    ) -> Gradients | None:
        """See ``Objective.loss_and_gradient``."""
        before = self._draws.bit_generator.state
        kept = self._kept(embeddings.shape).astype(embeddings.dtype)
        found = self.inner.loss_and_gradient(embeddings * kept, labels, parameters)
        if found is None:
            self._draws.bit_generator.state = before  # `forward` is called next, and draws
            return None
        self.log = self.inner.log
        return Gradients(found.loss, found.embeddings * kept, found.parameters)

    def batches(self, labels: Any, batch_size: int, seed: int) -> Batches | None:
        """See ``Objective.batches``."""
        return self.inner.batches(labels, batch_size, seed)

    def begin_epoch(self, epoch: int, epochs: int, embed: Callable[[], Float32]) -> None:
        """See ``Objective.begin_epoch``."""
        self.inner.begin_epoch(epoch, epochs, embed)

    def _kept(self, shape: tuple[int, ...]) -> Float32:
        """For each value 0 if it is dropped, else 1 / (1 − share of dropped values)."""
        kept = self._draws.random(shape, dtype=np.float32) >= self.share
        return kept.astype(np.float32) / np.float32(1 - self.share)


def alike(train: Integers, test: Integers) -> tuple[Int64, Int64]:
    """Rows of two parts, equally many of each class, spread evenly over the rows of the class.

    MAP@R depends on how many rows there are and how large the classes are, so values of two parts
    can be compared on such rows only.

    Args:
        train: (n,) class ids of one part.
        test: (m,) those of the other.

    Returns:
        The rows of both, rising.
    """
    taken: tuple[list[Int64], list[Int64]] = ([], [])
    for label in np.intersect1d(train, test):
        of_label = [np.flatnonzero(part == label) for part in (train, test)]
        size = min(map(len, of_label))
        for rows, found in zip(of_label, taken, strict=True):
            found.append(rows[np.arange(size) * len(rows) // size])
    first, second = (
        np.sort(np.concatenate(found)) if found else np.empty(0, np.int64) for found in taken
    )
    return first, second


def measured(encoder: BagEncoder, corpus: TokenizedCorpus) -> dict[str, float]:
    """The MAP@R of each of :data:`PART`."""
    of_train, of_test = alike(corpus.train.labels, corpus.test.labels)
    parts = {
        "test": corpus.test,
        "validation": corpus.validation,
        "train_alike": corpus.train.take(of_train),
        "test_alike": corpus.test.take(of_test),
    }
    with one_thread():
        return {name: _map_at_r(encoder, part) for name, part in parts.items()}


def _map_at_r(encoder: BagEncoder, part: LabelledTokens) -> float:
    if len(part) < 2:
        return math.nan
    return mean(retrieval(encoder.embed(part.tokens), part.labels, ks=(1,)).map_at_r)


class Watch:
    """Looks at the triplets of the first batch of a training, before it and after each epoch.

    Args:
        encoder: what is trained.
        objective: the triplet loss.
        data: the train part.
        settings: the loop.
        seed: of the training. What the miner draws here is a child of the stream ``OBJECTIVE``, so
            that the training draws as it would unwatched.
    """

    def __init__(
        self,
        encoder: BagEncoder,
        objective: Triplet,
        data: LabelledTokens,
        settings: Train,
        seed: int,
    ) -> None:
        self.encoder, self.objective = encoder, objective
        sampled = WindowSampler(SAMPLER, data.labels, settings.batch_size, seed, settings.window)
        self.batch = data.take(next(sampled.epoch()))
        self.middle, self.last = settings.epochs // 2, settings.epochs
        child = np.random.SeedSequence(seed, spawn_key=(Stream.OBJECTIVE, 0))
        self.generator = torch.Generator().manual_seed(int(child.generate_state(1)[0]))
        self.found: dict[str, Any] = {
            "labels": self.batch.labels.tolist(), "all": [], "picked": [], "embeddings": {},
        }  # fmt: skip

    def look(self, epoch: int) -> None:
        """Note the regions of all triplets and of those that the miner picks."""
        rows = self.encoder.embed(self.batch.tokens)
        every, chosen = triplets_of(rows, self.batch.labels, self.objective, self.generator)
        margin = self.objective.params.margin
        self.found["all"].append(every.shares(margin))
        self.found["picked"].append(chosen.shares(margin))
        if epoch in (0, self.middle, self.last):
            self.found["embeddings"][str(epoch)] = rows.tolist()


def triplets_of(
    rows: Float32, labels: Integers, objective: Triplet, generator: torch.Generator
) -> tuple[Picked, Picked]:
    """All triplets of a batch, and those that the miner of the triplet loss picks."""
    params = objective.params
    with one_thread():
        of_batch = torch.from_numpy(np.asarray(labels, np.int64))
        distances = pairwise(torch.from_numpy(rows), params.distance)
        near, far = all_triplets(distances, of_batch)
        chosen = picked(params.miner, distances, of_batch, params.margin, generator)
    return Picked(len(near), near, far), chosen


def train_all(jobs: Sequence[Training], results: Path, progress: bool) -> list[dict[str, Any]]:
    """The results of trainings, in their order; those in the folder are read, the others done.

    Returns:
        For each: ``map_at_r``, by the names of :data:`PART`; ``active``, the share of triplets with
        a loss by epoch, None if the objective has none; ``watched``, what :class:`Watch` found or
        None; ``error``, the sentence a training failed with, or None: all else is then empty.

    Raises:
        UserError: see :func:`textmetric.parallel.run`, or a result is damaged.
    """
    files = [results / f"{job.key()}.json" for job in jobs]
    compiled = {
        json.dumps([dict(job.objective), job.model.layer, job.settings.optimizer]): job
        for job, _ in parallel.unfinished(jobs, files)
    }
    for job in compiled.values():
        family = family_of(job.objective["name"])
        objective = build(family, job.objective, dim=job.model.dim, classes=2)
        warm_up(build_encoder(job.model, 2, None), objective, job.settings)
    parallel.finish(_train, jobs, files, label="hypotheses", unit="training", progress=progress)
    found = [read_json(file) for file in files]
    for file, one in zip(files, found, strict=True):
        if not isinstance(one, dict) or "map_at_r" not in one:
            raise UserError(f"{file} is not the result of a training: delete it")
    return found


def _train(job: tuple[Training, Path], tick: Callable[[], None]) -> None:
    training, file = job
    corpus = TokenizedCorpus.load(training.corpus)
    encoder = first_encoder(corpus, training.model, training.seed)
    inner = built(training.objective, training.model, corpus, training.seed)
    objective = Dropout(inner, training.dropout, training.seed) if training.dropout else inner
    labels, settings = np.asarray(corpus.train.labels), training.settings
    batches = None
    if training.partners != "drawn":
        redrawn = training.partners == "redrawn"
        batches = FirstEpoch(labels, settings.batch_size, training.seed, redrawn)
    watch = None
    if training.watched and isinstance(inner, Triplet):
        watch = Watch(encoder, inner, corpus.train, settings, training.seed)
        watch.look(0)
    active: list[float | None] = []

    def record(epoch: Epoch) -> None:
        active.append(epoch.log.get("active_fraction"))
        if watch is not None:
            watch.look(epoch.epoch)

    about: dict[str, Any] = {"map_at_r": {}, "error": None}
    try:
        fit(
            encoder,
            objective,
            corpus.train,
            settings,
            sampler=SAMPLER,
            seed=training.seed,
            batches=batches,
            on_epoch=record,
        )
    except UserError as error:
        about["error"] = str(error)
    else:
        about["map_at_r"] = measured(encoder, corpus)
    write_json(file, about | {"active": active, "watched": watch and watch.found})
    tick()

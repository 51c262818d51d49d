"""The loop: encoder + objective + batches → weights and a learning curve.

Every objective, the transfer's head included, is trained by :func:`fit`. The learning rate of
a step, the number of steps and the batches' sizes do not depend on the objective.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from textmetric.encoders import BagEncoder, FrozenEncoder, TextVectors, start_encoder
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import ClassificationObjective, Objective, build, ignored, refuse_frozen
from textmetric.losses.objective import Batches
from textmetric.measures import retrieval
from textmetric.measures.rows import class_sums, unit
from textmetric.model import TrainedModel
from textmetric.params import Model, Pretrain, Recipe, Train
from textmetric.sampling.batches import WindowSampler, steps_per_epoch
from textmetric.sampling.streams import Stream, generator_of, seed_of
from textmetric.schema import validated
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus
from textmetric.training.step import Step, TorchStep
from textmetric.training.windows import Windows
from textmetric.types import Float32

COLLAPSE_DISTANCE = 1e-3
VALIDATION_ROWS = 1000
"""The learning curve measures MAP@R on at most this many validation rows, drawn by the seed."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch leaves behind.

    Attributes:
        epoch: 1 for the first.
        loss: mean over the epoch's batches.
        log: means of what the objective logs, such as ``active_fraction``; NaN left out.
        seconds: time spent on batches.
        losses: of each batch.
    """

    epoch: int
    loss: float
    log: dict[str, float]
    seconds: float
    losses: list[float]


def fit(
    encoder: BagEncoder,
    objective: Objective,
    data: LabelledTokens,
    settings: Train,
    *,
    sampler: str,
    seed: int,
    batches: Batches | None = None,
    frozen: bool = False,
    plain: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> None:
    """Train ``encoder`` and ``objective`` in place, both on the device they are on.

    Args:
        encoder: what gives the embeddings.
        objective: what gives the loss; its parameters are trained too.
        data: the rows of the train part.
        settings: epochs, batch size, optimiser and learning rate.
        sampler: ``shuffled`` or ``balanced``; without effect on an objective that brings its own
            batches.
        seed: of the training; the batches are its stream ``BATCHES``. Same seed, same device:
            same bytes.
        batches: used instead of the sampler's and of those that the objective brings; with
            ``settings.window`` each must be of one window.
        frozen: leave the encoder as it is and train the objective's parameters only.
        plain: use torch on the CPU too, as on CUDA: slower, and the same up to rounding.
        on_epoch: called after each epoch.

    Raises:
        UserError: the loss became NaN or infinite, the embeddings collapsed, or the objective
            makes its own batches and ``settings.window`` is given.
    """
    if batches is None:
        sampled = WindowSampler(sampler, data.labels, settings.batch_size, seed, settings.window)
        batches = objective.batches(data.labels, settings.batch_size, seed)
        if batches is not None and settings.window is not None:
            raise UserError(
                f"train.window is {settings.window}, but the objective makes its own batches from "
                "all rows: set train.window to null, or choose another objective"
            )
        batches = batches or sampled
    steps = steps_per_epoch(len(data), settings.batch_size)
    step = _step(encoder, objective, data, settings, frozen, plain)
    encoder.train()
    objective.train()
    done = 0
    total = settings.epochs * steps
    with one_thread():
        for epoch in range(1, settings.epochs + 1):
            started = time.perf_counter()
            objective.begin_epoch(epoch, settings.epochs, lambda: encoder.embed(data.tokens))
            losses: list[float | torch.Tensor] = []
            logs: list[dict[str, Any]] = []
            for _, rows in zip(range(steps), batches.epoch(), strict=True):
                lr = settings.lr * (1 - done / total if settings.decay == "linear" else 1)
                done += 1
                losses.append(step(rows, lr))
                logs.append(dict(objective.log))
            of_steps = _numbers(losses)
            seconds = time.perf_counter() - started
            record = Epoch(epoch, float(of_steps.mean()), _means(logs), seconds, of_steps.tolist())
            _guard_loss(record, step.embeddings, seed)
            if not frozen:  # an encoder that stays as it is cannot collapse
                _guard_distances(record, step.embeddings, data.labels[rows], seed)
            on_epoch(record)
    encoder.eval()
    objective.eval()


class Trained(NamedTuple):
    """What a training leaves.

    Attributes:
        model: on the CPU.
        curve: a row an epoch: seed, epoch, loss, what the objective logs, validation MAP@R.
        seconds: of the batches of each epoch.
        losses: of every step.
        pretraining: seconds of each epoch of the pre-training, empty without.
    """

    model: TrainedModel
    curve: list[dict[str, float]]
    seconds: list[float]
    losses: list[float]
    pretraining: Sequence[float] = ()


def train(
    corpus: TokenizedCorpus,
    *,
    family: Family,
    objective: Mapping[str, Any],
    sampler: str,
    model: Model,
    settings: Train,
    seed: int,
    device: torch.device,
    vectors: Float32 | TextVectors | None = None,
    encoder: BagEncoder | None = None,
    batches: Batches | None = None,
    pretrain: Pretrain | None = None,
    min_freq: int = 1,
    max_size: int | None = None,
    tick: Callable[[], Any] = lambda: None,
) -> Trained:
    """Train one arm with one seed.

    Args:
        corpus: trained on its train part, and pre-trained on all its texts to learn from; its
            validation part gives the curve and nothing else; its test part is not looked at.
        family: ``classification`` or ``metric``.
        objective: name and parameters, as in params.yaml.
        sampler: ``shuffled`` or ``balanced``.
        model: the encoder.
        settings: the loop.
        seed: of the weights, the batches, the mining and the validation rows, each a stream of its
            own.
        device: where to train.
        vectors: given ones, see :func:`.start_encoder`. If they are of texts, each text of the
            corpus is one token, its row among them; see :meth:`.TokenizedCorpus.by_text`.
        encoder: where to start, in place of :func:`first_encoder` and the pre-training, which it
            has had if ``pretrain`` is given; it is trained in place.
        batches: see :func:`fit`.
        pretrain: what the encoder learns from the texts before; None for nothing.
        min_freq: which tokens the vocabulary kept, and at most how many; the model says so.
        max_size: see ``min_freq``.
        tick: called after each epoch, those of the pre-training included.

    Raises:
        UserError: see :func:`fit`, :func:`.pretraining.pretrain` and
            :func:`textmetric.losses.build`.
    """
    ready = encoder is not None
    if encoder is None:
        encoder = first_encoder(corpus, model, seed, vectors)
    else:
        torch.manual_seed(seed_of(seed, Stream.WEIGHTS))  # for the weights of the objective
    foreign = ignored(family, objective)
    recipe = validated(
        Recipe,
        {
            "objective": {key: value for key, value in objective.items() if key not in foreign},
            "sampler": sampler,
            "model": model,
            "train": settings,
            "pretrain": pretrain,
            "min_freq": min_freq,
            "max_size": max_size,
            "seed": seed,
        },
    )
    module = build(family, objective, dim=model.dim, classes=len(corpus.trained_labels), seed=seed)
    if isinstance(encoder, FrozenEncoder):
        refuse_frozen(type(module), objective["name"])
    else:
        encoder.weight.requires_grad_(settings.vectors == "tuned")
    encoder.to(device)
    module.to(device)
    pretraining: list[float] = []
    if pretrain is not None and not ready:
        from textmetric.training import pretraining as before  # which needs `fit`

        pretraining = before.pretrain(
            encoder, corpus.texts, pretrain, settings, seed=seed, tick=tick
        )
    sample = _validation_sample(corpus.validation, seed)
    curve: list[dict[str, float]] = []
    seconds: list[float] = []
    losses: list[float] = []

    def record(epoch: Epoch) -> None:
        curve.append(
            {
                "seed": seed,
                "epoch": epoch.epoch,
                "loss": epoch.loss,
                "active_fraction": epoch.log.get("active_fraction", math.nan),
                "positive_distance": epoch.log.get("positive_distance", math.nan),
                "negative_distance": epoch.log.get("negative_distance", math.nan),
                "validation_map_at_r": _map_at_r(encoder, sample),
            }
        )
        seconds.append(epoch.seconds)
        losses.extend(epoch.losses)
        tick()

    fit(
        encoder,
        module,
        corpus.train,
        settings,
        sampler=sampler,
        seed=seed,
        batches=batches,
        on_epoch=record,
    )
    encoder.cpu()  # embedding is numpy's
    with one_thread():
        centroids = train_centroids(encoder, corpus.train, len(corpus.trained_labels))
    if isinstance(encoder, FrozenEncoder):
        encoder.detach()  # the vectors of the texts are no part of the model
    trained = TrainedModel(
        encoder=encoder,
        head=module.cpu() if isinstance(module, ClassificationObjective) else None,
        centroids=centroids,
        vocabulary=corpus.vocabulary,
        label_names=corpus.trained_labels,
        recipe=recipe,
        counts=np.bincount(corpus.train.labels, minlength=len(corpus.trained_labels)),
    )
    return Trained(trained, curve, seconds, losses, pretraining)


def first_encoder(
    corpus: TokenizedCorpus,
    model: Model,
    seed: int,
    vectors: Float32 | TextVectors | None = None,
) -> BagEncoder:
    """The encoder that a training starts from, on the CPU.

    Args:
        corpus: that it will be trained on.
        model: the encoder.
        seed: of the training; the weights are its stream ``WEIGHTS``.
        vectors: given ones, see :func:`.start_encoder`.
    """
    torch.manual_seed(seed_of(seed, Stream.WEIGHTS))
    return start_encoder(model, corpus, vectors)


def train_centroids(
    encoder: BagEncoder, data: LabelledTokens, classes: int, rows_at_once: int = 1 << 16
) -> npt.NDArray[np.float32]:
    """The mean of the unit embeddings of every class, as ``measures.class_centroids`` has it.

    The texts are embedded by blocks: the embeddings of all of them, in the double precision of
    the sums, would take several times the memory of their tokens.

    Args:
        encoder: what gives the embeddings.
        data: n texts.
        classes: C, the number of classes.
        rows_at_once: of a block. Sums over several blocks agree with one sum to rounding.

    Returns:
        (C, d) float32 of norm at most 1; a row of NaN for a class without texts.
    """
    sums = np.zeros((classes, encoder.dim))
    for start in range(0, len(data), rows_at_once):
        block = data.take(np.arange(start, min(start + rows_at_once, len(data))))
        sums += class_sums(unit(encoder.embed(block.tokens)), block.labels, classes)
    counts = np.bincount(data.labels, minlength=classes)[:, None]
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means.astype(np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums in one order, and no waiting on threads for small matrices."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def warm_up(encoder: BagEncoder, objective: Objective, settings: Train) -> None:
    """Compile everything :func:`fit` needs before forking, so that workers do not each recompile.

    Args:
        encoder: of the layer and device to train with, however small; it changes.
        objective: as it will be trained, for any number of classes; it changes.
        settings: the optimiser.
    """
    four = RaggedTokens(np.ones(4, dtype=np.int32), np.arange(5))
    data = LabelledTokens(four, np.array([0, 0, 1, 1], dtype=np.int32))
    _step(encoder, objective, data, settings, frozen=False, plain=False)(np.arange(4), 0.0)


def _step(
    encoder: BagEncoder,
    objective: Objective,
    data: LabelledTokens,
    settings: Train,
    frozen: bool,
    plain: bool,
) -> Step:
    windows = Windows.of(data.tokens, settings.batch_size, settings.window)
    if plain or encoder.weight.device.type != "cpu":
        return TorchStep(
            encoder, objective, data, settings.optimizer, frozen=frozen, windows=windows
        )
    # Imported here: reading a model needs no compiler.
    from textmetric.training.compiled_step import CompiledStep

    return CompiledStep(
        encoder,
        objective,
        data,
        settings.optimizer,
        frozen=frozen,
        batch_size=settings.batch_size,
        windows=windows,
    )


def _means(logs: list[dict[str, Any]]) -> dict[str, float]:
    names = sorted({name for log in logs for name in log})
    return {
        name: float(_numbers([log[name] for log in logs if name in log]).nanmean())
        for name in names
    }


def _numbers(values: list[float | torch.Tensor]) -> torch.Tensor:
    """Values in double precision; tensors are converted all at once."""
    if isinstance(values[0], torch.Tensor):
        return torch.stack([torch.as_tensor(value) for value in values]).double()
    return torch.tensor(values, dtype=torch.float64)


def _guard_loss(record: Epoch, embeddings: torch.Tensor, seed: int) -> None:
    if not math.isfinite(record.loss) or not bool(torch.isfinite(embeddings).all()):
        raise UserError(
            f"training diverged in epoch {record.epoch} (seed {seed}): the loss is "
            f"{record.loss}; lower the learning rate (lr) or change the objective's margin"
        )


def _guard_distances(
    record: Epoch, embeddings: torch.Tensor, labels: npt.NDArray[np.int32], seed: int
) -> None:
    if bool((labels != labels[0]).any()):  # rows of one class may well be equal
        distance = float(torch.pdist(embeddings.float()).mean())
        if distance < COLLAPSE_DISTANCE:
            raise UserError(
                f"the embeddings collapsed in epoch {record.epoch} (seed {seed}): their mean "
                f"distance is {distance:.1e}; use another miner, a larger margin or a lower "
                "learning rate (lr)"
            )


def _validation_sample(validation: LabelledTokens, seed: int) -> LabelledTokens:
    order = generator_of(seed, Stream.VALIDATION).permutation(len(validation))
    return validation.take(np.sort(order[:VALIDATION_ROWS]))


def _map_at_r(encoder: BagEncoder, sample: LabelledTokens) -> float:
    if len(sample) < 2:
        return math.nan
    values = retrieval(encoder.embed(sample.tokens), sample.labels, ks=(1,)).map_at_r
    counted = ~np.isnan(values)
    return float(values[counted].mean()) if counted.any() else math.nan

"""Pre-training: what the encoder learns from text alone, before it sees a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from textmetric.encoders import BagEncoder, FrozenEncoder
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import build, class_of, label_free, refuse_frozen
from textmetric.params import Pretrain, Train
from textmetric.sampling.streams import Stream, seed_of
from textmetric.text import LabelledTokens, Tokens
from textmetric.training.loop import Epoch, fit


def pretrain(
    encoder: BagEncoder,
    texts: Tokens,
    options: Pretrain,
    settings: Train,
    *,
    seed: int,
    tick: Callable[[], Any] = lambda: None,
) -> list[float]:
    """Train ``encoder`` in place by an objective that needs no labels, on shuffled batches.

    What it draws at random comes from a seed of its own, which is a stream of the training's seed.
    So the encoder that it leaves depends on the texts, the options, the first weights and the
    seed, and not on the objective that is trained afterwards.

    Args:
        encoder: with its first weights, on the device to train on.
        texts: n texts.
        options: the objective, epochs, batch size and learning rate.
        settings: of the training that follows; gives the optimiser and the decay.
        seed: of the training that follows.
        tick: called after each epoch.

    Returns:
        The seconds of each epoch.

    Raises:
        UserError: see :func:`.label_free`; the loss became NaN or infinite, or the embeddings
            collapsed.
    """
    own_seed = seed_of(seed, Stream.PRETRAINING)
    given = label_free(options.objective, options.parameters)
    if isinstance(encoder, FrozenEncoder):
        refuse_frozen(class_of(options.objective), options.objective)
    objective = build(Family.METRIC, given, dim=encoder.dim, classes=len(texts), seed=own_seed)
    # Without labels every text is a class of its own.
    data = LabelledTokens(texts, np.arange(len(texts), dtype=np.int32))
    own = {key: getattr(options, key) for key in ("epochs", "batch_size", "lr")}
    seconds: list[float] = []

    def record(epoch: Epoch) -> None:
        seconds.append(epoch.seconds)
        tick()

    try:
        fit(
            encoder,
            objective.to(next(encoder.parameters()).device),
            data,
            settings.model_copy(update=own),
            sampler="shuffled",
            seed=own_seed,
            on_epoch=record,
        )
    except UserError as error:
        raise UserError(f"pretrain: {error}") from None
    return seconds

"""The interface of an objective: a module from a batch of embeddings and labels to a scalar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from textmetric.errors import needing

with needing("an objective", "train"):
    import torch
    from pydantic import Field

from textmetric.schema import Section

Floats = npt.NDArray[np.floating[Any]]


def parameter(default: Any, meaning: str, *, paper: str = "–", **limits: Any) -> Any:
    """A field of an objective's ``Params``; docs/objectives.md shows all of it.

    Args:
        default: our default.
        meaning: what the parameter does, for the table.
        paper: the value in the paper, "–" if it gives none.
        limits: of pydantic's ``Field``, such as ``ge=0``. Numbers are at most 1,000 without one.
    """
    if isinstance(default, int | float) and not isinstance(default, bool):
        limits |= {} if {"le", "lt"} & set(limits) else {"le": 1000}
    extra: dict[str, Any] = {"paper": paper}
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


class Gradients(NamedTuple):
    """The loss of a batch and its gradients: what a training step needs.

    Attributes:
        loss: of the batch.
        embeddings: (B, d), the gradient of the loss with respect to the embeddings.
        parameters: the gradient with respect to each of the objective's ``parameters()``, in
            their order; None for one that the loss does not depend on.
    """

    loss: float
    embeddings: Floats
    parameters: Sequence[Floats | None]


class Batches(Protocol):
    """Batches that an objective makes itself, see :meth:`Objective.batches`."""

    def epoch(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the batches of the next epoch, (B,) row ids each."""
        ...


class Objective(torch.nn.Module):
    """A training objective. It owns its parameters (heads, proxies); the trainer optimises them.

    Most objectives only implement ``forward``. Three more methods do nothing unless overridden.
    Training calls them in this order:

    - :meth:`batches`, once: the objective may replace the sampler's batches by its own;
    - :meth:`begin_epoch`, before each epoch;
    - :meth:`views`, for each batch, if ``VIEWS`` is above 1: altered copies of its texts.

    The docstring of an objective is printed in docs/objectives.md, with the table of its
    parameters: a formula, its symbols and reference, then paragraphs that begin with ``Batch:``,
    ``Deviations:`` and ``Log:``.

    Args:
        params: A validated instance of ``Params``.
        dim: Width of the embeddings.
        classes: Number of classes; labels are 0 … classes − 1.
        seed: Of the training; the objective's own draws (mining) are its stream
            ``OBJECTIVE``, see :mod:`textmetric.sampling.streams`. Weights are drawn from torch's
            global generator, which the caller seeds.

    Attributes:
        Params: The schema of the objective's parameters.
        VIEWS: How many rows ``forward`` gets for each text of the batch.
        NEEDS_LABELS: Whether ``forward`` uses the labels. Pre-training takes an objective without.
        log: What the learning curve shows of the last batch, by name. The values are
            0-dimensional detached tensors, so that a step never waits for a conversion; average
            them over an epoch with ``nanmean`` and convert once. NaN means that the batch held
            no such pair or triplet. ``positive_distance`` and ``negative_distance`` are the mean
            distances of same-class and different-class pairs.
    """

    Params: ClassVar[type[Section]]
    VIEWS: ClassVar[int] = 1
    NEEDS_LABELS: ClassVar[bool] = True
    params: Any

    def __init__(self, params: Any, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.params = params
        self.log: dict[str, float | torch.Tensor] = {}

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch; a batch without a valid pair or triplet gives 0, never NaN.

        Args:
            embeddings: (B, d) floating point.
            labels: (B,) int64.

        Returns:
            A scalar that gradients flow through.
        """
        raise NotImplementedError  # abstract: every objective has its own

    def loss_and_gradient(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Floats]
    ) -> Gradients | None:
        """Compute the result of ``forward`` and autograd without torch's overhead; optional.

        Training on the CPU tries this first. Loss, gradients, ``log`` and random draws must equal
        those of ``forward``; a test checks every objective of the registry. A subclass that
        changes ``forward`` must change this method too.

        Args:
            embeddings: (B, d); must not be changed.
            labels: (B,).
            parameters: the values of ``parameters()``, in their order and shapes.

        Returns:
            The loss and its gradients, or None: use autograd.
        """
        return None

    def batches(self, labels: npt.NDArray[np.int32], batch_size: int, seed: int) -> Batches | None:
        """Give the batches that replace the sampler's, whichever sampler it is; optional.

        They must follow the same protocol: ⌈n / batch_size⌉ batches an epoch, of at most
        ``batch_size`` rows, drawn from the stream ``BATCHES`` of the seed. Each batch is
        requested after the step on the previous one.

        Args:
            labels: (n,) of the train part.
            batch_size: B.
            seed: of the training.

        Returns:
            None to keep the sampler's batches.
        """
        return None

    def begin_epoch(
        self, epoch: int, epochs: int, embed: Callable[[], npt.NDArray[np.float32]]
    ) -> None:
        """Prepare for an epoch; training calls this before it requests the batches; optional.

        Args:
            epoch: 1 for the first.
            epochs: the number of epochs.
            embed: returns the current embeddings (n, d) of the train part; a call costs a pass
                over the texts.
        """

    def views(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Make altered copies of the texts of a batch; only called if ``VIEWS`` is above 1.

        The encoder embeds these instead of the texts. ``forward`` gets their (VIEWS · B, d)
        embeddings, with the labels repeated VIEWS times.

        Args:
            ids: (m,) token ids of the batch; must not be changed.
            offsets: (B + 1,) where each text starts in ``ids``.

        Returns:
            The ids and offsets of VIEWS · B texts: the first view of every text, then the
            second. A view holds only tokens of its text, and not more of them.
        """
        raise NotImplementedError  # abstract: an objective with VIEWS above 1 has its own


class ClassificationObjective(Objective):
    """An objective with a head that can predict the class."""

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, C) scores of ``embeddings`` (B, d); the predicted class has the largest."""
        raise NotImplementedError  # abstract: every head has its own

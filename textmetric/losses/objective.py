"""What every objective is: a module from a batch of embeddings and labels to a scalar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict

Floats = npt.NDArray[np.floating[Any]]


class Parameters(BaseModel):
    """The parameters of one objective, as they stand in params.yaml; frozen and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Gradients(NamedTuple):
    """What one step of training needs of an objective.

    Attributes:
        loss: of the batch.
        embeddings: (B, d), the gradient of the loss by the embeddings.
        parameters: its gradient by each of the objective's ``parameters()``, in their order;
            None for one that the loss does not depend on.
    """

    loss: float
    embeddings: Floats
    parameters: Sequence[Floats | None]


class Batches(Protocol):
    """Batches that an objective brings along, see :meth:`Objective.batches`."""

    def epoch(self) -> Iterator[npt.NDArray[np.int64]]:
        """The batches of the next epoch, (B,) row ids each."""
        ...


class Objective(torch.nn.Module):
    """A training objective. It owns its parameters (heads, proxies), the trainer optimises them.

    Most are a ``forward`` and nothing else. Three more methods are for those whose training is
    not "any batch, any time"; what they do unless overridden changes nothing. In the order in
    which a training calls them:

    - :meth:`batches`, once: batches of one's own in place of the sampler's;
    - :meth:`begin_epoch`, before each epoch;
    - :meth:`views`, for each batch, if ``VIEWS`` is above 1: altered copies of its texts.

    Args:
        params: A validated instance of ``Params``.
        dim: Width of the embeddings.
        classes: Number of classes; labels are 0 … classes − 1.
        seed: Seed of the objective's own random draws (mining). Weights are drawn from
            torch's global generator, which the caller seeds.

    Attributes:
        Params: The schema of the objective's parameters.
        VIEWS: How many rows ``forward`` gets of each text of the batch.
        log: What the learning curve shows of the last batch, by name. The values are
            0-dimensional detached tensors, so that a step never waits for a conversion; average
            them over an epoch with ``nanmean`` and convert once. NaN means that the batch held
            no such pair or triplet.
    """

    Params: ClassVar[type[Parameters]]
    VIEWS: ClassVar[int] = 1

    def __init__(self, params: Any, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.log: dict[str, float | torch.Tensor] = {}

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch; a batch without a valid pair or triplet gives 0, never NaN.

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
        """What ``forward`` and autograd give, without torch's cost a call; optional.

        Training on the CPU asks for this first. The numbers must be those of ``forward``, the
        ``log`` and the random draws too; a test holds every objective of the registry to it. A
        subclass that changes ``forward`` changes this as well.

        Args:
            embeddings: (B, d), not to be changed.
            labels: (B,).
            parameters: the values of ``parameters()``, in their order and shapes.

        Returns:
            The loss and its gradients; or None: use autograd.
        """
        return None

    def batches(self, labels: npt.NDArray[np.int32], batch_size: int, seed: int) -> Batches | None:
        """Batches to be used in place of the sampler's, whichever it is; optional.

        The protocol is everybody's: ⌈n / batch_size⌉ batches an epoch, of at most
        ``batch_size`` rows, drawn from the seed by a generator of their own. A batch is asked
        for after the step on the one before it.

        Args:
            labels: (n,) of the train part.
            batch_size: B.
            seed: of the batches.

        Returns:
            None: the sampler's.
        """
        return None

    def begin_epoch(
        self, epoch: int, epochs: int, embed: Callable[[], npt.NDArray[np.float32]]
    ) -> None:
        """Told before the batches of an epoch are asked for; optional.

        Args:
            epoch: 1 for the first.
            epochs: of how many.
            embed: gives the embeddings (n, d) of the train part as the encoder now has them; a
                call costs a pass over the texts.
        """

    def views(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Altered copies of the texts of a batch; only asked for if ``VIEWS`` is above 1.

        The encoder embeds these instead of the texts, and ``forward`` gets their
        (VIEWS · B, d) embeddings, with the labels repeated as often.

        Args:
            ids: (m,) token ids of the batch, not to be changed.
            offsets: (B + 1,) where each text starts in ``ids``.

        Returns:
            The ids and offsets of VIEWS · B texts: the first view of every text, then the
            second. A view holds tokens of its text, and not more than it.
        """
        raise NotImplementedError  # abstract: an objective with VIEWS above 1 has its own


class ClassificationObjective(Objective):
    """An objective with a head that can predict the class."""

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, C) scores of ``embeddings`` (B, d); the predicted class has the largest."""
        raise NotImplementedError  # abstract: every head has its own

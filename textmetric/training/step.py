"""One step of training: batch, embeddings, loss, gradient, update."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from textmetric.encoders.bag import Encoder
from textmetric.losses import Objective
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training.optimizers import DenseOptimizer, RowOptimizer


class Step(Protocol):
    """Trains an encoder and an objective, in place, on one batch a call."""

    @property
    def embeddings(self) -> Tensor:
        """(VIEWS · B, d) of the last batch, before the update."""
        ...

    def __call__(self, rows: npt.NDArray[np.int64], lr: float) -> float | Tensor:
        """One update from the texts ``rows`` (B,) of the data; gives the loss before it."""
        ...


class TorchStep:
    """The step by torch alone, on any device: what CUDA uses, and what the compiled step equals.

    Args:
        encoder: what gives the embeddings.
        objective: what gives the loss; its parameters are trained too.
        data: the rows of the train part.
        optimizer: name of the optimiser.
        frozen: leave the encoder as it is.
    """

    def __init__(
        self,
        encoder: Encoder,
        objective: Objective,
        data: LabelledTokens,
        optimizer: str,
        *,
        frozen: bool = False,
    ) -> None:
        self.encoder = encoder
        self.objective = objective
        self.tokens = data.tokens
        self.labels = np.asarray(data.labels, dtype=np.int64)
        self.frozen = frozen
        dense = list(objective.parameters())
        if encoder.linear is not None and not frozen:
            dense += encoder.linear.parameters()
        self._dense = DenseOptimizer(dense, optimizer)
        self._rows = RowOptimizer(encoder.weight.detach(), optimizer)

    def __call__(self, rows: npt.NDArray[np.int64], lr: float) -> Tensor:
        """See :class:`Step`."""
        device = self.encoder.weight.device
        batch = self.tokens.take(rows)
        labels = self.labels[rows]
        if self.objective.VIEWS > 1:
            batch = RaggedTokens(*self.objective.views(batch.ids, batch.offsets))
            labels = np.tile(labels, self.objective.VIEWS)
        ids = torch.from_numpy(batch.ids).to(device)
        offsets = torch.from_numpy(batch.offsets).to(device)
        target = torch.from_numpy(labels).to(device)
        # Autograd sees only the (B, dim) bags: the rest of the encoder's gradient is
        # RowOptimizer's, which touches the token vectors of this batch alone.
        with torch.no_grad():
            bags = self.encoder.bag(ids, offsets[:-1].int())
        bags.requires_grad_(not self.frozen)
        embeddings = self.encoder.project(bags)
        loss = self.objective(embeddings, target)
        loss.backward()
        self._dense.step(lr)
        if bags.grad is not None:
            self._rows.step(batch, bags.grad, lr)
        self.embeddings: Tensor = embeddings.detach()
        detached: Tensor = loss.detach()
        return detached

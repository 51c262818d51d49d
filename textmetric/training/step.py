"""One step of training by torch alone: batch, embeddings, loss, gradient, update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from textmetric.encoders import BagEncoder
from textmetric.errors import unknown_name
from textmetric.losses import Objective
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training.windows import Windows
from textmetric.types import Int64

OPTIMIZERS = ("sgd", "adagrad", "adam")


class Step(Protocol):
    """Trains an encoder and an objective, in place, on one batch a call."""

    @property
    def embeddings(self) -> Tensor:
        """(VIEWS · B, d) of the last batch, before the update."""
        ...

    def __call__(self, rows: Int64, lr: float) -> float | Tensor:
        """One update from the texts ``rows`` (B,) of the data; gives the loss before it."""
        ...


class TorchStep:
    """``embedding_bag(sparse=True)``, autograd and ``torch.optim``, on any device.

    This is the definition of a step. CUDA uses it; the compiled step must equal it to rounding.

    Args:
        encoder: gives the embeddings.
        objective: gives the loss; its parameters are trained too.
        data: the rows of the train part.
        optimizer: name of the optimiser.
        frozen: leave the encoder as it is.
        windows: of the rows, each read when a batch is of it; None for one of all rows.

    Raises:
        UserError: an unknown optimiser.
    """

    def __init__(
        self,
        encoder: BagEncoder,
        objective: Objective,
        data: LabelledTokens,
        optimizer: str,
        *,
        frozen: bool = False,
        windows: Windows | None = None,
    ) -> None:
        self.encoder = encoder
        self.objective = objective
        self.windows = Windows(data.tokens) if windows is None else windows
        self.labels = np.asarray(data.labels, dtype=np.int64)
        self.frozen = frozen
        dense = list(objective.parameters())
        if encoder.projection is not None and not frozen:
            dense += encoder.projection.parameters()
        # Vectors without a gradient would stay, but Adagrad would keep a sum as large as they are.
        tuned = encoder.weight.requires_grad and not frozen
        # torch warns about the sparse tensors of optimisers unless their checks are set.
        torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]
        self.optimizers = _optimizers(optimizer, dense, [encoder.weight] if tuned else [])

    def __call__(self, rows: Int64, lr: float) -> Tensor:
        """See :class:`Step`."""
        device = self.encoder.weight.device
        labels = self.labels[rows]
        tokens, rows = self.windows.holding(rows)
        batch = tokens.take(rows)
        if self.objective.VIEWS > 1:
            batch = RaggedTokens(*self.objective.views(batch.ids, batch.offsets))
            labels = np.tile(labels, self.objective.VIEWS)
        ids = torch.from_numpy(batch.ids).to(device)
        offsets = torch.from_numpy(batch.offsets[:-1].astype(np.int32)).to(device)
        with torch.set_grad_enabled(not self.frozen):
            embeddings = self.encoder.project(self.encoder.bag(ids, offsets, sparse=True))
        if self.frozen:
            embeddings.requires_grad_()  # an objective without parameters has a gradient then, too
        loss = self.objective(embeddings, torch.from_numpy(labels).to(device))
        loss.backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad()
        self.embeddings: Tensor = embeddings.detach()
        detached: Tensor = loss.detach()
        return detached


def _optimizers(name: str, dense: Sequence[Tensor], sparse: Sequence[Tensor]) -> list[Optimizer]:
    """The optimisers of parameters with a dense gradient and of those with a sparse one."""
    # The learning rate is set before every step. Optimisers refuse an empty list.
    both = [*dense, *sparse]
    if name == "sgd":
        return [torch.optim.SGD(both, lr=0.0)] if both else []
    if name == "adagrad":
        return [torch.optim.Adagrad(both, lr=0.0)] if both else []
    if name == "adam":
        made: list[Optimizer] = [torch.optim.Adam(dense, lr=0.0)] if dense else []
        # The moments of a token vector move only in steps whose batch holds the token.
        return [*made, torch.optim.SparseAdam(sparse, lr=1.0)] if sparse else made
    raise unknown_name("optimizer", name, OPTIMIZERS)

"""An objective with a term that pulls texts together: a dial for cohesion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from textmetric.losses.distances import unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Batches, Objective

Pull = Literal["class", "all"]


class Pulled(Objective):
    """``L + w · mean(1 − cos(x_i, x_j))`` over the pairs i ≠ j of a batch.

    L is another objective. The pairs are those of one class (``class``), or all (``all``). The
    second term alone moves cohesion; with ``all`` it says nothing about the classes.

    Args:
        inner: L, which has no views.
        weight: w; below 0 it pushes apart.
        pull: which pairs.
    """

    def __init__(self, inner: Objective, weight: float, pull: Pull) -> None:
        torch.nn.Module.__init__(self)
        self.inner, self.weight, self.pull = inner, weight, pull
        self.log = {}

    def batches(self, labels: npt.NDArray[np.int32], batch_size: int, seed: int) -> Batches | None:
        """See ``Objective.batches``."""
        return self.inner.batches(labels, batch_size, seed)

    def begin_epoch(
        self, epoch: int, epochs: int, embed: Callable[[], npt.NDArray[np.float32]]
    ) -> None:
        """See ``Objective.begin_epoch``."""
        self.inner.begin_epoch(epoch, epochs, embed)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,); without a pair, that of L."""
        loss: torch.Tensor = self.inner(embeddings, labels)
        self.log = self.inner.log
        rows = unit(embeddings)
        positive, negative = pair_masks(labels)
        pairs = positive if self.pull == "class" else positive | negative
        pulled = ((1 - rows @ rows.T) * pairs).sum() / pairs.sum().clamp_min(1)
        return loss + self.weight * pulled

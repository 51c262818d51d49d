"""SGD, Adagrad and Adam on the rows of a weight matrix that a batch touches, and no others.

A batch of 64 texts touches some thousand of perhaps 100,000 token vectors. What reaches those
vectors is only the gradient of the (B, dim) bags, so autograd stops there, and the rows are
updated in place. :class:`torch.nn.EmbeddingBag` with ``sparse=True`` and the optimisers of
``torch.optim`` give the same numbers (tests hold them together); they cost several
times as much, for building, coalescing and checking sparse tensors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from textmetric.errors import unknown_name
from textmetric.text.ragged import RaggedTokens

OPTIMIZERS = ("sgd", "adagrad", "adam")


class RowOptimizer:
    """Updates the rows of ``weight`` from the gradient of mean bags over them.

    Args:
        weight: (V, d), changed in place.
        name: ``sgd``; ``adagrad`` (``torch.optim.Adagrad``: eps 1e-10, no initial value);
            ``adam`` (``torch.optim.SparseAdam``: betas .9 and .999, eps 1e-8, the moments of a
            row move only when a batch touches it).

    Raises:
        UserError: an unknown name.
    """

    def __init__(self, weight: Tensor, name: str) -> None:
        if name not in OPTIMIZERS:
            raise unknown_name("train.optimizer", name, OPTIMIZERS)
        self.weight = weight
        self.name = name
        self.steps = 0
        moments = {"sgd": 0, "adagrad": 1, "adam": 2}[name]
        self.state = [torch.zeros_like(weight) for _ in range(moments)]

    @torch.no_grad()
    def step(self, batch: RaggedTokens, gradient: Tensor, lr: float) -> None:
        """One update.

        Args:
            batch: the token ids of B texts.
            gradient: (B, d) gradient of the loss by the mean bags.
            lr: learning rate.
        """
        self.steps += 1
        lengths = batch.lengths
        rows, owners, starts = (
            torch.from_numpy(array).to(self.weight.device)
            for array in _by_token(batch.ids, lengths)
        )
        if not len(rows):
            return
        # The gradient of a token vector is the sum of its texts' shares of theirs.
        share = gradient / torch.from_numpy(lengths).to(gradient).clamp_(min=1).unsqueeze(1)
        row_gradients = functional.embedding_bag(owners, share, starts, mode="sum")
        if self.name == "sgd":
            update = row_gradients
        elif self.name == "adagrad":
            squares = self.state[0].index_select(0, rows).addcmul_(row_gradients, row_gradients)
            self.state[0].index_copy_(0, rows, squares)
            update = row_gradients.div_(squares.sqrt_().add_(1e-10))
        else:
            first = self.state[0].index_select(0, rows).lerp_(row_gradients, 1 - 0.9)
            self.state[0].index_copy_(0, rows, first)
            second = self.state[1].index_select(0, rows)
            second.lerp_(row_gradients.square_(), 1 - 0.999)
            self.state[1].index_copy_(0, rows, second)
            lr *= (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
            update = first.div_(second.sqrt_().add_(1e-8))
        # Not index_add_, which is three times as slow: the rows are all different.
        moved = self.weight.index_select(0, rows).sub_(update, alpha=lr)
        self.weight.index_copy_(0, rows, moved)


def _by_token(
    ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The tokens of a batch in the order of their ids.

    Returns:
        rows (u,): the different ids, rising; owners (m,): the text of each token, in the order
        of the ids; starts (u,): where the tokens of each id start in ``owners``.
    """
    keys = ids.astype(np.int64) << 32
    keys |= np.repeat(np.arange(len(lengths)), lengths)
    keys.sort()
    sorted_ids = keys >> 32
    starts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    return sorted_ids[starts], keys & 0xFFFFFFFF, starts

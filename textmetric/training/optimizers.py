"""SGD, Adagrad and Adam, on whole parameters and on the rows that a batch touches.

A batch of 64 texts touches some thousand of perhaps 100,000 token vectors. What reaches those
vectors is only the gradient of the (B, dim) bags, so autograd stops there, and the rows are
updated in place. :class:`torch.nn.EmbeddingBag` with ``sparse=True`` and the optimisers of
``torch.optim`` give the same numbers (tests hold them together); they cost several times as
much, for building, coalescing and checking sparse tensors, and two seconds of imports a process.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from textmetric.errors import unknown_name
from textmetric.text.ragged import RaggedTokens

# name → how many moments it keeps of every parameter
OPTIMIZERS = {"sgd": 0, "adagrad": 1, "adam": 2}


class Optimizer:
    """What the two kinds share: the name, the state, and the update rule.

    ``sgd``; ``adagrad`` (eps 1e-10, no initial value); ``adam`` (betas .9 and .999, eps 1e-8;
    on rows the moments of a row move only when a batch touches it, as
    ``torch.optim.SparseAdam`` has it).

    Raises:
        UserError: an unknown name.
    """

    def __init__(self, name: str) -> None:
        if name not in OPTIMIZERS:
            raise unknown_name("train.optimizer", name, OPTIMIZERS)
        self.name = name
        self.steps = 0

    def moments_of(self, parameter: Tensor) -> list[Tensor]:
        """As many zeros like ``parameter`` as the optimiser keeps moments of it."""
        return [torch.zeros_like(parameter) for _ in range(OPTIMIZERS[self.name])]

    def corrected(self, lr: float) -> float:
        """``lr`` with what corrects the bias of Adam's moments at this step multiplied in."""
        if self.name == "adam":
            # torch.optim.Adam corrects the bias inside the root, SparseAdam outside: the same but
            # for what eps weighs
            lr *= (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
        return lr

    def _change(self, gradient: Tensor, moments: list[Tensor], lr: float) -> Tensor:
        """What to subtract; moves ``moments`` in place. All tensors have one shape."""
        if self.name == "sgd":
            return gradient * lr
        if self.name == "adagrad":
            moments[0].addcmul_(gradient, gradient)
            return (gradient * lr).div_(moments[0].sqrt().add_(1e-10))
        moments[0].lerp_(gradient, 1 - 0.9)
        moments[1].lerp_(gradient.square(), 1 - 0.999)
        return (moments[0] * self.corrected(lr)).div_(moments[1].sqrt().add_(1e-8))


class DenseOptimizer(Optimizer):
    """Updates whole parameters from their ``grad``, in place.

    Args:
        parameters: what to update; those without a gradient in a step are left alone.
        name: see :class:`Optimizer`.
    """

    def __init__(self, parameters: Iterable[Tensor], name: str) -> None:
        super().__init__(name)
        self.parameters = [(parameter, self.moments_of(parameter)) for parameter in parameters]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update; the gradients are used up."""
        self.steps += 1
        for parameter, moments in self.parameters:
            if parameter.grad is not None:
                parameter.sub_(self._change(parameter.grad, moments, lr))
                parameter.grad = None


class RowOptimizer(Optimizer):
    """Updates the rows of ``weight`` from the gradient of mean bags over them.

    Args:
        weight: (V, d), changed in place.
        name: see :class:`Optimizer`.
    """

    def __init__(self, weight: Tensor, name: str) -> None:
        super().__init__(name)
        self.weight = weight
        self.moments = self.moments_of(weight)

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
        moments = [moment.index_select(0, rows) for moment in self.moments]
        change = self._change(row_gradients, moments, lr)
        # Not index_add_, which is three times as slow: the rows are all different.
        self.weight.index_copy_(0, rows, self.weight.index_select(0, rows).sub_(change))
        for moment, moved in zip(self.moments, moments, strict=True):
            moment.index_copy_(0, rows, moved)


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

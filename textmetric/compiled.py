"""The step of training on the CPU, by compiled loops; :mod:`textmetric.steps` has its meaning.

Torch is left with what an objective needs autograd for: the way from the (B, d) bags to the loss
and back. An objective that implements ``loss_and_gradient`` does without.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from textmetric import kernels
from textmetric.encoder import Encoder
from textmetric.kernels import Floats
from textmetric.losses import Objective
from textmetric.optimizers import Optimizer
from textmetric.steps import dense_parameters
from textmetric.text import LabelledTokens

_Integer = TypeVar("_Integer", np.int32, np.int64)
RULES = {"sgd": kernels.SGD, "adagrad": kernels.ADAGRAD, "adam": kernels.ADAM}


class CompiledStep:
    """What :class:`textmetric.steps.TorchStep` does, on the CPU, an order of magnitude faster.

    Sums are taken in another order than torch's, so the two agree to rounding. Memory: beside
    the moments one sum for every token that a batch may hold, at most as much as the weights.

    Args:
        encoder: on the CPU.
        objective: on the CPU.
        data: the rows of the train part.
        optimizer: name of the optimiser.
        frozen: leave the encoder as it is.
        batch_size: the most rows a call gives.

    Raises:
        IndexError: a token id that the encoder does not know; nothing is checked later.
    """

    def __init__(
        self,
        encoder: Encoder,
        objective: Objective,
        data: LabelledTokens,
        optimizer: str,
        *,
        frozen: bool = False,
        batch_size: int,
    ) -> None:
        self.encoder = encoder
        self.objective = objective
        self.labels = np.asarray(data.labels, dtype=np.int64)
        self.frozen = frozen
        self._ids, self._offsets = _read_only(data.tokens.ids), _read_only(data.tokens.offsets)
        self._weight: Floats = encoder.weight.detach().numpy()
        tokens = len(self._weight)
        if self._ids.size and not 0 <= self._ids.min() <= self._ids.max() < tokens:
            raise IndexError(f"the texts hold a token id outside 0 to {tokens - 1}")
        self._dense = _Dense(dense_parameters(encoder, objective, frozen), optimizer)
        longest = int(data.tokens.lengths.max(initial=0))
        self._rows = _Rows(self._weight, optimizer, most=min(tokens, batch_size * longest))

    def __call__(self, rows: npt.NDArray[np.int64], lr: float) -> float:
        """See :class:`textmetric.steps.Step`."""
        bags = np.empty((len(rows), self._weight.shape[1]), self._weight.dtype)
        kernels.mean_bags(self._ids, self._offsets, rows, self._weight, bags)
        loss, gradient = self._loss_and_gradient(torch.from_numpy(bags), self.labels[rows])
        self._dense.step(lr)
        if gradient is not None:
            self._rows.step(self._ids, self._offsets, rows, gradient, lr)
        return loss

    def _loss_and_gradient(
        self, bags: Tensor, labels: npt.NDArray[np.int64]
    ) -> tuple[float, Floats | None]:
        """The loss and, unless the encoder is frozen, its gradient by the bags (B, d)."""
        bags.requires_grad_(not self.frozen)
        embeddings = self.encoder.project(bags)
        self.embeddings = embeddings.detach()
        found = self.objective.loss_and_gradient(self.embeddings.numpy(), labels)
        if found is None:
            loss = self.objective(embeddings, torch.from_numpy(labels))
            loss.backward()
            return loss.item(), None if bags.grad is None else bags.grad.numpy()
        value, gradient = found
        if embeddings is bags:
            return value, None if self.frozen else gradient
        if embeddings.requires_grad:
            torch.autograd.backward(embeddings, torch.from_numpy(gradient))
        return value, None if bags.grad is None else bags.grad.numpy()


class _Dense(Optimizer):
    """:class:`textmetric.optimizers.DenseOptimizer` by a compiled loop."""

    def __init__(self, parameters: list[Tensor], name: str) -> None:
        super().__init__(name)
        self._rule = RULES[name]
        self._row = np.zeros(1, dtype=np.int32)  # a parameter is one row, however shaped
        self._parameters = [
            (parameter, _as_row(parameter.detach()), *_moments(self, _as_row(parameter.detach())))
            for parameter in parameters
        ]

    def step(self, lr: float) -> None:
        """One update; the gradients are used up."""
        self.steps += 1
        lr = self.corrected(lr)
        for parameter, values, first, second in self._parameters:
            if parameter.grad is not None:
                gradient = _as_row(parameter.grad.contiguous())
                kernels.update_rows(self._rule, values, first, second, self._row, 1, gradient, lr)
                parameter.grad = None


class _Rows(Optimizer):
    """:class:`textmetric.optimizers.RowOptimizer` by compiled loops."""

    def __init__(self, weight: Floats, name: str, most: int) -> None:
        super().__init__(name)
        self._rule = RULES[name]
        self._weight = weight
        self._first, self._second = _moments(self, weight)
        self._place = np.full(len(weight), -1, dtype=np.int32)
        self._touched = np.empty(most, dtype=np.int32)
        self._sums = np.empty((most, weight.shape[1]), dtype=weight.dtype)

    def step(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        gradient: Floats,
        lr: float,
    ) -> None:
        """One update from the gradient (B, d) of the loss by the bags of the texts ``rows``."""
        self.steps += 1
        count = kernels.row_gradients(
            ids, offsets, rows, gradient, self._place, self._touched, self._sums
        )
        kernels.update_rows(
            self._rule,
            self._weight,
            self._first,
            self._second,
            self._touched,
            count,
            self._sums,
            self.corrected(lr),
        )


def _moments(optimizer: Optimizer, values: Floats) -> tuple[Floats, Floats]:
    kept = [moment.numpy() for moment in optimizer.moments_of(torch.from_numpy(values))]
    nothing = np.empty((0, 0), values.dtype)
    first, second, *_ = [*kept, nothing, nothing]
    return first, second


def _as_row(tensor: Tensor) -> Floats:
    row: Floats = tensor.view(1, -1).numpy()
    return row


def _read_only(array: npt.NDArray[_Integer]) -> npt.NDArray[_Integer]:
    # Mapped files are read only and arrays in memory are not: two types to the compiler.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view

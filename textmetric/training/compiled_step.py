"""The step of training on the CPU, by compiled loops; :mod:`.step` has its meaning.

Torch is left with what an objective needs autograd for: the way from the (B, d) bags to the loss
and back. An objective that implements ``loss_and_gradient`` does without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from textmetric.encoders import BagEncoder
from textmetric.errors import unknown_name
from textmetric.losses import Gradients, Objective
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training import kernels
from textmetric.training.windows import Windows, read_only
from textmetric.types import Floats, Int32, Int64

_RULES = {"sgd": kernels.SGD, "adagrad": kernels.ADAGRAD, "adam": kernels.ADAM}
_MOMENTS = {kernels.SGD: 0, kernels.ADAGRAD: 1, kernels.ADAM: 2}
"""How many moments each rule keeps of a parameter."""
_EPS = {kernels.SGD: 0.0, kernels.ADAGRAD: 1e-10, kernels.ADAM: 1e-8}
"""Those of ``torch.optim``."""


class CompiledStep:
    """What :class:`.TorchStep` does, on the CPU, an order of magnitude faster.

    Sums are taken in another order than torch's, so the two agree to rounding. Memory: besides
    the moments one sum for every token that a batch may hold, at most as much as the weights.

    Args:
        encoder: on the CPU.
        objective: on the CPU.
        data: the rows of the train part.
        optimizer: name of the optimiser.
        frozen: leave the encoder as it is.
        batch_size: the most rows a call gives.
        windows: of the rows, each read when a batch is of it; None for one of all rows.

    Raises:
        IndexError: a token id that the encoder does not know. The loops check nothing.
    """

    def __init__(
        self,
        encoder: BagEncoder,
        objective: Objective,
        data: LabelledTokens,
        optimizer: str,
        *,
        frozen: bool = False,
        batch_size: int,
        windows: Windows | None = None,
    ) -> None:
        self.encoder = encoder
        self.objective = objective
        self.labels = np.asarray(data.labels, dtype=np.int64)
        self.frozen = frozen
        self.batch_size = batch_size
        self._weight: Floats = encoder.weight.detach().numpy()
        projection = None if frozen else encoder.projection
        self._projection = _Dense([] if projection is None else projection.parameters(), optimizer)
        self._objective = _Dense(objective.parameters(), optimizer)
        self._rows = None
        if encoder.weight.requires_grad and not frozen:
            self._rows = _Rows(self._weight, optimizer)
        self._windows = Windows(data.tokens) if windows is None else windows
        self._met = 0
        if self._windows.single:
            self._of_window(np.arange(0))

    @property
    def embeddings(self) -> Tensor:
        """See :class:`.Step`."""
        return torch.from_numpy(self._embeddings)

    def __call__(self, rows: Int64, lr: float) -> float:
        """See :class:`.Step`."""
        if len(rows) > self.batch_size:
            raise ValueError(f"a batch of {len(rows)} rows, expected at most {self.batch_size}")
        labels = self.labels[rows]
        tokens, rows = self._of_window(rows)
        ids, offsets = tokens.ids, tokens.offsets
        if self.objective.VIEWS > 1:
            ids, offsets = self._views(tokens.take(rows))
            rows, labels = np.arange(len(offsets) - 1), np.tile(labels, self.objective.VIEWS)
        if self._rows is not None:
            self._rows.meet(ids, offsets, rows)
        bags = np.empty((len(rows), self._weight.shape[1]), self._weight.dtype)
        kernels.mean_bags(ids, offsets, rows, self._weight, bags)
        gradient, loss = self._learn(bags, labels, lr)
        if self._rows is not None and gradient is not None:
            self._rows.step(offsets, rows, gradient, lr)
        return loss

    def _of_window(self, rows: Int64) -> tuple[RaggedTokens, Int64]:
        """The texts ``rows`` (B,) in their window, which is checked when it is new."""
        tokens, rows = self._windows.holding(rows)
        if self._windows.read != self._met:
            self._met, known = self._windows.read, len(self._weight)
            if tokens.ids.size and not 0 <= tokens.ids.min() <= tokens.ids.max() < known:
                raise IndexError(f"the texts hold a token id outside 0 to {known - 1}")
            if self._rows is not None:
                longest = int(tokens.lengths.max(initial=0))
                self._rows.make_room(self.objective.VIEWS * self.batch_size * longest)
        return tokens, rows

    def _views(self, batch: RaggedTokens) -> tuple[Int32, Int64]:
        ids, offsets = self.objective.views(batch.ids, batch.offsets)
        # What the loops do not check: a longer view would be written past the end of an array.
        lengths = np.tile(batch.lengths, self.objective.VIEWS)
        known = not ids.size or 0 <= ids.min() <= ids.max() < len(self._weight)
        if not known or len(offsets) != len(lengths) + 1 or (np.diff(offsets) > lengths).any():
            raise IndexError("a view holds other tokens or more of them than its text")
        return read_only(ids), read_only(offsets)

    def _learn(self, bags: Floats, labels: Int64, lr: float) -> tuple[Floats | None, float]:
        """Update what is trained besides the token vectors.

        Returns:
            The gradient of the loss by the bags (B, d), None if they are not trained; the loss.
        """
        leaf = embeddings = None
        self._embeddings = bags
        if self.encoder.projection is not None:
            leaf = torch.from_numpy(bags).requires_grad_(self._rows is not None)
            with torch.set_grad_enabled(not self.frozen):
                embeddings = self.encoder.project(leaf)
            if self.frozen:
                embeddings.requires_grad_()  # see TorchStep
            self._embeddings = embeddings.detach().numpy()
        found = self.objective.loss_and_gradient(self._embeddings, labels, self._objective.values)
        if found is None:
            if embeddings is None:
                leaf = embeddings = torch.from_numpy(bags).requires_grad_(not self.frozen)
            loss = self.objective(embeddings, torch.from_numpy(labels))
            loss.backward()
            found = Gradients(loss.item(), bags, self._objective.taken())
        elif embeddings is not None and not self.frozen:
            torch.autograd.backward(embeddings, torch.from_numpy(found.embeddings))
        self._objective.step(found.parameters, lr)
        self._projection.step(self._projection.taken(), lr)
        if self._rows is None:
            return None, found.loss
        if leaf is None:
            return found.embeddings, found.loss
        return None if leaf.grad is None else leaf.grad.numpy(), found.loss


class _Optimizer:
    """The rule and the step count of an optimiser; the updates are :func:`.kernels.update_rows`."""

    def __init__(self, name: str) -> None:
        if name not in _RULES:
            raise unknown_name("optimizer", name, _RULES)
        self._rule = _RULES[name]
        self._steps = 0

    def _moments(self, values: Floats) -> tuple[Floats, Floats]:
        """Zeros for the moments that the rule keeps; empty for the others."""
        first, second = (
            np.zeros_like(values)
            if place < _MOMENTS[self._rule]
            else np.empty((0, 0), values.dtype)
            for place in range(2)
        )
        return first, second

    def _corrections(self) -> tuple[float, float]:
        """What corrects the bias of Adam's moments in the next step; 1 and 1 for the others.

        Of the first moment m and the root of the second, √v: m / (1 − .9ᵗ), √v / √(1 − .999ᵗ).
        """
        self._steps += 1
        if self._rule != kernels.ADAM:
            return 1.0, 1.0
        return float(1 - 0.9**self._steps), float((1 - 0.999**self._steps) ** 0.5)


class _Dense(_Optimizer):
    """Updates whole parameters from their gradients."""

    def __init__(self, parameters: Iterable[Tensor], name: str) -> None:
        super().__init__(name)
        self._row = np.zeros(1, dtype=np.int32)  # a parameter is one row, whatever its shape
        self._parameters = list(parameters)
        self.values: list[Floats] = [parameter.detach().numpy() for parameter in self._parameters]
        self._state: list[tuple[Floats, Floats, Floats]] = []
        for parameter in self._parameters:
            values: Floats = parameter.detach().view(1, -1).numpy()
            self._state.append((values, *self._moments(values)))

    def taken(self) -> list[Floats | None]:
        """The gradient that autograd left in each parameter, which is then gone from there."""
        gradients = [parameter.grad for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.grad = None
        return [None if found is None else found.numpy() for found in gradients]

    def step(self, gradients: Sequence[Floats | None], lr: float) -> None:
        """One update; the gradients, one a parameter, are used up. None: it has none."""
        of_first, of_root = self._corrections()
        lr, eps = lr * of_root / of_first, _EPS[self._rule] * of_root
        for (values, first, second), gradient in zip(self._state, gradients, strict=True):
            if gradient is not None:
                slope = np.ascontiguousarray(gradient).reshape(1, -1)
                kernels.update_rows(self._rule, values, first, second, self._row, 1, slope, lr, eps)


class _Rows(_Optimizer):
    """Updates the token vectors that a batch touches, from the gradient of its bags."""

    def __init__(self, weight: Floats, name: str) -> None:
        super().__init__(name)
        self._weight = weight
        self._first, self._second = self._moments(weight)
        self._numbers = np.full(len(weight), -1, dtype=np.int32)
        self._count = 0
        self._of_position = np.empty(0, dtype=np.int32)
        self.make_room(0)

    def make_room(self, longest_batch: int) -> None:
        """Meet at least this many tokens at once from now on."""
        longest_batch = max(longest_batch, len(self._of_position))
        different = min(len(self._weight), longest_batch)
        self._of_position = np.empty(longest_batch, dtype=np.int32)
        self._touched = np.empty(different + 1, dtype=np.int32)
        self._sums = np.zeros((different, self._weight.shape[1]), dtype=self._weight.dtype)

    def meet(self, ids: Int32, offsets: Int64, rows: Int64) -> None:
        """Number the tokens of the texts ``rows`` (B,), and prefetch their vectors."""
        self._count = kernels.number_tokens(
            ids,
            offsets,
            rows,
            self._numbers,
            self._of_position,
            self._touched,
            self._weight,
            self._first,
            self._second,
        )

    def step(self, offsets: Int64, rows: Int64, gradient: Floats, lr: float) -> None:
        """One update from the gradient (B, d) of the loss by the bags of the texts just met."""
        of_first, of_root = self._corrections()
        kernels.row_gradients(offsets, rows, self._of_position, gradient, self._sums)
        kernels.update_rows(
            self._rule,
            self._weight,
            self._first,
            self._second,
            self._touched,
            self._count,
            self._sums,
            lr * of_root / of_first,
            _EPS[self._rule],  # SparseAdam does not correct the root to which it adds eps
        )

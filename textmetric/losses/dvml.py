"""Deep variational metric learning: a tuple loss on embeddings with learnt noise added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from textmetric.losses.n_pair import NPair, NPairParameters
from textmetric.losses.objective import Objective, parameter
from textmetric.losses.triplet import Triplet, TripletParameters
from textmetric.sampling.streams import Stream, seed_of
from textmetric.schema import Section


class DVMLParameters(Section):
    """Parameters of deep variational metric learning."""

    base: Literal["triplet", "n_pair"] = parameter(
        "triplet", "the tuple loss L, with its own defaults", paper="several"
    )
    samples: int = parameter(
        10, "T, how often the variation of a row is drawn in a step", paper="20", ge=1
    )
    hidden: int = parameter(
        0, "width of the decoder's hidden layer; 0: twice that of the embeddings", ge=0, le=1 << 14
    )
    first_phase: float = parameter(
        0.25,
        "share of the epochs, rounded down to whole ones, in which the decoder learns by itself",
        ge=0,
        le=1,
    )


class Phase(NamedTuple):
    """The weights of the four terms, and whether the decoder's loss reaches the embedding."""

    divergence: float
    reconstruction: float
    varied: float
    invariant: float
    joint: bool


TERMS = ("divergence", "reconstruction", "varied", "invariant")
FIRST = Phase(1, 1, 0.1, 1, joint=False)
SECOND = Phase(0.8, 1, 0.2, 0.8, joint=True)


class DVML(Objective):
    """``λ1 KL(N(μ, σ²) ‖ N(0, 1)) + λ2 ‖e − dec(z)‖² + λ3 L(z) + λ4 L(e)``.

    The variation inside a class, ``z_V = μ(e) + σ(e)·ε`` with ε drawn from N(0, 1), is added to
    the embedding e, the part that does not vary: ``z = e + z_V``. KL and the squared error are
    sums over the dimensions and means over the rows; the terms with z are means over T draws. μ
    and log σ² are linear, the decoder has two layers with a tanh between them. L is the objective
    ``base``. In the first phase λ = (1, 1, 0.1, 1) and no gradient flows from the decoder to z;
    after it λ = (0.8, 1, 0.2, 0.8) and everything learns together. Lin, Duan, Dong, Lu & Zhou,
    "Deep Variational Metric Learning", ECCV 2018.

    Batch: two classes, one of them with two rows; otherwise L is 0 and the other terms remain.

    Deviations: our default T is 10, the paper's is 20. On docstrings they give a MAP@R of
    0.667 ± 0.009 and 0.668 ± 0.004, and 10 takes half the time. The paper has features h of a
    deep network, from which e, μ, log σ² and the target of the decoder come. This encoder has
    nothing between its input and the embedding, so h is e, and the decoder's target is e without
    a gradient: otherwise the embedding would shrink to be easy to reconstruct.

    Log: what the base logs for e, and ``divergence``, ``reconstruction``, ``varied`` and
    ``invariant``, the four terms before their weights.
    """

    Params = DVMLParameters
    params: DVMLParameters

    def __init__(self, params: DVMLParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.generator = torch.Generator().manual_seed(seed_of(seed, Stream.OBJECTIVE))
        self.base: Triplet | NPair
        if params.base == "triplet":
            self.base = Triplet(TripletParameters(), dim=dim, classes=classes)
            self.base.generator = self.generator
        else:
            self.base = NPair(NPairParameters(), dim=dim, classes=classes)
        hidden = params.hidden or 2 * dim
        self.mean = nn.Linear(dim, dim)
        self.log_variance = nn.Linear(dim, dim)
        self.decoder = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, dim))
        self.phase = FIRST

    def begin_epoch(
        self, epoch: int, epochs: int, embed: Callable[[], npt.NDArray[np.float32]]
    ) -> None:
        """See ``Objective.begin_epoch``; chooses the phase."""
        self.phase = FIRST if epoch <= self.params.first_phase * epochs else SECOND

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        phase, rows = self.phase, embeddings
        mean, log_variance = self.mean(rows), self.log_variance(rows)
        deviation = (log_variance / 2).exp()
        varied = rows + mean + deviation * self._noise(rows)
        of_varied: Tensor = _MeanOverDraws.apply(varied, labels, self.base)  # type: ignore[no-untyped-call]
        invariant = self.base(rows, labels)
        divergence = (mean.square() + deviation.square() - 1 - log_variance).sum(1).mean() / 2
        decoded = self.decoder(varied if phase.joint else varied.detach())
        reconstruction = (rows.detach() - decoded).square().sum(2).mean()
        terms = [divergence, reconstruction, of_varied, invariant]
        # The last call of the base was for e, so its log is that of e.
        self.log = self.base.log | {n: x.detach() for n, x in zip(TERMS, terms, strict=True)}
        loss: Tensor = sum(weight * term for weight, term in zip(phase[:4], terms, strict=True))
        return loss

    def _noise(self, rows: Tensor) -> Tensor:
        # Always in single precision, so that the draws are the same for all types of embeddings.
        return torch.randn(self.params.samples, *rows.shape, generator=self.generator).to(rows)


class _MeanOverDraws(torch.autograd.Function):
    """The mean of a base loss over the T draws (T, B, d) of a batch.

    The gradient of each draw is computed right after its loss. Plain autograd would keep some
    (B, B) matrices of all T draws until the backward pass: twice the memory at T = 10.
    """

    @staticmethod
    def forward(ctx: Any, draws: Tensor, labels: Tensor, base: Objective) -> Tensor:
        losses, gradients = list[Tensor](), list[Tensor]()
        for draw in draws:
            with torch.enable_grad():
                rows = draw.detach().requires_grad_()
                loss = base(rows, labels)
                gradients += torch.autograd.grad(loss, rows)
            losses.append(loss.detach())
        ctx.save_for_backward(torch.stack(gradients))
        return torch.stack(losses).mean()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * (slope / len(gradients)), None, None

"""Deep variational metric learning: a tuple loss on embeddings with learnt noise added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from textmetric.losses.n_pair import NPair, NPairParameters
from textmetric.losses.objective import Floats, Gradients, Objective, Parameters
from textmetric.losses.triplet import Triplet, TripletParameters

MOST_PAIRS = 2**20
"""Of how many pairs of rows autograd keeps the losses at once: those of one batch, or these."""


class DVMLParameters(Parameters):
    """Parameters of deep variational metric learning.

    Attributes:
        base: The tuple loss L, with its own defaults: ``triplet`` or ``n_pair``.
        samples: T, how often the variation of a row is drawn; at least 1.
        hidden: Width of the decoder's hidden layer; 0 takes twice the embeddings'.
        first_phase: Share of the epochs, rounded down to whole ones, in which the decoder learns
            by itself.
    """

    base: Literal["triplet", "n_pair"] = "triplet"
    samples: int = Field(default=10, ge=1)
    hidden: int = Field(default=0, ge=0)
    first_phase: float = Field(default=0.25, ge=0, le=1)


class Phase(NamedTuple):
    """The weights of the four terms, and whether the decoder's loss reaches the rest."""

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
    the embedding e, the part that does not vary: ``z = e + z_V``. KL and the squared error are sums
    over the dimensions and means over the rows; the terms with z are means over T draws. μ and
    log σ² are linear, the decoder has two layers with a tanh between them. L is ``triplet`` or
    ``n_pair``, as this registry has it. Lin, Duan, Dong, Lu & Zhou, ECCV 2018, "Deep Variational
    Metric Learning".

    In the first quarter of the epochs λ = (1, 1, 0.1, 1) and the decoder sees z without a gradient
    to it, then λ = (0.8, 1, 0.2, 0.8) and everything learns together. T = 20, as in the paper.

    Deviations: the paper has features h of a deep network, from which e, μ, log σ² and the target
    of the decoder come. This encoder has nothing between its input and the embedding, so h is e,
    and the decoder's target is e without a gradient: the embedding would otherwise come to the
    decoder by shrinking.

    The batch must hold two classes, one of them with two rows, for L to have something to compare;
    else L is 0 and the other terms remain.

    Neighbours: with λ1 = λ2 = λ3 = 0 it is its base. The noise makes a wide margin of it: a
    class has to be apart from others by more than what varies inside of it.

    ``log`` holds what the base logs for e, and ``divergence``, ``reconstruction``, ``varied`` and
    ``invariant``, the four terms before their weights.
    """

    Params = DVMLParameters

    def __init__(self, params: DVMLParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params
        self.generator = torch.Generator().manual_seed(seed)
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
        of_varied = _mean_over_versions(varied, labels, self.base)
        invariant = _mean_over_versions(rows[None], labels, self.base)
        divergence = (mean.square() + deviation.square() - 1 - log_variance).sum(1).mean() / 2
        decoded = self.decoder(varied if phase.joint else varied.detach())
        reconstruction = (rows.detach() - decoded).square().sum(2).mean()
        terms = [divergence, reconstruction, of_varied, invariant]
        # The base has just seen e: its log is still that of e.
        self.log = self.base.log | {n: x.detach() for n, x in zip(TERMS, terms, strict=True)}
        loss: Tensor = sum(weight * term for weight, term in zip(phase[:4], terms, strict=True))
        return loss

    def loss_and_gradient(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Floats]
    ) -> Gradients:
        """See ``Objective.loss_and_gradient``."""
        with torch.no_grad():
            return self._closed_form(embeddings, labels, [torch.from_numpy(p) for p in parameters])

    def _closed_form(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Tensor]
    ) -> Gradients:
        """``forward`` and the chain rule; T draws are T · B rows of one matrix product."""
        of_mean, mean_bias, of_log_variance, log_variance_bias = parameters[:4]
        into, into_bias, out_of, out_bias = parameters[4:]
        phase, rows, (size, dim) = self.phase, torch.from_numpy(embeddings), embeddings.shape
        samples = self.params.samples
        noise = self._noise(rows)
        mean = torch.addmm(mean_bias, rows, of_mean.T)
        log_variance = torch.addmm(log_variance_bias, rows, of_log_variance.T)
        deviation = (log_variance / 2).exp()
        variance = deviation.square()
        varied = (noise * deviation).add_(rows + mean)
        flat = varied.view(-1, dim)

        hidden = torch.addmm(into_bias, flat, into.T)
        # numpy's tanh, which is a tenth of torch's time
        np.tanh(hidden.numpy(), out=hidden.numpy())
        error = torch.addmm(out_bias, hidden, out_of.T).view_as(varied).sub_(rows)
        divergence = (mean.square() + variance - 1 - log_variance).sum() / (2 * size)
        reconstruction = error.square().sum() / (samples * size)
        losses, of_varied = self.base.of_versions(varied.numpy(), labels)
        invariant = self.base.loss_and_gradient(embeddings, labels, [])
        terms = [divergence.item(), reconstruction.item(), float(losses.mean()), invariant.loss]
        self.log = self.base.log | dict(zip(TERMS, terms, strict=True))

        error = error.view(-1, dim).mul_(2 * phase.reconstruction / (samples * size))
        by_out_of, by_hidden = error.T @ hidden, error @ out_of
        by_hidden.addcmul_(by_hidden, hidden.square_(), value=-1)  # tanh′ = 1 − tanh²
        by_varied = torch.from_numpy(of_varied).mul_(phase.varied / samples)
        if phase.joint:
            by_varied.view(-1, dim).addmm_(by_hidden, into)
        by_sum = by_varied.sum(0)
        by_mean = by_sum + mean * (phase.divergence / size)
        by_log_variance = by_varied.mul_(noise).sum(0).mul_(deviation / 2)
        by_log_variance += (variance - 1) * (phase.divergence / (2 * size))
        by_rows = torch.from_numpy(invariant.embeddings) * phase.invariant + by_sum
        by_rows += by_mean @ of_mean + by_log_variance @ of_log_variance
        gradients = [
            *(by_mean.T @ rows, by_mean.sum(0)),
            *(by_log_variance.T @ rows, by_log_variance.sum(0)),
            *(by_hidden.T @ flat, by_hidden.sum(0)),
            *(by_out_of, error.sum(0)),
        ]
        loss = sum(weight * term for weight, term in zip(phase[:4], terms, strict=True))
        return Gradients(loss, by_rows.numpy(), [gradient.numpy() for gradient in gradients])

    def _noise(self, rows: Tensor) -> Tensor:
        # In single precision whatever the embeddings are, so that the draws are the same.
        return torch.randn(self.params.samples, *rows.shape, generator=self.generator).to(rows)


def _mean_over_versions(versions: Tensor, labels: Tensor, objective: Objective) -> Tensor:
    mean: Tensor = _MeanOverVersions.apply(versions, labels, objective)  # type: ignore[no-untyped-call]
    return mean


class _MeanOverVersions(torch.autograd.Function):
    """The mean of an objective without weights over T versions (T, B, d) of a batch.

    The gradients are taken as soon as the losses of some versions are known: autograd would keep
    what each of the T needs for its gradient, some (B, B) matrices, until the last one is done.
    """

    @staticmethod
    def forward(ctx: Any, versions: Tensor, labels: Tensor, objective: Objective) -> Tensor:
        losses, gradients = list[Tensor](), list[Tensor]()
        for part in torch.split(versions, max(1, MOST_PAIRS // max(len(labels), 1) ** 2)):
            with torch.enable_grad():
                rows = part.detach().requires_grad_()
                found = torch.stack([objective(version, labels) for version in rows])
                gradients += torch.autograd.grad(found.sum(), rows)
            losses.append(found.detach())
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses).mean()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * (slope / len(gradients)), None, None

"""Deep variational metric learning: a tuple loss on embeddings with learnt noise added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from textmetric.losses.n_pair import NPair, NPairParameters
from textmetric.losses.objective import Floats, Gradients, Objective, Parameters
from textmetric.losses.triplet import Triplet, TripletParameters


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
    samples: int = Field(default=20, ge=1)
    hidden: int = Field(default=0, ge=0)
    first_phase: float = Field(default=0.25, ge=0, le=1)


class Phase(NamedTuple):
    """The weights of the four terms, and whether the decoder's loss reaches the rest."""

    divergence: float
    reconstruction: float
    varied: float
    invariant: float
    joint: bool


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
        self.base: Objective
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
        varied, loss, log = self._variation(embeddings)
        losses = torch.stack([self.base(each, labels) for each in varied]).mean()
        invariant = self.base(embeddings, labels)
        self._note(log, losses.detach(), invariant.detach())
        total: Tensor = loss + self.phase.varied * losses + self.phase.invariant * invariant
        return total

    def loss_and_gradient(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Floats]
    ) -> Gradients | None:
        """See ``Objective.loss_and_gradient``: autograd but for the base, asked T + 1 times."""
        if self.params.base != "triplet":
            return None
        rows = torch.from_numpy(embeddings).requires_grad_()
        varied, loss, log = self._variation(rows)
        found = [self.base.loss_and_gradient(each.numpy(), labels, []) for each in varied.detach()]
        last = self.base.loss_and_gradient(embeddings, labels, [])
        assert last is not None
        of_varied = np.stack([each.embeddings for each in found if each is not None])
        losses = float(np.mean([each.loss for each in found if each is not None]))
        self._note(log, torch.tensor(losses), torch.tensor(last.loss))
        learnt = list(self.parameters())
        gradients = torch.autograd.grad(
            [loss, varied, rows],
            [rows, *learnt],
            [
                torch.ones_like(loss),
                torch.from_numpy(of_varied) * (self.phase.varied / len(varied)),
                torch.from_numpy(last.embeddings) * self.phase.invariant,
            ],
        )
        total = loss.item() + self.phase.varied * losses + self.phase.invariant * last.loss
        return Gradients(
            total, gradients[0].numpy(), [gradient.numpy() for gradient in gradients[1:]]
        )

    def _variation(self, embeddings: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Gives z (T, B, d), the weighted sum of the two terms without L, and these for the log."""
        mean, log_variance = self.mean(embeddings), self.log_variance(embeddings)
        # In single precision whatever the embeddings are, so that the draws are the same.
        noise = torch.randn(self.params.samples, *embeddings.shape, generator=self.generator)
        deviation = (log_variance / 2).exp()
        varied = embeddings + mean + deviation * noise.to(embeddings)
        divergence = (mean.square() + deviation.square() - 1 - log_variance).sum(1).mean() / 2
        decoded = self.decoder(varied if self.phase.joint else varied.detach())
        reconstruction = (embeddings.detach() - decoded).square().sum(2).mean()
        loss = self.phase.divergence * divergence + self.phase.reconstruction * reconstruction
        log = {"divergence": divergence.detach(), "reconstruction": reconstruction.detach()}
        return varied, loss, log

    def _note(self, log: dict[str, Tensor], varied: Tensor, invariant: Tensor) -> None:
        """To be called when the base has just seen e, whose log it still holds."""
        kept = {name: torch.as_tensor(value) for name, value in self.base.log.items()}
        self.log = {**kept, **log, "varied": varied, "invariant": invariant}

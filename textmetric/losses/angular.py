"""The angular loss: the angle at the negative of a triplet is bounded."""

from __future__ import annotations

import math

import torch

from textmetric.losses.distances import mean_distances, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.n_pair import NPair, NPairParameters
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class AngularParameters(Section):
    """Parameters of the angular loss."""

    angle: float = parameter(
        45.0, "α, the bound in degrees; larger is harder", paper="36 to 55", gt=0, le=60
    )
    n_pair: float = parameter(
        0.0, "weight of an added ``n_pair`` term; 0 leaves it out", paper="0.5", ge=0
    )


class Angular(Objective):
    """``log(1 + Σ_n exp(4 t (x_a + x_p)·x_n − 2 (1 + t) x_a·x_p))``, averaged over the pairs.

    t = tan² α, x are the unit vectors of the rows, anchor a and positive p are different rows of
    one class, n are the rows of other classes. In the triangle of a, p and n, the angle at n
    should stay below α. An angle, unlike a margin, does not depend on the scale of the triangle.
    Wang, Zhou, Wen, Liu & Lin, "Deep Metric Learning with Angular Loss", ICCV 2017
    (arXiv 1708.01682).

    Batch: two classes, one of them with two rows; otherwise the loss is 0.

    Deviations: the paper draws batches of one pair a class; we take every pair of the batch (see
    ``n_pair``). The paper adds the two losses as ``L_n_pair + λ L_angular`` with λ = 2. Here the
    weight is on the other term, ``L_angular + n_pair · L_n_pair``, so ``n_pair: 0.5`` is half of
    the paper's sum: the same objective at half the step. The added term is ``n_pair`` with its
    defaults, on embeddings that are not normalised, because the angular term cannot see their
    lengths. Angles above 60° are refused: the exponentials would leave the range of single
    precision.

    Log: ``active_fraction`` (share of the pairs whose negatives together outweigh the positive,
    that is, with a loss above log 2; the loss itself is never quite 0), ``positive_distance`` and
    ``negative_distance`` of the unit vectors.
    """

    Params = AngularParameters
    params: AngularParameters

    def __init__(self, params: AngularParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.n_pair = NPair(NPairParameters(), dim=dim, classes=classes, seed=seed)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        slope = math.tan(math.radians(self.params.angle)) ** 2
        rows = unit(embeddings)
        cosines = rows @ rows.T
        positive, negative = pair_masks(labels)
        # exp(4t (a + p)·n) = exp(4t a·n) exp(4t p·n), and a and p have the same negatives: the
        # sum over n is a matrix product, where the plain loop takes B³ exponentials. With t ≤ 3
        # and cosines in ±1 nothing here is above e³² B or below e⁻³².
        pushed = torch.exp(4 * slope * cosines) * negative
        losses = torch.log1p(pushed @ pushed.T * torch.exp(-2 * (1 + slope) * cosines))
        with torch.no_grad():
            pairs = positive & negative.any(1, keepdim=True)
            count = pairs.sum()
            self.log = {
                "active_fraction": ((losses > math.log(2)) & pairs).sum() / count,
                **mean_distances(rows, labels),
            }
        loss = (losses * pairs).sum() / count.clamp_min(1)
        if self.params.n_pair:
            loss = loss + self.params.n_pair * self.n_pair(embeddings, labels)
        return loss

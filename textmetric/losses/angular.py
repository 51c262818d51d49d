"""The angular loss: the angle at the negative of a triplet is bounded."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from textmetric.losses.distances import mean_distances, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.n_pair import NPair, NPairParameters
from textmetric.losses.objective import Objective, Parameters


class AngularParameters(Parameters):
    """Parameters of the angular loss.

    Attributes:
        angle: The bound α in degrees; above 0 and at most 60. Larger is harder.
        n_pair: Weight of an added ``n_pair`` term; at least 0, 0 leaves it out.
    """

    angle: float = Field(default=45.0, gt=0, le=60)
    n_pair: float = Field(default=0.0, ge=0)


class Angular(Objective):
    """``log(1 + Σ_n exp(4 t (x_a + x_p)·x_n − 2 (1 + t) x_a·x_p))``, averaged over the pairs.

    t = tan² α, x are the unit vectors of the rows, anchor a and positive p are different rows of
    one class, n are the rows of other classes. Wang, Zhou, Wen, Liu & Lin, ICCV 2017 (arXiv
    1708.01682): of the triangle of a, p and n, the angle at n should stay below α, which, unlike a
    margin, does not depend on the scale of the triangle. α is 45° by default, and 36 to 55 in the
    paper; above 60 the exponentials would leave single precision.

    Deviations: the paper draws batches of one pair a class, ours takes every pair of the batch
    (see ``n_pair``). The paper joins the two as ``L_n_pair + λ L_angular``; here the weight stands
    on the other term, ``L_angular + n_pair · L_n_pair``, so that ``n_pair: 0.5`` is half of the
    paper's with λ = 2. The added term is the objective ``n_pair`` with its defaults, on the
    embeddings as they are: the angular term cannot see their lengths.

    The batch must hold two classes, one of them with two rows, else the loss is 0.

    Neighbours: ``n_pair`` compares products of the anchor alone; ``triplet`` with ``cosine``
    bounds a difference of distances.

    ``log`` holds ``active_fraction`` (share of the pairs whose negatives together outweigh the
    positive, that is with a loss above log 2: the loss itself is never quite 0), and
    ``positive_distance`` and ``negative_distance``, the mean Euclidean distance of same-class and
    different-class pairs of unit vectors.
    """

    Params = AngularParameters

    def __init__(self, params: AngularParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params
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
            divisor = count.clamp_min(1)
            self.log = {
                "active_fraction": ((losses > math.log(2)) & pairs).sum() / count,
                **mean_distances(rows, labels),
            }
        loss = (losses * pairs).sum() / divisor
        if self.params.n_pair:
            loss = loss + self.params.n_pair * self.n_pair(embeddings, labels)
        return loss

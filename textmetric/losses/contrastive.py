"""The contrastive loss: pairs of one class together, pairs of two classes a margin apart."""

from __future__ import annotations

import torch
from pydantic import Field

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters


class ContrastiveParameters(Parameters):
    """Parameters of the contrastive loss.

    Attributes:
        margin: Distance from which on a pair of two classes costs nothing; above 0.
        power: 1, distances as they are, or 2, half of their squares.
        balanced: Same-class and different-class pairs weigh half each, however many there are
            of either; else every pair weighs the same.
        normalize: Put the embeddings on the unit sphere first.
    """

    margin: float = Field(default=1.0, gt=0)
    power: int = Field(default=1, ge=1, le=2)
    balanced: bool = False
    normalize: bool = False


class Contrastive(Objective):
    """``z·D + (1 − z)·max(0, m − D)``, averaged over all pairs of different rows of the batch.

    z is 1 for a pair of one class and 0 else, D the Euclidean distance. After Chopra, Hadsell &
    LeCun, CVPR 2005; with ``power: 2``, ``z·½D² + (1 − z)·½ max(0, m − D)²``, it is the form of
    Hadsell, Chopra & LeCun, CVPR 2006. The papers train on pairs drawn beforehand; ours takes all
    pairs of the batch, and as a mean instead of a sum. The default power is that of the surveys:
    its pull does not fade as a pair draws near.

    The batch must hold two rows. Without same-class pairs the loss only pushes, without
    different-class pairs it only pulls, and then one point is its minimum. In a balanced batch of
    many classes few pairs are of one class (3 of 63 with 16 classes of 4 rows): ``balanced``
    makes up for that.

    Neighbours: ``triplet`` compares the two distances of an anchor, this one compares each with a
    fixed number; ``ranked_list`` leaves same-class pairs in peace once they are near enough.

    ``log`` holds ``active_fraction`` (share of the pairs with non-zero loss), and
    ``positive_distance`` and ``negative_distance``, the mean distance of same-class and
    different-class pairs.
    """

    Params = ContrastiveParameters

    def __init__(
        self, params: ContrastiveParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        if params.normalize:
            embeddings = unit(embeddings)
        distances = pairwise(embeddings)
        missing = torch.relu(params.margin - distances)
        pull, push = distances, missing
        if params.power == 2:
            pull, push = 0.5 * distances.square(), 0.5 * missing.square()
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            positives, negatives = positive.sum(), negative.sum()
            pairs = positives + negatives
            pulls, pushes = (2 * positives, 2 * negatives) if params.balanced else (pairs, pairs)
            pull_weight = positive.to(distances.dtype) / pulls.clamp_min(1)
            push_weight = negative.to(distances.dtype) / pushes.clamp_min(1)
            active = positive & (distances > 0) | negative & (missing > 0)
            self.log = {
                "active_fraction": active.sum() / pairs,
                **mean_of_pairs(distances, positive, negative),
            }
        return (pull * pull_weight + push * push_weight).sum()

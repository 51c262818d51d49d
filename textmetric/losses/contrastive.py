"""The contrastive loss: pull pairs of one class together, push pairs of two classes apart."""

from __future__ import annotations

import torch

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class ContrastiveParameters(Section):
    """Parameters of the contrastive loss."""

    margin: float = parameter(
        1.0, "distance from which on a pair of two classes costs nothing", gt=0
    )
    power: int = parameter(
        1,
        "1: distances; 2: half of their squares, whose pull and push fade near the goal",
        paper="2 (2006)",
        ge=1,
        le=2,
    )
    balanced: bool = parameter(
        False,
        "``true``: same-class pairs and different-class pairs weigh half each, whatever their "
        "numbers; ``false``: every pair weighs the same",
    )
    normalize: bool = parameter(False, "unit vectors first; distances are then at most 2")


class Contrastive(Objective):
    """``z·D + (1 − z)·max(0, m − D)``, averaged over all pairs of different rows of the batch.

    z is 1 for a pair of one class and 0 otherwise, D is the Euclidean distance, m the ``margin``.
    With ``power: 2`` it is ``z·½D² + (1 − z)·½ max(0, m − D)²``. Chopra, Hadsell & LeCun, CVPR
    2005; the squared form is that of Hadsell, Chopra & LeCun, CVPR 2006.

    Batch: two rows. Without same-class pairs the loss only pushes, without different-class pairs
    it only pulls, and a single point is its minimum. In a balanced batch of many classes few
    pairs are of one class (3 of 63 with 16 classes of 4 rows): ``balanced`` makes up for that.

    Deviations: the papers train on pairs drawn before training; we take all pairs of the batch,
    and their mean instead of the sum. Our default power is that of the surveys: its pull does not
    fade as a pair gets close.

    Log: ``active_fraction`` (share of the pairs with non-zero loss), ``positive_distance`` and
    ``negative_distance``.
    """

    Params = ContrastiveParameters
    params: ContrastiveParameters

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

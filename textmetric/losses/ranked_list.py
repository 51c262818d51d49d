"""The ranked list loss: a sphere for every class, and a gap around it."""

from __future__ import annotations

import torch
from pydantic import Field

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters


class RankedListParameters(Parameters):
    """Parameters of the ranked list loss.

    Attributes:
        boundary: α, the distance from which on a row of another class costs nothing; above 0.
        margin: m, how much nearer than that a row of the same class has to be; at least 0. With
            ``margin`` ≥ ``boundary`` same-class rows are pulled into one point.
        negative_temperature: T_n, how much more the nearer of the negatives count; at least 0,
            0 weighs them alike.
        push_weight: λ, the weight of the negatives, and 1 − λ that of the positives; 0 to 1.
        normalize: Put the embeddings on the unit sphere first, as the paper does.
    """

    boundary: float = Field(default=1.2, gt=0)
    margin: float = Field(default=0.4, ge=0)
    negative_temperature: float = Field(default=10.0, ge=0)
    push_weight: float = Field(default=0.5, ge=0, le=1)
    normalize: bool = True


class RankedList(Objective):
    """``(1 − λ) L_P + λ L_N``, averaged over all rows of the batch, each as a query.

    ``L_P`` is the mean of ``D − (α − m)`` over the rows p of the query's class that are farther
    than that, ``D > α − m``; ``L_N`` the weighted mean of ``α − D`` over the rows of other classes
    that are nearer than α, with weights ``w = exp(T_n (α − D))``, which pass no gradient; either is
    0 where there is no such row. D is the Euclidean distance of unit vectors. Wang, Hua, Kodirov,
    Hu, Garnier & Robertson, CVPR 2019 (arXiv 1903.03238). Defaults α = 1.2, m = 0.4, T_n = 10 and
    λ = 0.5; the weights are computed as a softmax, so no T_n overflows.

    Two traps of other versions are avoided. With the gradient let through the weights, an update
    trades weight between negatives instead of pushing the near ones. And pairs at distance exactly
    0 belong to the negatives within α: where they are dropped, a model that has collapsed to one
    point scores 0 instead of λ α.

    The batch must hold two rows. Without same-class pairs the loss only pushes, without
    different-class pairs it only pulls.

    Neighbours: ``contrastive`` pulls same-class pairs into one point and weighs all negatives
    alike; ``multi_similarity`` weighs both sides smoothly.

    ``log`` holds ``active_fraction`` (share of the pairs that are not in place: positives farther
    than α − m and negatives nearer than α), and ``positive_distance`` and ``negative_distance``,
    the mean distance of same-class and different-class pairs.
    """

    Params = RankedListParameters

    def __init__(
        self, params: RankedListParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        if params.normalize:
            embeddings = unit(embeddings)
        distances = pairwise(embeddings)
        far = distances - max(params.boundary - params.margin, 0.0)
        near = params.boundary - distances
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            misplaced_positive = positive & (far > 0)
            misplaced_negative = negative & (near > 0)
            # A row without misplaced rows gets weights that only meet zeros.
            outside = torch.finfo(distances.dtype).min
            exponents = (params.negative_temperature * near).masked_fill(
                ~misplaced_negative, outside
            )
            push_weight = torch.softmax(exponents, dim=1) * misplaced_negative * params.push_weight
            pull_weight = misplaced_positive.to(distances.dtype) * (1 - params.push_weight)
            pull_weight = pull_weight / misplaced_positive.sum(1, keepdim=True).clamp_min(1)
            self.log = {
                "active_fraction": (misplaced_positive.sum() + misplaced_negative.sum())
                / (positive.sum() + negative.sum()),
                **mean_of_pairs(distances, positive, negative),
            }
        return (far * pull_weight + near * push_weight).sum() / max(len(labels), 1)

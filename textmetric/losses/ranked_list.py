"""The ranked list loss: a sphere for every class, and a gap around it."""

from __future__ import annotations

import torch

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class RankedListParameters(Section):
    """Parameters of the ranked list loss."""

    boundary: float = parameter(
        1.2,
        "α, the distance from which on a row of another class costs nothing",
        paper="1.2",
        gt=0,
    )
    margin: float = parameter(
        0.4,
        "m; same-class rows are free within α − m. With m ≥ α they are pulled into one point.",
        paper="0.4",
        ge=0,
    )
    negative_temperature: float = parameter(
        10.0,
        "T_n, how much more the nearer negatives count; 0 weighs all alike",
        paper="10",
        ge=0,
    )
    push_weight: float = parameter(
        0.5,
        "λ, the weight of the negatives; the positives have 1 − λ",
        paper="0.5",
        ge=0,
        le=1,
    )
    normalize: bool = parameter(
        True,
        "unit vectors first; the default distances are made for them",
        paper="``true``",
    )


class RankedList(Objective):
    """``(1 − λ) L_P + λ L_N``, averaged over all rows of the batch, each as a query.

    ``L_P`` is the mean of ``D − (α − m)`` over the rows of the query's class that are farther
    than ``α − m``. ``L_N`` is the weighted mean of ``α − D`` over the rows of other classes that
    are nearer than α, with weights ``exp(T_n (α − D))`` that pass no gradient. Either is 0 where
    there is no such row. D is the Euclidean distance of unit vectors. Wang, Hua, Kodirov, Hu,
    Garnier & Robertson, "Ranked List Loss for Deep Metric Learning", CVPR 2019
    (arXiv 1903.03238).

    Two errors of other versions are avoided. If the gradient flows through the weights, an update
    trades weight between negatives instead of pushing the near ones away. And pairs at distance
    exactly 0 are among the negatives within α: where they are dropped, a model that has collapsed
    to one point scores 0 instead of λ α. The weights are computed as a softmax, so no T_n
    overflows.

    Batch: two rows. Without same-class pairs the loss only pushes, without different-class pairs
    it only pulls.

    Log: ``active_fraction`` (share of the pairs that are not in place: positives farther than
    α − m and negatives nearer than α), ``positive_distance`` and ``negative_distance``.
    """

    Params = RankedListParameters
    params: RankedListParameters

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
            # A row without misplaced negatives gets weights that are all multiplied by 0.
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

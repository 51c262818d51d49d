"""The supervised contrastive loss: a softmax over all other rows of the batch."""

from __future__ import annotations

import torch

from textmetric.losses.distances import log_sum_exp, mean_of_pairs, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class SupConParameters(Section):
    """Parameters of the supervised contrastive loss."""

    temperature: float = parameter(
        0.1,
        "τ; the lower, the more the most similar rows weigh",
        paper="0.1",
        gt=0,
    )


class SupCon(Objective):
    """``−1/|P(i)| Σ_{p∈P(i)} log( exp(u_i·u_p/τ) / Σ_{a≠i} exp(u_i·u_a/τ) )``, mean over anchors.

    u are the unit vectors of the embeddings and P(i) the other rows of the class of row i. This
    is the paper's ``L_out``, with the mean over the positives outside of the logarithm: Khosla et
    al., "Supervised Contrastive Learning", NeurIPS 2020 (arXiv 2004.11362). The softmax itself
    weighs hard negatives and hard positives up, so there is no miner and no margin. The loss
    never reaches 0: rows with n positives each cannot have less than ``log n``.

    Batch: one class with two rows; otherwise the loss is 0. With one class alone the formula only
    asks that its rows are equally similar to each other, which teaches nothing: use the
    ``balanced`` sampler.

    Deviations: the paper makes two augmented views of each row, so that every anchor has a
    positive. Here one row is one view, and an anchor without a positive is left out of the mean.
    There is no projection head between the embedding and the loss.

    Log: ``positive_distance`` and ``negative_distance``, the means of 1 − cos.
    """

    Params = SupConParameters
    params: SupConParameters

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        rows = unit(embeddings)
        cosines = rows @ rows.T
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            positives = positive.sum(1, keepdim=True)
            anchors = positives > 0
            # The positives of an anchor share a weight of 1 / number of anchors. In the precision
            # of the cosines: a quotient of whole numbers would be in single.
            shares = positives.clamp_min(1) * anchors.sum().clamp_min(1)
            weight = positive.to(cosines.dtype) / shares
            self.log = {**mean_of_pairs(1 - cosines, positive, negative)}
        scores = cosines / self.params.temperature
        partition = log_sum_exp(scores, positive | negative)
        return ((partition[:, None] - scores) * weight).sum()

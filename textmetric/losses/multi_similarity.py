"""The multi-similarity loss: pairs mined and weighted by their cosines."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from textmetric.losses.distances import unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters


class MultiSimilarityParameters(Parameters):
    """Parameters of the multi-similarity loss.

    Attributes:
        positive_scale: α, how sharply the least similar positives are weighted up; above 0.
        negative_scale: β, how sharply the most similar negatives are weighted up; above 0.
        base: λ, the cosine that positives should exceed and negatives stay below; −1 … 1.
        mining: Leave out the pairs that are in order by more than ``epsilon``.
        epsilon: ε, in units of the cosine; at least 0.
    """

    positive_scale: float = Field(default=2.0, gt=0)
    negative_scale: float = Field(default=50.0, gt=0)
    base: float = Field(default=0.5, ge=-1, le=1)
    mining: bool = True
    epsilon: float = Field(default=0.1, ge=0)


class MultiSimilarity(Objective):
    """``1/α log(1 + Σ_P exp(−α(S_ip − λ))) + 1/β log(1 + Σ_N exp(β(S_in − λ)))``, mean over rows.

    S are the cosines of row i with the kept positives P (other rows of its class) and the kept
    negatives N. Mining keeps a positive if ``S_ip < max_n S_in + ε`` and a negative if
    ``S_in > min_p S_ip − ε``, so a row whose positives are all more similar than its negatives by
    ε or more adds 0, and so does a row without a positive or without a negative. Wang et al. 2019,
    "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning",
    arXiv 1904.06627 (CVPR). α = 2, β = 50, ε = 0.1 and the mean over all rows of the batch are the
    paper's; λ is 1 in the paper and 0.5 in the authors' code, as in ours.

    The batch must hold two classes, one of them with two rows, else the loss is 0. Without mining
    either half stands alone, so two rows are enough.

    Deviations: a row is left out of its own positives because it is itself, not because its cosine
    is nearly 1, as in the authors' code: there a duplicate is no positive, and a collapsed model
    that has only duplicates is not trained.

    Relations: ``sup_con`` weighs by one softmax over positives and negatives together and has no
    mining. ``lifted`` and ``n_pair`` weigh the negatives alone.

    ``log`` holds ``active_fraction`` (share of all pairs that the mining kept), and
    ``positive_distance`` and ``negative_distance``, the mean of 1 − cos over same-class and
    different-class pairs.
    """

    Params = MultiSimilarityParameters

    def __init__(
        self, params: MultiSimilarityParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        rows = unit(embeddings)
        cosines = rows @ rows.T
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            pairs = positive.sum() + negative.sum()
            self.log = {
                "positive_distance": 1 - (cosines * positive).sum() / positive.sum(),
                "negative_distance": 1 - (cosines * negative).sum() / negative.sum(),
            }
            if params.mining:
                farthest = cosines.masked_fill(~positive, math.inf).amin(1, keepdim=True)
                nearest = cosines.masked_fill(~negative, -math.inf).amax(1, keepdim=True)
                # Asked the other way round, so that NaN stays in and shows in the loss.
                positive &= ~(cosines - params.epsilon >= nearest)
                negative &= ~(cosines + params.epsilon <= farthest)
            self.log["active_fraction"] = (positive.sum() + negative.sum()) / pairs
        above = cosines - params.base
        attraction = _log_one_plus_sum(-params.positive_scale * above, positive)
        repulsion = _log_one_plus_sum(params.negative_scale * above, negative)
        return attraction / params.positive_scale + repulsion / params.negative_scale


def _log_one_plus_sum(exponents: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """Mean over the rows of ``log(1 + Σ exp)``, the sum over the ``pairs`` (B, B) of the row."""
    # No row is a pair with itself: the diagonal is free for the exponent of the 1.
    return exponents.masked_fill(~pairs, -math.inf).fill_diagonal_(0).logsumexp(1).mean()

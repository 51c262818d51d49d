"""The multi-similarity loss: pairs mined and weighted by their cosines."""

from __future__ import annotations

import math

import torch

from textmetric.losses.distances import mean_of_pairs, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class MultiSimilarityParameters(Section):
    """Parameters of the multi-similarity loss."""

    positive_scale: float = parameter(
        2.0, "α, how strongly the least similar positives are weighted up", paper="2", gt=0
    )
    negative_scale: float = parameter(
        50.0,
        "β, how strongly the most similar negatives are weighted up",
        paper="50 (authors' code: 40)",
        gt=0,
    )
    base: float = parameter(
        0.5,
        "λ, the cosine that positives should exceed and negatives stay below",
        paper="1 (authors' code: 0.5)",
        ge=-1,
        le=1,
    )
    mining: bool = parameter(
        True, "leave out pairs that are in order by more than ``epsilon``", paper="``true``"
    )
    epsilon: float = parameter(0.1, "ε, in units of the cosine", paper="0.1", ge=0)


class MultiSimilarity(Objective):
    """``1/α log(1 + Σ_P exp(−α(S_ip − λ))) + 1/β log(1 + Σ_N exp(β(S_in − λ)))``, mean over rows.

    S are the cosines of row i with the kept positives P (other rows of its class) and the kept
    negatives N. Mining keeps a positive if ``S_ip < max_n S_in + ε`` and a negative if
    ``S_in > min_p S_ip − ε``. A row whose positives are all more similar than its negatives by ε
    or more adds 0, and so does a row without a positive or without a negative. Wang, Han, Huang,
    Dong & Scott, "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning",
    CVPR 2019 (arXiv 1904.06627).

    Batch: two classes, one of them with two rows; otherwise the loss is 0. Without mining the two
    halves are independent, so two rows are enough.

    Deviations: a row is left out of its own positives because it is the same row. The authors'
    code leaves out all positives with a cosine above 1 − 10⁻⁵ instead: there duplicates are no
    pairs, and a collapsed model is not trained any more.

    Log: ``active_fraction`` (share of all pairs that the mining kept), ``positive_distance`` and
    ``negative_distance``, the means of 1 − cos.
    """

    Params = MultiSimilarityParameters
    params: MultiSimilarityParameters

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        rows = unit(embeddings)
        cosines = rows @ rows.T
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            pairs = positive.sum() + negative.sum()
            self.log = {**mean_of_pairs(1 - cosines, positive, negative)}
            if params.mining:
                farthest = cosines.masked_fill(~positive, math.inf).amin(1, keepdim=True)
                nearest = cosines.masked_fill(~negative, -math.inf).amax(1, keepdim=True)
                # Negated comparisons, so that NaN stays in and shows in the loss.
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

"""The lifted structured loss: a same-class pair against all negatives of both its rows."""

from __future__ import annotations

import torch

from textmetric.losses.distances import log_sum_exp, mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class LiftedParameters(Section):
    """Parameters of the lifted structured loss."""

    margin: float = parameter(1.0, "m, the distance to keep between classes", paper="1.0", ge=0)
    normalize: bool = parameter(False, "unit vectors first", paper="``false``")


class Lifted(Objective):
    """``1/(2|P|) Σ_P max(0, J(i,j))²`` over the same-class pairs P of the batch.

    ``J(i,j) = log(Σ_k exp(m − D(i,k)) + Σ_l exp(m − D(j,l))) + D(i,j)``, where k and l are the
    rows of other classes and D is the Euclidean distance. Song, Xiang, Jegelka & Savarese, "Deep
    Metric Learning via Lifted Structured Feature Embedding", CVPR 2016 (arXiv 1511.06452).

    J is a smooth maximum, so it grows with the logarithm of the number of negatives. In a batch
    of 4 classes × 16 rows, two equal rows have no loss when their 2 · 48 negatives are more than
    ``1 + log 96`` = 5.6 away. On unit vectors nothing is farther than 2, so with ``normalize:
    true`` the loss never gets to 0: with 4 classes in 4 points as far apart as possible it is
    still 7.7. It still ranks, on a fixed scale.

    Batch: two classes, one of them with two rows; otherwise the loss is 0.

    Deviations: none in the formula. The paper counts each pair once and we count it from both
    sides, which gives the same mean. The paper's batches are pairs with hard negatives added to
    them; ours come from the sampler.

    Log: ``active_fraction`` (share of the pairs with non-zero loss), ``positive_distance`` and
    ``negative_distance``.
    """

    Params = LiftedParameters
    params: LiftedParameters

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        if self.params.normalize:
            embeddings = unit(embeddings)
        distances = pairwise(embeddings)
        positive, negative = pair_masks(labels)
        reach = log_sum_exp(self.params.margin - distances, negative)
        hinges = torch.relu(torch.logaddexp(reach[:, None], reach) + distances)
        with torch.no_grad():
            pairs = positive & negative.any(1, keepdim=True)
            count = pairs.sum()
            self.log = {
                "active_fraction": ((hinges > 0) & pairs).sum() / count,
                **mean_of_pairs(distances, positive, negative),
            }
        return (hinges.square() * pairs).sum() / (2 * count.clamp_min(1))

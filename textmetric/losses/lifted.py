"""The lifted structured loss: a same-class pair against all negatives of both its rows."""

from __future__ import annotations

import torch
from pydantic import Field

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters


class LiftedParameters(Parameters):
    """Parameters of the lifted structured loss.

    Attributes:
        margin: Distance to keep between classes; at least 0.
        normalize: Put the embeddings on the unit sphere first.
    """

    margin: float = Field(default=1.0, ge=0)
    normalize: bool = False


class Lifted(Objective):
    """``1/(2|P|) Σ_P max(0, J(i,j))²`` over the same-class pairs P of the batch.

    ``J(i,j) = log(Σ_k exp(m − D(i,k)) + Σ_l exp(m − D(j,l))) + D(i,j)``, where k and l are the rows
    of other classes and D is the Euclidean distance. Song, Xiang, Jegelka & Savarese, CVPR 2016
    (arXiv 1511.06452), with the paper's margin 1. No deviation in the formula: the paper counts
    each pair once and ours from both sides, which is the same mean. The paper's batches are pairs
    with hard negatives added to them; ours are what the sampler gives.

    J is a smooth maximum, so it grows with the logarithm of the number of negatives: with 48 of
    them for each row, J is 0 only when they are log 96 = 4.6 farther than the margin and the
    pair's distance together. On the unit sphere (``normalize``) no two rows are that far apart, and
    the loss stays above 0.

    The batch must hold two classes, one of them with two rows, else the loss is 0.

    Neighbours: ``triplet`` with ``hard`` takes the nearest negative where this one takes a smooth
    maximum over all of them; ``n_pair`` does so with dot products.

    ``log`` holds ``active_fraction`` (share of the pairs with non-zero loss), and
    ``positive_distance`` and ``negative_distance``, the mean distance of same-class and
    different-class pairs.
    """

    Params = LiftedParameters

    def __init__(self, params: LiftedParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        if self.params.normalize:
            embeddings = unit(embeddings)
        distances = pairwise(embeddings)
        positive, negative = pair_masks(labels)
        # Far below every margin, yet finite: −inf would give 0 · inf where a row has no negative.
        outside = torch.finfo(distances.dtype).min / 4
        reach = (self.params.margin - distances).masked_fill(~negative, outside).logsumexp(1)
        hinges = torch.relu(torch.logaddexp(reach[:, None], reach) + distances)
        with torch.no_grad():
            pairs = positive & negative.any(1, keepdim=True)
            count = pairs.sum()
            divisor = count.clamp_min(1)
            self.log = {
                "active_fraction": ((hinges > 0) & pairs).sum() / count,
                **mean_of_pairs(distances, positive, negative),
            }
        return (hinges.square() * pairs).sum() / (2 * divisor)

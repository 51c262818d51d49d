"""The N-pair loss: a softmax of the positive against all rows of other classes."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from textmetric.losses.distances import pairwise
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters


class NPairParameters(Parameters):
    """Parameters of the N-pair loss.

    Attributes:
        pairs: ``all`` (anchor, positive) pairs of the batch, each against all rows of other
            classes; or ``one_per_class``, the paper's: the first two rows of each class in the
            batch are its anchor and its positive, the negatives are the positives of the others.
        l2: Weight of the mean squared length of the rows; at least 0.
    """

    pairs: Literal["all", "one_per_class"] = "all"
    l2: float = Field(default=0.02, ge=0)


class NPair(Objective):
    """``log(1 + Σ_n exp(e_a·e_n − e_a·e_p)) + λ ‖e‖²``, averaged over pairs and rows.

    Anchor a and positive p are different rows of one class, n are rows of other classes. Sohn,
    NIPS 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective". The rows
    are not normalised, so their lengths act as an inverse temperature, and λ, the parameter
    ``l2``, keeps them from growing without end.

    Deviation: the paper draws batches of one pair a class. In a batch of few classes that leaves
    most rows unused (56 of 64 with 4 classes), so ours takes every pair of the batch and every
    row of another class as a negative. ``pairs: one_per_class`` is the paper's, on the classes of
    the batch that have two rows; its ``l2`` term still counts all rows. Classes with more rows
    have more pairs; ``one_per_class`` weighs classes alike.

    The batch must hold two classes, one of them with two rows (``one_per_class``: two classes with
    two rows each), else the loss is 0, the ``l2`` term too.

    Neighbours: ``sup_con`` is the same comparison on unit vectors with a temperature, with the
    other positives in the denominator too; ``angular`` bounds the angle at the negative.

    ``log`` holds ``pairs`` (how many there were), ``active_fraction`` (share of the pairs whose
    negatives together outweigh the positive, that is with a loss above log 2: the loss itself is
    never quite 0), and ``positive_distance`` and ``negative_distance``, the mean Euclidean
    distance of same-class and different-class pairs.
    """

    Params = NPairParameters

    def __init__(self, params: NPairParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            distances = pairwise(embeddings)
        if self.params.pairs == "all":
            products, chosen, against = embeddings @ embeddings.T, positive, negative
        else:
            a, p = _first_pairs(positive)
            products = embeddings.index_select(0, a) @ embeddings.index_select(0, p).T
            chosen = torch.eye(len(a), dtype=torch.bool, device=labels.device)
            against = ~chosen
        # Far below every product, yet finite: −inf would give 0 · inf where a row has no negative.
        outside = torch.finfo(products.dtype).min / 4
        strongest = products.masked_fill(~against, outside).logsumexp(1, keepdim=True)
        losses = torch.nn.functional.softplus(strongest - products)
        with torch.no_grad():
            chosen = chosen & against.any(1, keepdim=True)
            count = chosen.sum()
            weights = chosen.to(losses.dtype) / count.clamp_min(1)
            self.log = {
                "active_fraction": ((strongest > products) & chosen).sum() / count,
                "pairs": count,
                "positive_distance": (distances * positive).sum() / positive.sum(),
                "negative_distance": (distances * negative).sum() / negative.sum(),
            }
        loss = (losses * weights).sum()
        if self.params.l2:
            lengths = embeddings.square().sum() * (count > 0) / max(len(labels), 1)
            loss = loss + self.params.l2 * lengths
        return loss


def _first_pairs(positive: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second row of every class that has two, as indices; (n,) each."""
    earlier = positive.tril().sum(1)
    anchors = ((earlier == 0) & positive.any(1)).nonzero().squeeze(1)
    second = positive[anchors] & (earlier == 1)
    return anchors, second.int().argmax(1)

"""The supervised contrastive loss: a softmax over all other rows of the batch."""

from __future__ import annotations

import torch
from pydantic import Field

from textmetric.losses.distances import unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters


class SupConParameters(Parameters):
    """Parameters of the supervised contrastive loss.

    Attributes:
        temperature: τ, what the cosines are divided by; above 0.
    """

    temperature: float = Field(default=0.1, gt=0)


class SupCon(Objective):
    """``−1/|P(i)| Σ_{p∈P(i)} log( exp(u_i·u_p/τ) / Σ_{a≠i} exp(u_i·u_a/τ) )``, mean over anchors.

    u are the unit vectors of the embeddings and P(i) the other rows of the class of row i. This is
    the paper's ``L_out``, the mean over the positives outside of the logarithm: Khosla et al.
    2020, "Supervised Contrastive Learning", arXiv 2004.11362 (NeurIPS). Its temperature is 0.1, as
    is ours.

    The batch must hold a class with two rows, else the loss is 0; it takes two classes to learn
    anything, since a batch of one class only asks that its rows be equally similar to one another.

    Deviations: the paper makes two augmented views of each row, so that every anchor has a
    positive; here one row is one view, and an anchor without a positive is left out of the mean.
    There is no projection head between the embedding and the loss.

    Relations: the softmax weighs hard negatives and hard positives up by itself, so there is no
    miner and no margin. ``n_pair`` sets one positive against the negatives alone;
    ``multi_similarity`` weighs positives and negatives apart. The loss never reaches 0: rows with
    n positives each cannot have less than ``log n``.

    ``log`` holds ``positive_distance`` and ``negative_distance``, the mean of 1 − cos over
    same-class and different-class pairs.
    """

    Params = SupConParameters

    def __init__(self, params: SupConParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        rows = unit(embeddings)
        cosines = rows @ rows.T
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            positives = positive.sum(1, keepdim=True)
            anchors = positives > 0
            # An anchor's positives share a weight of 1 / number of anchors. In the precision of
            # the cosines: a quotient of whole numbers would be in single.
            shares = positives.clamp_min(1) * anchors.sum().clamp_min(1)
            weight = positive.to(cosines.dtype) / shares
            self.log = {
                "positive_distance": 1 - (cosines * positive).sum() / positive.sum(),
                "negative_distance": 1 - (cosines * negative).sum() / negative.sum(),
            }
            itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        # Not −inf: a row that is alone in its batch would have a softmax of nothing, which is NaN.
        lowest = torch.finfo(cosines.dtype).min
        scores = cosines / self.params.temperature
        partition = scores.masked_fill(itself, lowest).logsumexp(1, keepdim=True)
        return ((partition - scores) * weight).sum()

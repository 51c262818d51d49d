"""The N-pair loss: a softmax of the positive against all rows of other classes."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from textmetric.losses.distances import log_sum_exp, mean_distances
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class NPairParameters(Section):
    """Parameters of the N-pair loss."""

    pairs: Literal["all", "one_per_class"] = parameter(
        "all",
        "``all``: every (anchor, positive) of the batch against all rows of other classes; "
        "``one_per_class``: the first two rows of each class are its anchor and its positive, "
        "against the positives of the other classes",
        paper="``one_per_class``",
    )
    l2: float = parameter(
        0.02,
        "λ, the weight of the mean squared length; with 0 the lengths grow for as long as that "
        "lowers the loss",
        paper="an L2 penalty",
        ge=0,
    )


class NPair(Objective):
    """``log(1 + Σ_n exp(e_a·e_n − e_a·e_p)) + λ ‖e‖²``, averaged over pairs and rows.

    Anchor a and positive p are different rows of one class, n are rows of other classes. The rows
    are not normalised, so their lengths act as an inverse temperature, and λ keeps them from
    growing without bound. Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss
    Objective", NIPS 2016.

    Batch: two classes, one of them with two rows (``one_per_class``: two classes with two rows
    each); otherwise the loss is 0, including the ``l2`` term.

    Deviations: the paper draws batches of one pair a class. In a batch of 4 classes × 16 rows
    that leaves 56 of the 64 rows without a gradient, so by default we take every pair of the
    batch, and every row of another class as a negative. Classes with more rows then have more
    pairs; ``one_per_class`` weighs classes alike. Its ``l2`` term still counts all rows.

    Log: ``pairs`` (their number), ``active_fraction`` (share of the pairs whose negatives
    together outweigh the positive, that is, with a loss above log 2; the loss itself is never
    quite 0), ``positive_distance`` and ``negative_distance``.
    """

    Params = NPairParameters
    params: NPairParameters

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        if self.params.pairs == "all":
            loss, active, count = _all_pairs(embeddings @ embeddings.T, labels)
        else:
            pairs = _first_pairs(labels.tolist())
            rows = torch.tensor(pairs, dtype=torch.int64, device=labels.device).ravel()
            chosen = embeddings.index_select(0, rows).view(len(pairs), 2, embeddings.shape[1])
            anchors, positives = chosen.unbind(1)
            loss, active, count = _own_pairs(anchors @ positives.T)
        self.log = {
            "active_fraction": active / count,
            "pairs": count,
            **mean_distances(embeddings, labels),
        }
        if self.params.l2:
            lengths = embeddings.square().sum() * (count > 0) / max(len(labels), 1)
            loss = loss + self.params.l2 * lengths
        return loss


def _all_pairs(products: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean loss of the same-class pairs, how many are active, and how many there are."""
    with torch.no_grad():
        positive, negative = pair_masks(labels)
        chosen = positive & negative.any(1, keepdim=True)
        count = chosen.sum()
        weights = chosen.to(products.dtype) / count.clamp_min(1)
    strongest = log_sum_exp(products, negative)[:, None]
    # Above the threshold softplus(x) is taken to be x; the default 20 is too small for double.
    losses = torch.nn.functional.softplus(strongest - products, threshold=40)
    return (losses * weights).sum(), ((strongest > products) & chosen).sum(), count


def _own_pairs(products: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`_all_pairs`, for anchors (rows) whose positive is the column of the same number."""
    size = len(products)
    if size < 2:
        nothing = torch.tensor(0, device=products.device)
        return products.sum() * 0, nothing, nothing
    # log(1 + Σ_n exp(x_n − x_p)) is the cross-entropy of a softmax over positive and negatives.
    target = torch.arange(size, device=products.device)
    losses = torch.nn.functional.cross_entropy(products, target, reduction="none")
    active = (losses.detach() > math.log(2)).sum()
    return losses.mean(), active, torch.tensor(size, device=products.device)


def _first_pairs(labels: list[int]) -> list[tuple[int, int]]:
    """The first and the second row of every class that has two."""
    first, second = dict[int, int](), dict[int, int]()
    for row, label in enumerate(labels):
        if first.setdefault(label, row) != row:
            second.setdefault(label, row)
    return [(first[label], second[label]) for label in first if label in second]

"""The N-pair loss: a softmax of the positive against all rows of other classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from textmetric.losses.distances import mean_distances
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Floats, Gradients, Objective, Parameters

MOST_PRODUCTS = 2**18
"""How many products of rows are held at once: those of one batch, or 1 MiB of them."""


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

    def loss_and_gradient(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Floats]
    ) -> Gradients:
        """See ``Objective.loss_and_gradient``."""
        found = self._closed_form(embeddings[None], labels)
        self.log = {
            "active_fraction": float(found.active[0]) / found.pairs if found.pairs else math.nan,
            "pairs": float(found.pairs),
            **mean_distances(torch.from_numpy(embeddings), torch.from_numpy(labels)),
        }
        return Gradients(float(found.losses[0]), found.gradients[0], [])

    def of_versions(self, versions: Floats, labels: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """The losses of several versions of a batch and their gradients; nothing is logged.

        Args:
            versions: (T, B, d).
            labels: (B,), of each of them.

        Returns:
            (T,) and (T, B, d).
        """
        at_once = max(1, MOST_PRODUCTS // max(len(labels), 1) ** 2)
        found = [
            self._closed_form(versions[start : start + at_once], labels)
            for start in range(0, len(versions), at_once)
        ]
        return (
            np.concatenate([each.losses for each in found]),
            np.concatenate([each.gradients for each in found]),
        )

    def _closed_form(self, versions: Floats, labels: npt.NDArray[np.int64]) -> _Found:
        # Matrix products by torch, on the threads that the training gave it; the rest by numpy.
        rows = torch.from_numpy(versions)
        if self.params.pairs == "all":
            chosen = labels[:, None] == labels
            against = ~chosen
            np.fill_diagonal(chosen, False)
            chosen &= against.any(1, keepdims=True)
            losses, slope, active = _of_products(rows @ rows.mT, chosen, against)
            gradients = ((slope + slope.mT) @ rows).numpy()
        else:
            a, p = np.array(_first_pairs(labels.tolist()), np.int64).reshape(-1, 2).T
            against = ~np.eye(len(a), dtype=bool)
            chosen = ~against & against.any(1, keepdims=True)
            anchors, positives = torch.from_numpy(versions[:, a]), torch.from_numpy(versions[:, p])
            losses, slope, active = _of_products(anchors @ positives.mT, chosen, against)
            gradients = np.zeros_like(versions)
            gradients[:, a] = (slope @ positives).numpy()
            gradients[:, p] = (slope.mT @ anchors).numpy()
        pairs = int(np.count_nonzero(chosen))
        if self.params.l2:
            weight = self.params.l2 * (pairs > 0) / max(len(labels), 1)
            losses = losses + (weight * rows.square().sum((1, 2))).numpy()
            with np.errstate(all="ignore"):  # what is not finite shows in the loss
                gradients += versions.dtype.type(2 * weight) * versions
        return _Found(losses, gradients, active, pairs)


class _Found(NamedTuple):
    """Of each of T versions of a batch.

    Attributes:
        losses: (T,).
        gradients: (T, B, d).
        active: (T,) how many pairs have a loss above log 2.
        pairs: how many pairs there are, in each.
    """

    losses: Floats
    gradients: Floats
    active: npt.NDArray[np.int64]
    pairs: int


def _all_pairs(products: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean loss of the same-class pairs, how many are active, and how many there are."""
    with torch.no_grad():
        positive, negative = pair_masks(labels)
        chosen = positive & negative.any(1, keepdim=True)
        count = chosen.sum()
        weights = chosen.to(products.dtype) / count.clamp_min(1)
    # Far below every product, yet finite: −inf would give 0 · inf where a row has no negative.
    outside = torch.finfo(products.dtype).min / 4
    strongest = products.masked_fill(~negative, outside).logsumexp(1, keepdim=True)
    # From the threshold on softplus(x) is taken for x; 20, the default, is short of double's eps.
    losses = torch.nn.functional.softplus(strongest - products, threshold=40)
    return (losses * weights).sum(), ((strongest > products) & chosen).sum(), count


def _own_pairs(products: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`_all_pairs`, of anchors (rows) whose positive is the column of the same number."""
    size = len(products)
    if size < 2:
        nothing = torch.tensor(0, device=products.device)
        return products.sum() * 0, nothing, nothing
    # log(1 + Σ_n exp(x_n − x_p)) is the cross-entropy of a softmax over positive and negatives.
    target = torch.arange(size, device=products.device)
    losses = torch.nn.functional.cross_entropy(products, target, reduction="none")
    active = (losses.detach() > math.log(2)).sum()
    return losses.mean(), active, torch.tensor(size, device=products.device)


def _of_products(
    products: Tensor, chosen: npt.NDArray[np.bool_], against: npt.NDArray[np.bool_]
) -> tuple[Floats, Tensor, npt.NDArray[np.int64]]:
    """The closed form of what follows the products, for T of them at once.

    Args:
        products: (T, n, n).
        chosen: (n, n) the pairs of anchor and positive; none in a row without a negative.
        against: (n, n) the negatives of each anchor.

    Returns:
        (T,) the mean loss of the chosen pairs, (T, n, n) its slope by the products, and (T,) how
        many of the chosen are active.
    """
    x, size = products.numpy(), len(chosen)
    places = np.flatnonzero(chosen)
    divisor = x.dtype.type(max(len(places), 1))
    outside = np.finfo(x.dtype).min / 4
    with np.errstate(all="ignore"):  # what is not finite shows in the loss
        weights = np.where(against, x, outside)
        top = weights.max(2, keepdims=True, initial=outside)
        weights -= top
        np.exp(weights, out=weights)
        total = weights.sum(2, keepdims=True)
        strongest = top + np.log(total)
        gap = strongest[:, places // size, 0] - x.reshape(len(x), -1)[:, places]
        decay = np.exp(-np.abs(gap))
        losses = (np.maximum(gap, 0) + np.log1p(decay)).sum(1) / divisor
        # softplus′ = sigmoid, pulls at the positive and is shared among the negatives.
        pull = np.where(gap > 0, 1, decay) / ((1 + decay) * divisor)
        slope = np.zeros_like(x)
        slope.reshape(len(x), -1)[:, places] = -pull
        weights *= slope.sum(2, keepdims=True) / total
        slope -= weights
        losses[~np.isfinite(x).all((1, 2))] = math.nan
    return losses, torch.from_numpy(slope), np.count_nonzero(gap > 0, axis=1)


def _first_pairs(labels: list[int]) -> list[tuple[int, int]]:
    """The first and the second row of every class that has two."""
    first, second = dict[int, int](), dict[int, int]()
    for row, label in enumerate(labels):
        if first.setdefault(label, row) != row:
            second.setdefault(label, row)
    return [(first[label], second[label]) for label in first if label in second]

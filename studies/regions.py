"""Easy, semi-hard and hard triplets of a batch, and which of them a miner picks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from textmetric.losses.mining import MINERS, Miner, pair_masks
from textmetric.types import Float32, Int64

REGIONS = ("easy", "semi-hard", "hard")


class Picked(NamedTuple):
    """The triplets of a batch that a miner picks.

    Attributes:
        total: how many there are.
        positive: (k,) the distance of anchor and positive in those with a loss; the others are
            easy.
        negative: (k,) the distance of anchor and negative.
    """

    total: int
    positive: Float32
    negative: Float32

    def shares(self, margin: float) -> list[float]:
        """The share of each of :data:`REGIONS`; NaN without a triplet."""
        found = np.bincount(regions(self.positive, self.negative, margin), minlength=3)
        found[0] += self.total - len(self.positive)
        with np.errstate(invalid="ignore"):
            shares: list[float] = (found / self.total).tolist()
        return shares


def regions(positive: Float32, negative: Float32, margin: float) -> Int64:
    """The place in :data:`REGIONS` of triplets (Schroff et al. 2015, arXiv 1503.03832).

    Easy: the negative is farther than the positive by the margin or more, so the loss is 0.
    Semi-hard: it is farther, by less than the margin. Hard: it is not farther.

    Args:
        positive: (k,) distances of anchor and positive.
        negative: (k,) distances of anchor and negative.
        margin: at least 0, in units of the distances.
    """
    return np.where(negative >= positive + margin, 0, np.where(negative > positive, 1, 2))


def all_triplets(distances: Tensor, labels: Tensor) -> tuple[Float32, Float32]:
    """The distances of anchor and positive, and of anchor and negative, of every triplet.

    Args:
        distances: (B, B).
        labels: (B,) int64.
    """
    positive, negative = (mask.numpy() for mask in pair_masks(labels))
    anchors, positives, negatives = np.nonzero(positive[:, :, None] & negative[:, None, :])
    rows = distances.numpy()
    return rows[anchors, positives], rows[anchors, negatives]


def picked(
    miner: Miner, distances: Tensor, labels: Tensor, margin: float, generator: torch.Generator
) -> Picked:
    """The triplets that a miner of :mod:`textmetric.losses.mining` picks.

    The miner gives slopes, not triplets. A miner that picks for each anchor leaves in its row one
    positive and one negative slope; a miner that picks for each pair does so if it is given one
    positive for each anchor.

    Args:
        miner: its name.
        distances: (B, B).
        labels: (B,) int64.
        margin: at least 0, in units of the distances.
        generator: of the miner's draws.
    """
    if miner == "all":
        near, far = all_triplets(distances, labels)
        with_loss = regions(near, far, margin) > 0
        return Picked(len(near), near[with_loss], far[with_loss])
    positive, negative = pair_masks(labels)
    masks = [positive]
    if miner in ("random", "semi_hard"):
        order = positive.cumsum(1) * positive
        masks = [order == place for place in range(1, int(order.max()) + 1)]
    total, rows = 0, []
    for mask in masks:
        found = MINERS[miner](distances, mask, negative, margin, generator)
        total += int(found.total)
        ends = torch.stack([found.slope.argmax(1), found.slope.argmin(1)])
        rows.append(distances.gather(1, ends.T)[found.slope.amax(1) > 0])
    both = torch.cat(rows).numpy() if rows else np.empty((0, 2), np.float32)
    return Picked(total, both[:, 0], both[:, 1])

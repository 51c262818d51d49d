"""What objectives without labels log: how near the two views of a text are, and other texts."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_of_copies(views: Tensor, copies: Tensor, temperature: float) -> dict[str, float | Tensor]:
    """The log of a batch of texts with two views each.

    Args:
        views: (B, d) unit rows without gradient, the first view of each text.
        copies: (B, d), the second view.
        temperature: divides cosines.

    Returns:
        ``active_fraction``: the share of the texts whose second view has less than half of the
        softmax over the first views at its own; ``positive_distance``: the mean distance of the
        views of a text; ``negative_distance``: that of the first views of different texts. NaN
        where the batch has no such pair.
    """
    size = len(views)
    own = (copies @ views.T / temperature).log_softmax(1).diagonal()
    others = ~torch.eye(size, dtype=torch.bool, device=views.device)
    # Of unit rows, to the half of the digits that the product keeps: for the curve.
    apart = (2 - 2 * views @ views.T).clamp_min(0).sqrt()
    count = size if size > 1 else math.nan
    return {
        "active_fraction": (own < -math.log(2)).sum() / count,
        "positive_distance": torch.linalg.vector_norm(views - copies, dim=1).mean(),
        "negative_distance": (apart * others).sum() / others.sum(),
    }

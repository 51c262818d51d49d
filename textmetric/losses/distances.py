"""Distances between the rows of a batch, and sums over its pairs, with finite gradients."""

from __future__ import annotations

from typing import Literal

import torch

Distance = Literal["euclidean", "squared_euclidean", "cosine"]


def unit(embeddings: torch.Tensor) -> torch.Tensor:
    """Scale rows to length 1; a zero row stays zero.

    Args:
        embeddings: (B, d).

    Returns:
        (B, d). Rows shorter than 1e-12 are left as they are: dividing by such a length, as
        ``torch.nn.functional.normalize`` does, would multiply their gradient by 1e12.
    """
    lengths: torch.Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
    return embeddings / torch.where(lengths > 1e-12, lengths, 1.0)


def euclidean(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Euclidean distances of all rows to all others, computed from differences.

    The product form ``‖a‖² + ‖b‖² − 2 a·b`` loses half of the digits where two rows nearly meet,
    which is where a collapse must be visible. Here equal rows are at exactly 0.

    Args:
        rows: (B, d).
        others: (P, d).

    Returns:
        (B, P). At distance 0, where the Euclidean distance has no gradient, the gradient is 0.
    """
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")


def pairwise(embeddings: torch.Tensor, distance: Distance = "euclidean") -> torch.Tensor:
    """The distances between all rows of a batch; see :func:`euclidean`.

    Args:
        embeddings: (B, d).
        distance: ``euclidean`` ‖a − b‖; ``squared_euclidean`` ‖a − b‖²; ``cosine``
            1 − cos(a, b), in 0 … 2, computed as ½ ‖u − v‖² of the unit rows. A zero row has no
            direction: its cosine distance is ½ to every other row and 0 to another zero row.

    Returns:
        (B, B), at least 0, exactly symmetric, with zeros on the diagonal.
    """
    rows = unit(embeddings) if distance == "cosine" else embeddings
    lengths = euclidean(rows, rows)
    if distance == "euclidean":
        return lengths
    return lengths.square() if distance == "squared_euclidean" else 0.5 * lengths.square()


def log_sum_exp(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """``log Σ exp`` over the chosen values of each row.

    Args:
        values: (B, P).
        chosen: (B, P) bool.

    Returns:
        (B,). A row without a chosen value gives a number far below any other, yet finite: −inf
        would give 0 · inf in the gradient.
    """
    outside = torch.finfo(values.dtype).min / 4
    return values.masked_fill(~chosen, outside).logsumexp(1)


def mean_of_pairs(
    distances: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The mean distances of same-class and of different-class pairs, for an objective's ``log``.

    Args:
        distances: (B, B).
        positive: (B, B) bool, the same-class pairs of ``mining.pair_masks``.
        negative: (B, B) bool, the different-class pairs.

    Returns:
        ``positive_distance`` and ``negative_distance``, 0-dimensional and detached; NaN where
        there is no such pair.
    """
    distances = distances.detach()
    return {
        "positive_distance": (distances * positive).sum() / positive.sum(),
        "negative_distance": (distances * negative).sum() / negative.sum(),
    }


@torch.no_grad()
def mean_distances(embeddings: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """:func:`mean_of_pairs` of Euclidean distances, where nothing else needs the distances.

    Each pair is computed once, which takes half of the time.

    Args:
        embeddings: (B, d).
        labels: (B,) int64.
    """
    size = len(labels)
    distances = torch.pdist(embeddings)
    first, second = torch.triu_indices(size, size, 1, device=labels.device).unbind()
    same = labels.index_select(0, first) == labels.index_select(0, second)
    count, weight = same.sum(), same.to(distances.dtype)
    return {
        "positive_distance": torch.dot(distances, weight) / count,
        "negative_distance": torch.dot(distances, 1 - weight) / (len(same) - count),
    }

"""Distances between all rows of a batch, with gradients that are finite everywhere."""

from __future__ import annotations

from typing import Literal

import torch

Distance = Literal["euclidean", "squared_euclidean", "cosine"]


def unit(embeddings: torch.Tensor) -> torch.Tensor:
    """Rows of length 1; a zero row stays zero.

    Args:
        embeddings: (B, d).

    Returns:
        (B, d). Rows shorter than 1e-12 are left as they are: dividing by such a length, as
        ``torch.nn.functional.normalize`` does, would multiply their gradient by 1e12.
    """
    lengths: torch.Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
    return embeddings / torch.where(lengths > 1e-12, lengths, 1.0)


def pairwise(embeddings: torch.Tensor, distance: Distance = "euclidean") -> torch.Tensor:
    """The distances between all rows of a batch.

    Distances are taken from the differences of the rows, not from ``‖a‖² + ‖b‖² − 2 a·b``: that
    product form loses half of the digits where two rows nearly meet, which is where a collapse
    has to be seen. Equal rows are at exactly 0 and the matrix is exactly symmetric.

    Args:
        embeddings: (B, d).
        distance: ``euclidean`` ‖a − b‖; ``squared_euclidean`` ‖a − b‖²; ``cosine``
            1 − cos(a, b), in 0 … 2, computed as ½ ‖u − v‖² of the unit rows. A zero row has no
            direction: its cosine distance is ½ to every other row and 0 to another zero row.

    Returns:
        (B, B), at least 0, with zeros on the diagonal. At distance 0, where the Euclidean
        distance has no gradient, the gradient is 0.
    """
    rows = unit(embeddings) if distance == "cosine" else embeddings
    lengths = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    if distance == "euclidean":
        return lengths
    return lengths.square() if distance == "squared_euclidean" else 0.5 * lengths.square()


def mean_of_pairs(
    distances: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The mean distance of both kinds of pairs, as the learning curve shows it.

    Args:
        distances: (B, B).
        positive: (B, B) bool, the same-class pairs of ``mining.pair_masks``.
        negative: (B, B) bool, the different-class pairs.

    Returns:
        ``positive_distance`` and ``negative_distance``, 0-dimensional and detached, for an
        objective's ``log``; NaN where there is no such pair.
    """
    distances = distances.detach()
    return {
        "positive_distance": (distances * positive).sum() / positive.sum(),
        "negative_distance": (distances * negative).sum() / negative.sum(),
    }


@torch.no_grad()
def mean_distances(embeddings: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """:func:`mean_of_pairs` of Euclidean distances, where nothing else needs the distances.

    Each pair is looked at once, which takes half of the time.

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

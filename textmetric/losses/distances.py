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

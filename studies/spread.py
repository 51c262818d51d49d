"""How embeddings use their space, whatever their labels are."""

from __future__ import annotations

import numpy as np

from textmetric.measures.rows import unit
from textmetric.types import Floats

SMALLEST = 1e-12


def uniformity(embeddings: Floats) -> float:
    """``log mean exp(−2 ‖u_i − u_j‖²)`` over the pairs i ≠ j of unit rows.

    Wang & Isola 2020, "Understanding contrastive representation learning through alignment and
    uniformity on the hypersphere" (ICML), with their t = 2.

    Args:
        embeddings: (n, d), n at least 2.

    Returns:
        At least −8; 0 if all rows point the same way. The lower, the more uniform.

    >>> uniformity(np.array([[1.0, 0.0], [2.0, 0.0]]))
    0.0
    """
    rows = unit(embeddings)
    squares = np.maximum(2 - 2 * (rows @ rows.T), 0)
    count = len(rows)
    # a row is at distance 0 of itself, and counts 1
    return float(np.log((np.exp(-2 * squares).sum() - count) / (count * (count - 1))))


def spectral_decay(embeddings: Floats) -> float:
    """KL divergence of the singular values from being equal: how few directions are used.

    Roth et al. 2020, "Revisiting training strategies and generalization performance in deep metric
    learning" (ICML), their ρ. The singular values of the unit rows are divided by their sum, those
    below 1e-12 are taken for that.

    Args:
        embeddings: (n, d), n at least d.

    Returns:
        At least 0: 0 if all directions are used alike, and the larger, the fewer.

    >>> round(spectral_decay(np.eye(3)), 9)
    0.0
    """
    values = np.linalg.svd(unit(embeddings), compute_uv=False)
    shares = np.maximum(values / values.sum(), SMALLEST)
    return float(-np.log(len(values) * shares).mean())

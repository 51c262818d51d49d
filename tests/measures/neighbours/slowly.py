"""Neighbours by plain formulas in extended precision, and rows with ties everywhere."""

from __future__ import annotations

import numpy as np


def distances(queries: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """1 − cos = |u − v|² / 2 of unit rows, which has no cancellation; 1 for zero rows."""
    wide = [np.asarray(some).astype(np.longdouble) for some in (queries, reference)]
    lengths = [np.sqrt((rows * rows).sum(axis=1)) for rows in wide]
    units = [
        rows / np.where(length > 0, length, 1)[:, None]
        for rows, length in zip(wide, lengths, strict=True)
    ]
    apart = np.array([((units[1] - query) ** 2).sum(axis=1) / 2 for query in units[0]])
    apart[lengths[0] == 0] = 1
    apart[:, lengths[1] == 0] = 1
    # Ties may differ in the last bits. float64 keeps 1e-16 of the distance, not of the cosine.
    return apart.astype(np.float64)


def nearest(
    reference: np.ndarray, queries: np.ndarray, k: int, left_out: np.ndarray | None = None
) -> np.ndarray:
    """Ids by rising distance, ties by rising id; the id of ``left_out`` comes last."""
    rows = distances(queries, reference)
    if left_out is not None:
        rows[np.arange(len(rows)), left_out] = np.inf
    return np.argsort(rows, axis=1, kind="stable")[:, :k]


def signs(seed: int, rows: int, width: int = 4) -> np.ndarray:
    """Corners of a cube at several lengths, and zero vectors: ties everywhere."""
    random = np.random.default_rng(seed)
    corners = random.choice([-1.0, 1.0], size=(rows, width))
    return (corners * random.choice([0, 1, 2, 5], size=(rows, 1))).astype(np.float32)


def collapsed(seed: int, rows: int, width: int, spread: float, points: int = 1) -> np.ndarray:
    """Float32 rows near ``points`` directions, with some duplicates and zero vectors."""
    random = np.random.default_rng(seed)
    base = random.normal(size=(points, width))[random.integers(0, points, rows)]
    embeddings = (base + spread * random.normal(size=(rows, width))).astype(np.float32)
    embeddings[random.random(rows) < 0.1] = embeddings[0]
    embeddings[random.random(rows) < 0.05] = 0
    return embeddings

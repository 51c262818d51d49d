"""Exact nearest neighbours by cosine, the same for any number of threads."""

from __future__ import annotations

from textmetric.measures.neighbours.keys import on_grid
from textmetric.measures.neighbours.search import (
    centroid_predict,
    knn_predict,
    nearest_neighbours,
    ranked_blocks,
)

__all__ = [
    "centroid_predict",
    "knn_predict",
    "nearest_neighbours",
    "on_grid",
    "ranked_blocks",
]

"""Exact nearest neighbours by cosine, the same for any number of threads.

``search`` finds them, ``keys`` defines distances and their order, ``screening`` speeds up searches
among many rows, ``blocks`` reads more rows than memory holds. Other rooms import from this package,
not from its modules.
"""

from __future__ import annotations

from textmetric.measures.neighbours.keys import euclidean_rows, exact_rows
from textmetric.measures.neighbours.search import (
    Ranked,
    centroid_predict,
    knn_predict,
    majority,
    nearest_neighbours,
    ranked_blocks,
    ranked_in,
)

__all__ = [
    "Ranked",
    "centroid_predict",
    "euclidean_rows",
    "exact_rows",
    "knn_predict",
    "majority",
    "nearest_neighbours",
    "ranked_blocks",
    "ranked_in",
]

"""Measures of an embedding space: numpy functions of (embeddings, labels).

``evaluate`` computes every measure of one test set, ``mean_interval`` and ``summarise`` means and
intervals over seeds, ``paired_difference`` and ``simultaneous_differences`` which of two is better.
``docs/measures.md`` explains how to read them.
"""

from __future__ import annotations

from textmetric.measures.codes import binary_codes, hamming_retrieval
from textmetric.measures.cohesion import cohesion
from textmetric.measures.evaluation import Evaluation, evaluate
from textmetric.measures.intervals import mean_interval, summarise
from textmetric.measures.neighbours import centroid_predict, knn_predict, nearest_neighbours
from textmetric.measures.paired import (
    Outcome,
    Paired,
    paired_difference,
    simultaneous_differences,
)
from textmetric.measures.retrieval import Retrieval, retrieval
from textmetric.measures.rows import unit
from textmetric.measures.separation import (
    between_class_cosine,
    centroid_cosines,
    class_centroids,
    cosines_to_others,
)

__all__ = [
    "Evaluation",
    "Outcome",
    "Paired",
    "Retrieval",
    "between_class_cosine",
    "binary_codes",
    "centroid_cosines",
    "centroid_predict",
    "class_centroids",
    "cohesion",
    "cosines_to_others",
    "evaluate",
    "hamming_retrieval",
    "knn_predict",
    "mean_interval",
    "nearest_neighbours",
    "paired_difference",
    "retrieval",
    "simultaneous_differences",
    "summarise",
    "unit",
]

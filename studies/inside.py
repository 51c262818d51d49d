"""Retrieval of finer labels inside of the labels that were trained on."""

from __future__ import annotations

import math

import numpy as np

from textmetric.measures import retrieval
from textmetric.measures.rows import mean
from textmetric.types import Floats, Integers

MAP_AT_R, RECALL = "inside_map_at_r", "inside_recall_at_1"


def measured(embeddings: Floats, labels: Integers, fine: Integers) -> dict[str, float]:
    """Retrieval by the labels among all rows, and by the finer ones among the rows of a label.

    A model that draws all texts of a label to one point has a perfect ``map_at_r``, and inside of
    a label its neighbours are as good as random.

    Args:
        embeddings: (n, d).
        labels: (n,) class ids from 0.
        fine: (n,) finer class ids from 0; a label has one of them or more.

    Returns:
        ``map_at_r`` by the labels; ``inside_map_at_r`` and ``inside_recall_at_1``, means over the
        rows of labels that have two finer ones or more. NaN if there is no such row.

    >>> rows = np.array([[1.0, 0.0], [1.0, 0.1], [0.9, 1.0], [0.8, 1.0]])
    >>> measured(rows, np.zeros(4, int), np.array([0, 0, 1, 1]))["inside_map_at_r"]
    1.0
    """
    by_row = {MAP_AT_R: np.full(len(labels), math.nan), RECALL: np.full(len(labels), math.nan)}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(np.unique(fine[rows])) > 1:
            found = retrieval(embeddings[rows], fine[rows], ks=(1,))
            by_row[MAP_AT_R][rows], by_row[RECALL][rows] = found.map_at_r, found.recall[1]
    whole = retrieval(embeddings, labels, ks=(1,)).map_at_r
    return {"map_at_r": mean(whole)} | {name: mean(values) for name, values in by_row.items()}

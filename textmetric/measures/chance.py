"""What retrieval gives without an embedding: the mean over random rankings."""

from __future__ import annotations

import numpy as np

from textmetric.types import Float64, Integers


def random_map_at_r(rows: Integers) -> Float64:
    """The expected MAP@R of a query of each class if its neighbours come in random order.

    A query of a class with R other rows ranks N = n − 1 rows. Rank k has a row of the class with
    probability R / N, and each rank before it then has one with probability (R − 1) / (N − 1); so

        E = 1/N · Σ_{k=1..R} (1 + (k − 1) · (R − 1) / (N − 1)) / k.

    Args:
        rows: (C,) number of rows of each class; together at least 3.

    Returns:
        (C,) in [0, 1]; NaN for a class with fewer than two rows.

    >>> random_map_at_r(np.array([2, 2])).round(3)
    array([0.333, 0.333])
    """
    counts = np.asarray(rows, dtype=np.int64)
    others = int(counts.sum()) - 1
    related = np.maximum(counts - 1, 0)
    pairs = (related - 1) / (others - 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, related.max(initial=0) + 1))])
    expected = ((1 - pairs) * harmonic[related] + pairs * related) / others
    return np.where(related > 0, expected, np.nan)

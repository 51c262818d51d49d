"""Binary codes: what is left of an embedding when a dimension has one bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textmetric.measures.retrieval import Retrieval, retrieval
from textmetric.measures.rows import checked_labels, unit
from textmetric.types import Float64, Floats, Integers

_SEED = 0


def binary_codes(embeddings: Floats) -> Float64:
    """One bit a dimension, as ±1: is the value above the mean of its row?

    So Zhai & Wu 2018 (arXiv 1811.12649) make codes: the sign after a layer norm, which subtracts
    that mean and changes no sign else.

    Args:
        embeddings: (n, d) floating point.

    Returns:
        (n, d) float32 of 1 and −1. The product of two rows is d − 2 · their Hamming distance, so
        that the order by falling cosine is the order by rising Hamming distance.

    >>> binary_codes(np.array([[3.0, 1.0, -1.0], [0.5, 0.5, 0.2]]))
    array([[ 1., -1., -1.],
           [ 1.,  1., -1.]], dtype=float32)
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    above = rows > rows.mean(axis=1, keepdims=True)
    return np.where(above, np.float32(1), np.float32(-1))


def hamming_retrieval(
    embeddings: Floats, labels: Integers, ks: Sequence[int] = (1, 10, 100)
) -> Retrieval:
    """Recall@k, R-precision and MAP@R of the binary codes, by their Hamming distance.

    Short codes tie all the time. Ties are broken at random, by the same draw in every call: rows
    are often sorted by class, and by row id the first class would be the nearest to all.

    Args:
        embeddings: (n, d) floating point, not yet codes; n rows without NaN.
        labels: (n,) class ids from 0.
        ks: see :func:`textmetric.measures.retrieval`.

    Returns:
        Values a query, in the order of the rows.

    Raises:
        UserError: a row with NaN or infinity, labels that do not fit, a k below 1.

    >>> found = hamming_retrieval(
    ...     np.array([[1.0, 0.9, 0.0], [0.8, 0.7, 0.0], [0.0, 1.0, 0.9]]), np.array([0, 0, 1]), [1])
    >>> found.recall[1]
    array([ 1.,  1., nan])
    """
    rows = np.asarray(embeddings)
    labels = checked_labels(labels, len(rows))
    unit(rows)  # refuses NaN and infinity, which have no code
    order = np.random.default_rng(_SEED).permutation(len(rows))
    place = np.argsort(order)
    found = retrieval(binary_codes(rows[order]), labels[order], ks)
    return Retrieval(
        {k: hits[place] for k, hits in found.recall.items()},
        found.r_precision[place],
        found.map_at_r[place],
    )

"""Binary codes: embeddings of one bit a dimension, and retrieval by Hamming distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from textmetric.measures.retrieval import Retrieval, retrieval
from textmetric.measures.rows import checked_labels, unit
from textmetric.types import Float32, Floats, Integers

_SEED = 0


def binary_codes(embeddings: Floats) -> Float32:
    """One bit for each dimension, as ±1: is the value above the mean of its row?

    This is the code of Zhai & Wu 2018 (arXiv 1811.12649): the sign after a layer norm, which
    subtracts the mean and changes no other sign.

    Args:
        embeddings: (n, d) floating point.

    Returns:
        (n, d) of 1 and −1. The dot product of two rows is d − 2 · their Hamming distance, so
        falling cosine is rising Hamming distance.

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

    Short codes often tie. Ties are broken at random, by the same draw in every call: rows are
    often sorted by class, and breaking ties by row id would favour the first class.

    Args:
        embeddings: (n, d) floating point, not codes.
        labels: (n,) class ids from 0.
        ks: see :func:`textmetric.measures.retrieval`, as for the errors.

    Returns:
        Values for each query, in the order of the rows.

    >>> found = hamming_retrieval(
    ...     np.array([[1.0, 0.9, 0.0], [0.8, 0.7, 0.0], [0.0, 1.0, 0.9]]), np.array([0, 0, 1]), [1])
    >>> found.recall[1]
    array([ 1.,  1., nan])
    """
    rows = np.asarray(embeddings)
    labels = checked_labels(labels, len(rows))
    unit(rows)  # raises for NaN and infinity, which have no code
    order = np.random.default_rng(_SEED).permutation(len(rows))
    place = np.argsort(order)
    found = retrieval(binary_codes(rows[order]), labels[order], ks)
    return Retrieval(
        {k: hits[place] for k, hits in found.recall.items()},
        found.r_precision[place],
        found.map_at_r[place],
        *(
            None if sample is None else replace(sample, rows=order[sample.rows])
            for sample in (found.of_recall, found.of_map)
        ),
    )

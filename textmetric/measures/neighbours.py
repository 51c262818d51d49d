"""Exact nearest neighbours by cosine, the same for any number of threads.

Two traps decide how this is written.

* **A dot product of floats depends on the order of its sum**, and a matrix product changes that
  order with its shape, the processor and the number of threads. Two equal rows then get
  similarities that differ in the last bit, and ties fall one way here and another there. So unit
  rows are rounded to multiples of 2⁻²⁶ (finer than float32): products are then multiples of
  2⁻⁵², sums of them stay below 2, and float64 holds every one without rounding. The sum is the
  same in any order.
* **Ties** must go by row id. The similarity, rounded to about 35 bits behind the point, and the
  row id are packed into one float64 (whole part: minus the similarity, fraction: the id). The
  keys are all different, so any partition or sort gives the one right order, and a library that
  promises nothing about ties cannot do harm. "Equal" below means equal in those bits: equal
  rows are; two different rows that mathematics puts at the same angle of a query may differ by
  about 1e-8, and then keep that order everywhere.

Faiss is the quickest for few neighbours among many rows, but slow for the hundreds that
R-precision asks for: there a matrix product a block of queries at a time and numpy's partition
take over. Neither ever holds an n × n matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.rows import Embeddings, Floats, Ids, Labels, checked_labels, unit

_GRID = 2.0**26
_BLOCK_BYTES = 32 * 2**20  # the largest array of one block of queries
_FAISS_NEIGHBOURS = 16  # faiss is quicker up to about here,
_FAISS_ROWS = 1024  # and from about here


def on_grid(embeddings: Embeddings) -> Floats:
    """Unit rows rounded to multiples of 2⁻²⁶, so that their dot products are exact.

    Args:
        embeddings: (n, d), any float type.

    Returns:
        (n, d) float64.
    """
    rows = unit(embeddings)
    rows *= _GRID
    np.rint(rows, out=rows)
    rows /= _GRID
    return rows


def ranked_blocks(
    reference: Floats, queries: Floats, depths: Ids, left_out: Ids | None = None
) -> Iterator[tuple[slice, Ids]]:
    """The nearest rows of the queries, a block of queries at a time.

    Args:
        reference: (n, d) rows of ``on_grid``.
        queries: (q, d) rows of ``on_grid``.
        depths: (q,) how many neighbours each query needs, at least 1 and at most n, or n − 1
            with ``left_out``. A block goes as deep as its deepest query: sort the queries by
            depth.
        left_out: (q,) the id of the one reference row that is not a neighbour of the query (the
            query itself), whatever stands in the other rows.

    Yields:
        The slice of the queries, and (rows of the slice, depth of the block) ids into
        ``reference``: falling similarity, ties by rising id.
    """
    rows = max(1, _BLOCK_BYTES // (8 * max(1, len(reference))))
    fractions, scale = _key_parts(len(reference))
    block = np.empty((min(rows, len(queries)), len(reference)))
    for start in range(0, len(queries), rows):
        part = slice(start, min(start + rows, len(queries)))
        keys = block[: part.stop - start]
        np.matmul(queries[part] * -scale, reference.T, out=keys)
        np.rint(keys, out=keys)
        keys += fractions
        if left_out is not None:
            keys[np.arange(len(keys)), left_out[part]] = np.inf
        depth = int(depths[part].max())
        keys.partition(depth - 1, axis=1)
        yield part, _ids_of(np.sort(keys[:, :depth], axis=1), len(reference))


def nearest_neighbours(reference: Embeddings, queries: Embeddings, k: int) -> Ids:
    """The k rows of ``reference`` with the highest cosine to each query, exactly.

    Args:
        reference: (n, d) float32.
        queries: (q, d) float32. A query that also stands in the reference finds itself.
        k: 1 … n.

    Returns:
        (q, k) row ids, falling cosine, equal cosines by rising id. A zero vector is as near to
        all rows as to any: its neighbours are rows 0 … k − 1.

    Raises:
        UserError: k out of range, or the widths differ.

    >>> nearest_neighbours(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]]),
    ...                    np.array([[5.0, 1.0]]), 2)
    array([[1, 2]])
    """
    rows, asked = on_grid(reference), on_grid(queries)
    if rows.shape[1] != asked.shape[1]:
        raise UserError(
            f"queries have width {asked.shape[1]}, expected {rows.shape[1]} as the reference: "
            "embed both with the same model"
        )
    if not 1 <= k <= len(rows):
        raise UserError(
            f"k is {k}, expected 1 to {len(rows)} (the number of reference rows): choose "
            "another k or give more rows"
        )
    if k <= _FAISS_NEIGHBOURS and len(rows) >= _FAISS_ROWS:
        return _by_faiss(rows, asked, k)
    return _by_blocks(rows, asked, k)


def knn_predict(
    reference: Embeddings, reference_labels: Labels, queries: Embeddings, k: int = 10
) -> Labels:
    """The class that most of the k nearest reference rows have.

    Args:
        reference: (n, d) float32, the train rows.
        reference_labels: (n,) class ids.
        queries: (q, d) float32.
        k: neighbours that vote, one vote each; with fewer rows than that, all vote.

    Returns:
        (q,) int32. Where classes have equally many votes, the one whose row is nearest.

    Raises:
        UserError: no reference rows, k below 1, widths or lengths that differ.

    >>> knn_predict(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([0, 0, 1]),
    ...             np.array([[0.0, 2.0]]), k=2)
    array([1], dtype=int32)
    """
    labels = checked_labels(reference_labels, len(reference))
    if not len(labels):
        raise UserError("the reference has no rows, expected at least one: give train rows")
    neighbours = labels[nearest_neighbours(reference, queries, min(k, len(labels)))]
    votes = np.zeros(neighbours.shape, dtype=np.int32)
    for other in range(neighbours.shape[1]):
        votes += neighbours == neighbours[:, [other]]
    # The first column with the most votes is the nearest row of a winning class.
    winner = votes.argmax(axis=1)[:, None]
    return np.take_along_axis(neighbours, winner, axis=1)[:, 0].astype(np.int32)


def centroid_predict(centroids: Embeddings, queries: Embeddings) -> Labels:
    """The class whose centroid has the highest cosine to each query.

    Args:
        centroids: (C, d) of ``class_centroids``; rows of NaN (absent classes) are never chosen.
        queries: (q, d) float32.

    Returns:
        (q,) int32; equal cosines go to the lower class id.

    Raises:
        UserError: every centroid is NaN, or the widths differ.

    >>> centroid_predict(np.array([[np.nan, np.nan], [1.0, 0.0], [0.0, 1.0]]),
    ...                  np.array([[3.0, 1.0], [0.0, 0.1]]))
    array([1, 2], dtype=int32)
    """
    present = np.flatnonzero(~np.isnan(centroids).any(axis=1))
    if not len(present):
        raise UserError("every class centroid is NaN, expected at least one: give train rows")
    nearest = nearest_neighbours(centroids[present], queries, 1)[:, 0]
    return present[nearest].astype(np.int32)


def _by_blocks(reference: Floats, queries: Floats, k: int) -> Ids:
    depths = np.full(len(queries), k, dtype=np.int64)
    found = np.empty((len(queries), k), dtype=np.int64)
    for part, ids in ranked_blocks(reference, queries, depths):
        found[part] = ids
    return found


def _by_faiss(reference: Floats, queries: Floats, k: int) -> Ids:
    """Faiss proposes more rows than asked, exact keys order them, and a bound proves them.

    A row that faiss did not propose has a float32 similarity of at most the last proposed one,
    so an exact one of at most that plus the error of a float32 dot product. Where the k-th exact
    similarity is above it, the k are proven; the other queries (ties by the dozen: duplicates,
    zero vectors, a collapsed model) go by blocks.
    """
    import faiss  # slow to import, and most measures do without

    proposals = min(k + 16, len(reference))
    error = 2.0**-23 * (reference.shape[1] + 4)
    fractions, scale = _key_parts(len(reference))
    index = faiss.IndexFlatIP(reference.shape[1])
    index.add(reference.astype(np.float32))
    found = np.empty((len(queries), k), dtype=np.int64)
    proven = np.empty(len(queries), dtype=np.bool_)
    rows = max(1, _BLOCK_BYTES // (8 * proposals * reference.shape[1]))
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        similarities, ids = index.search(queries[part].astype(np.float32), proposals)
        exact = np.einsum("qd,qpd->qp", queries[part], reference[ids])
        keys = np.sort(np.rint(exact * -scale) + fractions[ids], axis=1)[:, :k]
        found[part] = _ids_of(keys, len(reference))
        # One unit of the key for the rounding of the exact similarity.
        proven[part] = -(np.floor(keys[:, -1]) + 1) / scale > similarities[:, -1] + error
    unproven = np.flatnonzero(~proven)
    if len(unproven):
        found[unproven] = _by_blocks(reference, queries[unproven], k)
    return found


def _key_parts(rows: int) -> tuple[Floats, float]:
    """What makes a key of a similarity s and an id: ``rint(-s * scale) + fractions[id]``.

    The 53 bits of a float64 are shared out: as many as needed to the id, the rest to s.
    """
    bits = _id_bits(rows)
    return np.arange(rows) / 2.0**bits, 2.0 ** (52 - bits)


def _ids_of(keys: Floats, rows: int) -> Ids:
    fractions = keys - np.floor(keys)
    fractions *= 2.0 ** _id_bits(rows)
    return fractions.astype(np.int64)


def _id_bits(rows: int) -> int:
    return max(1, (rows - 1).bit_length())

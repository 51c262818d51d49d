"""Search for the nearest rows, and predictions from them.

Three methods find the same neighbours, in the order of ``textmetric.measures.neighbours.keys``:

* **faiss**, the fastest for few neighbours among many rows, slow for the hundreds that
  R-precision needs;
* **screening** in float32, the fastest for some hundreds of neighbours among many rows;
* **exhaustive search**, exact keys of all rows and numpy's partition: for few rows, for a large
  share of the rows, and for what the others could not prove.

None allocates an n × n matrix. Blocks of queries run in as many threads as matrix products may
use (``OMP_NUM_THREADS``; one in the processes of ``textmetric.parallel``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from textmetric.errors import UserError
from textmetric.measures.neighbours.keys import ids_of, key_parts, on_grid, proven
from textmetric.measures.rows import checked_labels
from textmetric.types import Float64, Floats, Int64, Integers

_BLOCK_BYTES = 32 * 2**20  # the largest array of one block of queries
_FAISS_NEIGHBOURS = 16  # faiss is faster up to about this many neighbours
_FAISS_ROWS = 1024  # and from about this many rows
_SCREENED_ROWS = 20_000  # below this, importing numba takes longer than screening saves
_SCREENED_QUERIES = 256  # in a block
_THREADED_PAIRS = 2**24  # of a query and a row; below this, starting threads takes longer


def ranked_blocks(
    reference: Float64, queries: Float64, depths: Int64, left_out: Int64 | None = None
) -> Iterator[tuple[slice, Int64]]:
    """The nearest rows of the queries, a block of queries at a time.

    Args:
        reference: (n, d) rows of ``on_grid``.
        queries: (q, d) rows of ``on_grid``.
        depths: (q,) the number of neighbours each query needs, from 1 to n, or to n − 1 with
            ``left_out``. A block is as deep as its deepest query, so sort the queries by depth.
        left_out: (q,) the id of the reference row that is not a neighbour of the query (the
            query itself).

    Yields:
        The slice of the queries, and (rows of the slice, depth of the block) ids into
        ``reference``, by falling similarity, ties by rising id.
    """
    if left_out is None:
        left_out = np.full(len(queries), -1, dtype=np.int64)
    search = _Search(reference, queries, depths, left_out)
    threads = _threads() if len(reference) * len(queries) >= _THREADED_PAIRS else 1
    if threads == 1:
        for part in search.parts():
            yield part, search.ranked(part)
        return
    # The blocks run in parallel, so each matrix product uses one thread.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[slice, Future[Int64]]] = deque()
        for part in search.parts():
            waiting.append((part, pool.submit(search.ranked, part)))
            if len(waiting) > threads:  # at most one block waits, to bound the memory
                done, ids = waiting.popleft()
                yield done, ids.result()
        for done, ids in waiting:
            yield done, ids.result()


def nearest_neighbours(reference: Floats, queries: Floats, k: int) -> Int64:
    """The k rows of ``reference`` with the highest cosine to each query, exactly.

    Args:
        reference: (n, d) float32.
        queries: (q, d) float32. A query that is also in the reference finds itself.
        k: 1 … n.

    Returns:
        (q, k) row ids, by falling cosine, equal cosines by rising id. A zero vector is equally
        near to all rows, so its neighbours are rows 0 … k − 1.

    Raises:
        UserError: k is out of range, or the widths differ.

    >>> nearest_neighbours(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]]),
    ...                    np.array([[5.0, 1.0]]), 2)
    array([[1, 2]])
    """
    rows, asked = on_grid(reference), on_grid(queries)
    if rows.shape[1] != asked.shape[1]:
        raise UserError(
            f"queries have width {asked.shape[1]}, expected {rows.shape[1]} as in the reference: "
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
    reference: Floats, reference_labels: Integers, queries: Floats, k: int = 10
) -> Integers:
    """The most frequent class among the k nearest reference rows.

    Args:
        reference: (n, d) float32, the train rows.
        reference_labels: (n,) class ids.
        queries: (q, d) float32.
        k: the number of neighbours that vote, one vote each; all vote if there are fewer.

    Returns:
        (q,) int32. Of classes with equally many votes, the one with the nearest row.

    Raises:
        UserError: there are no reference rows, k is below 1, or widths or lengths differ.

    >>> knn_predict(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([0, 0, 1]),
    ...             np.array([[0.0, 2.0]]), k=2)
    array([1], dtype=int32)
    """
    labels = checked_labels(reference_labels, len(reference))
    if not len(labels):
        raise UserError("the reference has no rows, expected at least one: pass train rows")
    neighbours = labels[nearest_neighbours(reference, queries, min(k, len(labels)))]
    votes = np.zeros(neighbours.shape, dtype=np.int32)
    for other in range(neighbours.shape[1]):
        votes += neighbours == neighbours[:, [other]]
    # argmax finds the first, and so the nearest, row of a class with the most votes.
    winner = votes.argmax(axis=1)[:, None]
    return np.take_along_axis(neighbours, winner, axis=1)[:, 0].astype(np.int32)


def centroid_predict(centroids: Floats, queries: Floats) -> Integers:
    """The class whose centroid has the highest cosine to each query.

    Args:
        centroids: (C, d) of ``class_centroids``; rows of NaN (absent classes) are never chosen.
        queries: (q, d) float32.

    Returns:
        (q,) int32; of equal cosines, that of the lower class id.

    Raises:
        UserError: all centroids are NaN, or the widths differ.

    >>> centroid_predict(np.array([[np.nan, np.nan], [1.0, 0.0], [0.0, 1.0]]),
    ...                  np.array([[3.0, 1.0], [0.0, 0.1]]))
    array([1, 2], dtype=int32)
    """
    present = np.flatnonzero(~np.isnan(centroids).any(axis=1))
    if not len(present):
        raise UserError("all centroids are NaN, expected one or more that are not: pass train rows")
    nearest = nearest_neighbours(centroids[present], queries, 1)[:, 0]
    return present[nearest].astype(np.int32)


class _Search:
    """The search of :func:`ranked_blocks`, with its arguments."""

    def __init__(
        self, reference: Float64, queries: Float64, depths: Int64, left_out: Int64
    ) -> None:
        self._reference, self._queries = reference, queries
        self._depths, self._left_out = depths, left_out
        self._fractions, self._scale = key_parts(len(reference))
        self._screening = None
        if len(reference) >= _SCREENED_ROWS:
            from textmetric.measures.neighbours.screening import Screening

            self._screening = Screening(reference)

    def parts(self) -> Iterator[slice]:
        """The blocks of queries, in order; the arrays of a block fit in ``_BLOCK_BYTES``."""
        start = 0
        while start < len(self._queries):
            space = self._space(int(self._depths[start]))
            if space:
                rows = min(_SCREENED_QUERIES, _BLOCK_BYTES // (12 * space))
            else:
                rows = _BLOCK_BYTES // (8 * max(1, len(self._reference)))
            stop = min(start + max(1, rows), len(self._queries))
            yield slice(start, stop)
            start = stop

    def ranked(self, part: slice) -> Int64:
        """(rows of the slice, depth of the block) ids."""
        queries, left_out = self._queries[part], self._left_out[part]
        depth = int(self._depths[part].max())
        if self._screening is None or not self._space(depth):
            return self._by_all(queries, left_out, depth)
        ids, right = self._screening.nearest(queries, left_out, depth)
        unproven = np.flatnonzero(~right)
        rows = max(1, _BLOCK_BYTES // (8 * len(self._reference)))
        for start in range(0, len(unproven), rows):
            some = unproven[start : start + rows]
            ids[some] = self._by_all(queries[some], left_out[some], depth)
        return ids

    def _space(self, depth: int) -> int:
        return 0 if self._screening is None else self._screening.space(depth)

    def _by_all(self, queries: Float64, left_out: Int64, depth: int) -> Int64:
        keys = np.matmul(queries * -self._scale, self._reference.T)
        np.rint(keys, out=keys)
        keys += self._fractions
        asking = np.flatnonzero(left_out >= 0)
        keys[asking, left_out[asking]] = np.inf
        keys.partition(depth - 1, axis=1)
        return ids_of(np.sort(keys[:, :depth], axis=1), len(self._reference))


def _threads() -> int:
    """The number of threads that matrix products may use now."""
    return max(
        (
            int(library["num_threads"])
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ),
        default=1,
    )


def _by_blocks(reference: Float64, queries: Float64, k: int) -> Int64:
    depths = np.full(len(queries), k, dtype=np.int64)
    found = np.empty((len(queries), k), dtype=np.int64)
    for part, ids in ranked_blocks(reference, queries, depths):
        found[part] = ids
    return found


def _by_faiss(reference: Float64, queries: Float64, k: int) -> Int64:
    """Faiss proposes more rows than needed, exact keys order them, and a bound proves them.

    Queries without a proof (many ties: duplicates, zero vectors, a collapsed model) are searched
    by blocks.
    """
    import faiss  # slow to import, and most measures do not need it

    proposals = min(k + 16, len(reference))
    fractions, scale = key_parts(len(reference))
    index = faiss.IndexFlatIP(reference.shape[1])
    index.add(reference.astype(np.float32))
    found = np.empty((len(queries), k), dtype=np.int64)
    right = np.empty(len(queries), dtype=np.bool_)
    rows = max(1, _BLOCK_BYTES // (8 * proposals * reference.shape[1]))
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        similarities, ids = index.search(queries[part].astype(np.float32), proposals)
        exact = np.einsum("qd,qpd->qp", queries[part], reference[ids])
        keys = np.sort(np.rint(exact * -scale) + fractions[ids], axis=1)[:, :k]
        found[part] = ids_of(keys, len(reference))
        right[part] = proven(
            keys[:, -1], scale, similarities[:, -1].astype(float), reference.shape[1]
        )
    unproven = np.flatnonzero(~right)
    if len(unproven):
        found[unproven] = _by_blocks(reference, queries[unproven], k)
    return found

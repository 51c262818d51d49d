"""Search for the nearest rows, and predictions from them.

Two methods find the same neighbours, in the order of ``textmetric.measures.neighbours.keys``: few
rows are all compared exactly by matrix products; many are screened in float32 first, where numba is
installed.

Neither allocates an n × n matrix. Blocks of queries run in as many threads as matrix products may
use (``OMP_NUM_THREADS``; one in the processes of ``textmetric.parallel``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.neighbours.keys import all_distances, exact_rows, order
from textmetric.measures.rows import check_rows, checked_labels
from textmetric.types import Float64, Floats, Int64, Integers

_BLOCK_BYTES = 32 * 2**20  # the largest array of one block of queries
_SCREENED_PAIRS = 2**19  # of a query and a row; below this, importing numba takes too long
_SCREENED_QUERIES = 512  # in a block
_HELD_ROWS = 2**18  # of a reference that is held as exact rows, half a kilobyte each at width 32
_ASKED_ROWS = 2**16  # queries that are exact rows at once
_THREADED_PAIRS = 2**26  # below this, starting threads takes longer


def ranked_blocks(
    reference: Float64, queries: Float64, depths: Int64, left_out: Int64 | None = None
) -> Iterator[tuple[slice, Int64]]:
    """The nearest rows of the queries, a block of queries at a time.

    Args:
        reference: (n, 2d + 1) of ``exact_rows``.
        queries: (q, 2d + 1) of ``exact_rows``.
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
    from threadpoolctl import threadpool_limits

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


Ranked = Iterator[tuple["slice | Int64", Int64]]
"""Some queries, by a slice or their numbers, and (as many, depth) ids, the nearest first."""


def ranked_in(embeddings: Floats, queries: int) -> Callable[[Float64, Int64, Int64], Ranked]:
    """A search among rows: :func:`ranked_blocks`, or with many rows the same by blocks of them.

    Args:
        embeddings: (n, d) the reference, any float type; many rows may be mapped.
        queries: how many will be asked, about.

    Returns:
        A function of exact rows of queries, their depths, rising, and the ids that are left out.

    Raises:
        UserError: see :func:`.unit`.
    """
    rows = len(embeddings)
    if rows > _HELD_ROWS and rows * queries >= _SCREENED_PAIRS and find_spec("numba"):
        from textmetric.measures.neighbours.blocks import Blocks

        return Blocks(embeddings, _threads()).ranked
    return partial(ranked_blocks, exact_rows(embeddings))


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
    check_rows(reference)
    check_rows(queries)
    if np.shape(reference)[1] != np.shape(queries)[1]:
        raise UserError(
            f"queries have width {np.shape(queries)[1]}, expected {np.shape(reference)[1]} as in "
            "the reference: embed both with the same model"
        )
    if not 1 <= k <= len(reference):
        raise UserError(
            f"k is {k}, expected 1 to {len(reference)} (the number of reference rows): choose "
            "another k or give more rows"
        )
    search = ranked_in(reference, len(queries))
    found = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), _ASKED_ROWS):
        asked = exact_rows(queries[start : start + _ASKED_ROWS])
        depths = np.full(len(asked), k, dtype=np.int64)
        for part, ids in search(asked, depths, np.full(len(asked), -1, dtype=np.int64)):
            found[start : start + _ASKED_ROWS][part] = ids
    return found


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
    return majority(labels[nearest_neighbours(reference, queries, min(k, len(labels)))])


def majority(neighbours: Integers) -> Integers:
    """The most frequent class of each row; of equally frequent ones, the first.

    Args:
        neighbours: (q, k) class ids, the nearest neighbour first.

    Returns:
        (q,) int32.

    >>> majority(np.array([[0, 1, 1], [2, 1, 0]]))
    array([1, 2], dtype=int32)
    """
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
        self._screening = None
        if len(reference) * len(queries) >= _SCREENED_PAIRS and find_spec("numba"):
            from textmetric.measures.neighbours.screening import Screening

            self._screening = Screening(reference)

    def parts(self) -> Iterator[slice]:
        """The blocks of queries, in order; the arrays of a block fit in ``_BLOCK_BYTES``."""
        start = 0
        while start < len(self._queries):
            space = len(self._reference)
            if self._screening is not None:
                space = self._screening.space(int(self._depths[start]))
            stop = min(start + self._rows(space), len(self._queries))
            yield slice(start, stop)
            start = stop

    def ranked(self, part: slice) -> Int64:
        """(rows of the slice, depth of the block) ids."""
        queries, left_out = self._queries[part], self._left_out[part]
        depth = int(self._depths[part].max())
        if self._screening is None:
            distances = all_distances(queries, self._reference)
            asking = np.flatnonzero(left_out >= 0)
            distances[asking, left_out[asking]] = np.inf
            return order(distances, depth)
        ids, right = self._screening.nearest(queries, left_out, depth)
        unproven, rows = np.flatnonzero(~right), self._rows(len(self._reference))
        for start in range(0, len(unproven), rows):
            some = unproven[start : start + rows]
            ids[some], _ = self._screening.nearest(
                queries[some], left_out[some], depth, all_rows=True
            )
        return ids

    def _rows(self, space: int) -> int:
        """The queries of a block whose distances to ``space`` rows each are computed."""
        return max(1, min(_SCREENED_QUERIES, _BLOCK_BYTES // (12 * max(1, space))))


def _threads() -> int:
    """The number of threads that matrix products may use now; 1 without threadpoolctl."""
    if not find_spec("threadpoolctl"):
        return 1
    from threadpoolctl import threadpool_info

    return max(
        (
            int(library["num_threads"])
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ),
        default=1,
    )

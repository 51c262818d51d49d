"""Nearest neighbours among more rows than fit in memory as exact rows.

The reference is read a block at a time, as often as there are groups of queries. Of every query the
nearest rows so far are kept, and a row that cannot be among the nearest any more is ruled out by
its float32 similarity, so what is kept of each block is merged exactly. Memory is bounded by the
group, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from textmetric.measures.neighbours.keys import exact_rows, order
from textmetric.measures.neighbours.screening import collect, rank, rounding, space, thresholds
from textmetric.measures.rows import check_rows
from textmetric.types import Float32, Float64, Floats, Int64

_ROWS = 1 << 13  # of a block: its exact rows take some megabytes
_EXACT = 512  # rows that become exact rows at once, in a cache
_TILE = 512  # rows whose similarities to some queries are computed at once
_QUERIES = 512  # whose similarities are computed at once
_SAMPLED = 64  # queries whose similarities to the sample are computed at once
_LEAST_SAMPLE, _SAMPLE_OF = 4096, 128  # rows of the sample: one of 128, at least 4096
_GROUP_BYTES = 2**30  # what is kept of a group of queries
_YIELDED_BYTES = 2**20  # distances that are sorted at once
_MARGIN = 1e-12  # more than the rounding of a distance to 47 bits


class Blocks:
    """The reference of a search, by blocks.

    Args:
        embeddings: (n, d), any float type, at least one row; they may be mapped.
        threads: that share the work of a block.

    Raises:
        UserError: see :func:`.unit`.
    """

    def __init__(self, embeddings: Floats, threads: int = 1) -> None:
        check_rows(embeddings)
        self._rows, self._threads = embeddings, threads
        size = min(len(embeddings), max(_LEAST_SAMPLE, len(embeddings) // _SAMPLE_OF))
        # The sample is the same in every run; it affects the time, not the result.
        chosen = np.random.default_rng(0).choice(len(embeddings), size, replace=False)
        self._sample = _columns(exact_rows(embeddings[np.sort(chosen)]))

    def ranked(
        self, queries: Float64, depths: Int64, left_out: Int64
    ) -> Iterator[tuple[Int64, Int64]]:
        """The nearest rows of the queries, as :func:`.ranked_blocks` finds them.

        Args:
            queries: (q, 2d + 1) of ``exact_rows``.
            depths: (q,) the number of neighbours each query needs, rising.
            left_out: (q,) the id of a row that is not a neighbour of the query, or −1.

        Yields:
            Numbers of queries, and their neighbours (as many, depth of the deepest of them): those
            beyond the depth of a query have no meaning.
        """
        for group in self._groups(depths):
            least = self._thresholds(queries[group], depths[group])
            unproven = []
            kept = self._nearest(queries[group], left_out[group], depths[group], least)
            for some, ids, right in kept.sorted():
                yield group[some[right]], ids[right]
                unproven.append(some[~right])
            again = group[np.concatenate(unproven)]
            if len(again):
                del kept
                least = np.full(len(again), -np.inf, dtype=np.float32)
                kept = self._nearest(queries[again], left_out[again], depths[again], least)
                for some, ids, _ in kept.sorted():
                    yield again[some], ids
            del kept  # before the next group takes as much

    def _groups(self, depths: Int64) -> Iterator[Int64]:
        """The numbers of queries whose neighbours are kept together."""
        different, places = np.unique(depths, return_inverse=True)
        each = 12 * np.array([self._space(int(depth)) for depth in different], dtype=np.int64)
        start = 0
        while start < len(depths):
            bytes_of = np.arange(1, len(depths) - start + 1) * each[places[start:]]
            many = max(1, int(np.searchsorted(bytes_of, _GROUP_BYTES, side="right")))
            yield np.arange(start, start + many)
            start += many

    def _space(self, depth: int) -> int:
        """The rows that are kept of each query: those expected, and those of a tile."""
        expected = space(depth, self._sample.shape[1], len(self._rows))
        return max(depth, expected) + _TILE

    def _thresholds(self, queries: Float64, depths: Int64) -> Float32:
        """(q,) similarities that enough rows of the reference reach, almost always."""
        least = np.full(len(queries), -np.inf, dtype=np.float32)
        size, rows = self._sample.shape[1], len(self._rows)
        for start in range(0, len(queries), _SAMPLED):
            some = slice(start, start + _SAMPLED)
            depth = int(depths[some].max())
            if space(depth, size, rows) < rows:
                place = rank(depth, size, rows)
                least[some] = thresholds(_rounded(queries[some]) @ self._sample, place)
        return least

    def _nearest(self, queries: Float64, left_out: Int64, depths: Int64, least: Float32) -> _Kept:
        """The nearest rows of the queries."""
        kept = _Kept(depths, self._space(int(depths[-1])), least, queries.shape[1] // 2)
        rounded = _rounded(queries)
        parts = [slice(i, i + _QUERIES) for i in range(0, len(queries), _QUERIES)]
        with ExitStack() as stack:
            each = _mapping(stack, min(self._threads, len(parts)))
            for start in range(0, len(self._rows), _ROWS):
                block = self._exact(start)
                columns = _columns(block)

                def add(
                    part: slice,
                    block: Float64 = block,
                    columns: Float32 = columns,
                    start: int = start,
                ) -> None:
                    for first in range(0, len(block), _TILE):
                        kept.make_room(part)
                        collect(
                            rounded[part] @ columns[:, first : first + _TILE],
                            kept.least[part],
                            start + first,
                            queries[part],
                            block,
                            left_out[part],
                            kept.ids[part],
                            kept.distances[part],
                            kept.counts[part],
                            start,
                        )

                for _ in each(add, parts):
                    pass
        return kept

    def _exact(self, start: int) -> Float64:
        rows = self._rows[start : start + _ROWS]
        return np.concatenate(
            [exact_rows(rows[i : i + _EXACT], first=start + i) for i in range(0, len(rows), _EXACT)]
        )


class _Kept:
    """The nearest rows so far of some queries.

    Attributes:
        ids: (q, space + 16), equally near ones in rising order.
        distances: (q, space). Of both, what is not used takes no memory.
        counts: (q,) how many there are.
        least: (q,) the similarity that a row must have to be kept.
    """

    def __init__(self, depths: Int64, space: int, least: Float32, width: int) -> None:
        self._depths, self._space, self._error = depths, space, rounding(width)
        self._first = least  # of the sample, and so to be proven
        self.least = least.copy()
        self.ids = np.zeros((len(depths), space + 16), dtype=np.int32)
        self.distances = np.empty((len(depths), space))
        self.counts = np.zeros(len(depths), dtype=np.int64)

    def make_room(self, part: slice) -> None:
        """Drop what cannot be among the nearest, where there is no space for a tile."""
        full = np.flatnonzero(self.counts[part] > self._space - _TILE)
        for row in full + part.start:
            distances, ids, depth = self.distances[row], self.ids[row], self._depths[row]
            nearest = order(distances[None, : self.counts[row]], depth)[0]
            farthest = distances[nearest[-1]]
            ids[:depth], distances[:depth] = ids[nearest], distances[nearest]
            self.counts[row] = depth
            enough = np.float32(1.0 - farthest - self._error - _MARGIN)
            self.least[row] = max(self.least[row], np.nextafter(enough, np.float32(-np.inf)))

    def sorted(self) -> Iterator[tuple[Int64, Int64, np.ndarray]]:
        """Numbers of queries, their nearest rows in order, and whether that is proven."""
        start = 0
        while start < len(self.counts):
            # The depths rise, so the rows that fit are about as deep as the first.
            many = max(1, _YIELDED_BYTES // (8 * max(1, int(self.counts[start]))))
            part = slice(start, start + many)
            depths, counts = self._depths[part], self.counts[part]
            most = max(int(depths.max()), int(counts.max()))
            distances = self.distances[part, :most].copy()
            distances[np.arange(most) >= counts[:, None]] = np.inf
            places = order(distances, int(depths.max()))
            last = np.take_along_axis(places, depths[:, None] - 1, axis=1)
            farthest = np.take_along_axis(distances, last, axis=1)[:, 0]
            # A row below the threshold of the sample must be farther than the last neighbour.
            right = 1.0 - farthest > self._first[part] + self._error
            ids = np.take_along_axis(self.ids[part], places, axis=1).astype(np.int64)
            yield np.arange(start, start + len(ids)), ids, right
            start += many


def _columns(rows: Float64) -> Float32:
    return np.ascontiguousarray(rows[:, : rows.shape[1] // 2].T, dtype=np.float32)


def _rounded(queries: Float64) -> Float32:
    return np.asarray(queries[:, : queries.shape[1] // 2], dtype=np.float32)


def _mapping(
    stack: ExitStack, threads: int
) -> Callable[[Callable[[slice], None], list[slice]], Iterable[None]]:
    """``map``, in threads if there are several; the matrix products of each use one."""
    if threads <= 1:
        return map
    from threadpoolctl import threadpool_limits

    stack.enter_context(threadpool_limits(1))
    return stack.enter_context(ThreadPoolExecutor(threads)).map

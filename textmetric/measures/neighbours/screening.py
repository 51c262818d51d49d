"""Nearest neighbours among many rows: found in float32, proven by exact distances.

This is a separate module because numba takes half a second to import and small test sets do not
need it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textmetric.measures.neighbours.keys import order
from textmetric.parallel import compiled, compiled_in_order
from textmetric.types import Bools, Float32, Float64, Int32, Int64

_SAMPLE = 4096  # rows
_ALL = 8192  # up to this many rows, the sample is all rows: their products are needed anyway
_TILE = 512  # rows: their parts and their products with a block of queries fit in a cache
_STEP = 16  # similarities compared together


class Screening:
    """Nearest neighbours among many rows.

    The similarities of a query to a sample of the rows give a threshold that somewhat more rows
    than needed reach. Float32 products find these rows; only their exact distances are computed
    and sorted. The sample is the same in every run; it affects the time, not the result.

    Args:
        reference: (n, 2d + 1) of ``exact_rows``.
    """

    def __init__(self, reference: Float64) -> None:
        self._reference = reference
        self._width = reference.shape[1] // 2
        self._columns = np.ascontiguousarray(reference[:, : self._width].T, dtype=np.float32)
        self._sample = self._columns
        if len(reference) > _ALL:
            chosen = np.random.default_rng(0).choice(len(reference), _SAMPLE, replace=False)
            self._sample = np.ascontiguousarray(self._columns[:, chosen])

    def space(self, depth: int) -> int:
        """The number of rows to expect above the threshold, with a margin; 12 bytes each."""
        return space(depth, self._sample.shape[1], len(self._reference))

    def nearest(
        self, queries: Float64, left_out: Int64, depth: int, *, all_rows: bool = False
    ) -> tuple[Int64, Bools]:
        """The ``depth`` nearest rows of each query, where that can be proven.

        Args:
            queries: (q, 2d + 1) of ``exact_rows``.
            left_out: (q,) the id of a row that is not a neighbour of the query, or −1.
            depth: at least 1.
            all_rows: compute the exact distances of all rows, so that everything is proven.

        Returns:
            (q, depth) ids, by rising distance, ties by rising id; (q,) whether they are proven.
            Ids that are not proven have no meaning.
        """
        rounded = queries[:, : self._width].astype(np.float32)
        sampled = rounded @ self._sample
        space = len(self._reference) if all_rows else self.space(depth)
        least = np.full(len(queries), -np.inf, dtype=np.float32)
        if space < len(self._reference):
            place = rank(depth, self._sample.shape[1], len(self._reference))
            least[:] = thresholds(sampled, place)

        ids = np.empty((len(queries), space + _STEP), dtype=np.int32)
        distances = np.full((len(queries), space), np.inf)
        counts = np.zeros(len(queries), dtype=np.int64)
        rows = (queries, self._reference, left_out)
        for first, similarities in self._tiles(rounded, sampled):
            collect(similarities, least, first, *rows, ids, distances, counts)
        most = max(depth, min(space, int(counts.max(initial=0))))
        distances = np.ascontiguousarray(distances[:, :most])
        places = order(distances, depth)
        # A row that was not collected has a float32 similarity below the threshold, so its exact
        # similarity is below that plus the error of a float32 dot product. The last neighbour
        # found must be above, by more than the rounding of its distance.
        last = np.take_along_axis(distances, places[:, -1:], axis=1)[:, 0]
        right = (counts <= space) & (1.0 - last > least + rounding(self._width))
        return np.take_along_axis(ids, places, axis=1).astype(np.int64), right

    def _tiles(self, rounded: Float32, sampled: Float32) -> Iterator[tuple[int, Float32]]:
        """The id of a first row, and the similarities of the queries to it and those after it."""
        if self._sample is self._columns:
            yield 0, sampled
            return
        tile = np.empty(len(rounded) * _TILE, dtype=np.float32)
        for first in range(0, len(self._reference), _TILE):
            columns = self._columns[:, first : first + _TILE]
            out = tile[: len(rounded) * columns.shape[1]].reshape(len(rounded), -1)
            yield first, np.matmul(rounded, columns, out=out)


def rank(depth: int, size: int, rows: int) -> int:
    """The rank in a sample whose similarity ``depth`` of all rows almost always reach."""
    share = size / rows
    expected = (depth + 1) * share  # + 1: the row left out
    # Three standard deviations: of a draw without replacement, and of the groups' maxima.
    return int(expected + 3 * np.sqrt(expected * (1 - share + 0.14)) + 2)


def space(depth: int, size: int, rows: int) -> int:
    """The number of rows to expect above the threshold of :func:`rank`, with a margin."""
    place = rank(depth, size, rows)
    if 2 * place > size:
        return rows
    return int((place + 4 * np.sqrt(place) + 4) / size * rows)


def rounding(width: int) -> float:
    """The largest error of a float32 dot product of unit rows of this width."""
    return 2.0**-23 * (width + 4)


def thresholds(sampled: Float32, place: int) -> Float32:
    """A similarity that about ``place`` of each row reach: (q,) of (q, s).

    The maxima of groups of h are fewer than the similarities, so they are selected from faster. If
    a share p of all is above a similarity, a share (1 − p)ʰ of the maxima is below it.
    """
    share = place / sampled.shape[1]
    together = max(1, int(0.25 / share))
    groups = sampled.shape[1] // together
    maxima = sampled[:, : groups * together].reshape(len(sampled), together, groups).max(axis=1)
    below = int(groups * (1 - share) ** together)
    maxima.partition(below, axis=1)
    least: Float32 = maxima[:, below]
    return least


@compiled
def collect(
    similarities: Float32,
    least: Float32,
    first: int,
    queries: Float64,
    reference: Float64,
    left_out: Int64,
    ids: Int32,
    distances: Float64,
    counts: Int64,
    before: int = 0,
) -> None:
    """Append the columns of each row that reach the row's threshold, and their distances.

    The plain loop is ``ids.extend(first + np.flatnonzero(row >= least))`` for every row. Few
    columns reach the threshold, so the largest of 16 tells whether to look at them. Neither loop
    has a branch that depends on a similarity: the processor would often guess it wrong.

    Args:
        similarities: (q, m) to the rows with the ids first … first + m − 1.
        least: (q,) thresholds.
        first: the id of the first column.
        queries: (q, 2d + 1) of ``exact_rows``.
        reference: (n, 2d + 1) of ``exact_rows``.
        left_out: (q,) the id that is not a neighbour of the query, or −1: its distance is infinite.
        ids: (q, s + 16) filled in place. Nothing more is appended to a row with more than s ids.
        distances: (q, s) filled in place: 1 − cos, as ``all_distances`` computes it.
        counts: (q,) the number of ids in each row, updated in place.
        before: the id of the first row of ``reference``, if that is a block of all rows.
    """
    space = distances.shape[1]
    columns = similarities.shape[1]
    width = reference.shape[1] // 2
    steps = columns - columns % _STEP
    hits = np.empty(columns // _STEP, dtype=np.int32)
    for row in range(similarities.shape[0]):
        enough, count = least[row], counts[row]
        hit = 0
        for start in range(0, steps, _STEP):  # the compiler unrolls loops of constant length
            largest = similarities[row, start]
            for k in range(1, _STEP):
                largest = max(largest, similarities[row, start + k])
            hits[hit] = start
            hit += largest >= enough
        for start in hits[:hit]:
            if count <= space:
                for k in range(_STEP):
                    ids[row, count] = first + start + k
                    count += similarities[row, start + k] >= enough
        if count <= space:
            for column in range(steps, columns):
                ids[row, count] = first + column
                count += similarities[row, column] >= enough
        for place in range(counts[row], min(count, space)):
            other = ids[row, place]
            there = other - before
            high = middle = low = 0.0  # exact, whatever the order of the sum
            for k in range(width):
                high += queries[row, k] * reference[there, k]
                middle += queries[row, k] * reference[there, width + k]
                middle += queries[row, width + k] * reference[there, k]
                low += queries[row, width + k] * reference[there, width + k]
            excess = queries[row, 2 * width] + reference[there, 2 * width]
            distances[row, place] = _distance(high, middle, low, excess)
            if other == left_out[row]:
                distances[row, place] = np.inf
        counts[row] = count


@compiled_in_order
def _distance(high: float, middle: float, low: float, excess: float) -> float:
    return 1.0 - high - middle - low + excess

"""Nearest neighbours among many rows: found in float32, proven in float64.

This is a separate module because numba takes half a second to import and small test sets do not
need it.
"""

from __future__ import annotations

import numpy as np

from textmetric.measures.neighbours.keys import ids_of, key_parts, proven
from textmetric.parallel import compiled
from textmetric.types import Bools, Float32, Float64, Int32, Int64

SAMPLE = 4096
"""Number of rows whose similarities give the threshold; a reference has at least as many."""
_TILE = 2048  # columns of a float32 product: with 256 queries 1 MiB
_STEP = 64  # similarities compared together
_LARGEST_SHARE = 0.06  # of the sample above the threshold; with more, exact keys of all are faster


class Screening:
    """Nearest neighbours among many rows, for queries that need a small share of them.

    The similarities of a query to a sample of the rows give a threshold that somewhat more rows
    than needed reach. Float32 products find these rows; only their exact keys are computed and
    sorted. The sample is the same in every run; it affects the time, not the result.

    Args:
        reference: (n, d) rows of ``on_grid``, n at least 4096.
    """

    def __init__(self, reference: Float64) -> None:
        self._reference = reference
        self._fractions, self._scale = key_parts(len(reference))
        self._columns = np.ascontiguousarray(reference.T, dtype=np.float32)
        chosen = np.random.default_rng(0).choice(len(reference), SAMPLE, replace=False)
        self._sample = np.ascontiguousarray(self._columns[:, chosen])

    def space(self, depth: int) -> int:
        """Rows to allocate for a query, 12 bytes each; 0 if screening would be slow."""
        rank = self._rank(depth)
        if rank > _LARGEST_SHARE * SAMPLE:
            return 0
        return int((rank + 4 * np.sqrt(rank) + 4) / SAMPLE * len(self._reference))

    def nearest(self, queries: Float64, left_out: Int64, depth: int) -> tuple[Int64, Bools]:
        """The ``depth`` nearest rows of each query, where that can be proven.

        Args:
            queries: (q, d) rows of ``on_grid``.
            left_out: (q,) the id of a row that is not a neighbour of the query, or −1.
            depth: at least 1; ``space(depth)`` must not be 0.

        Returns:
            (q, depth) ids, by falling similarity, ties by rising id; (q,) whether they are proven.
            Ids that are not proven have no meaning.
        """
        rounded = queries.astype(np.float32)
        sampled = rounded @ self._sample
        place = SAMPLE - self._rank(depth)
        sampled.partition(place, axis=1)
        least = np.ascontiguousarray(sampled[:, place])

        tile = np.empty(len(queries) * _TILE, dtype=np.float32)
        ids = np.empty((len(queries), self.space(depth) + _STEP), dtype=np.int32)
        counts = np.zeros(len(queries), dtype=np.int64)
        for first in range(0, len(self._reference), _TILE):
            columns = self._columns[:, first : first + _TILE]
            similarities = tile[: len(queries) * columns.shape[1]].reshape(len(queries), -1)
            np.matmul(rounded, columns, out=similarities)
            _collect(similarities, least, first, ids, counts)
        whole = counts <= ids.shape[1] - _STEP

        keys = np.empty((len(queries), max(depth, int(counts[whole].max(initial=0)))))
        counts[~whole] = 0
        _exact_keys(
            self._reference,
            queries,
            ids,
            counts,
            left_out,
            self._scale,
            self._fractions,
            keys,
        )
        keys.sort(axis=1)
        found = keys[:, :depth]
        right = proven(found[:, -1], self._scale, least.astype(np.float64), queries.shape[1])
        found[~right] = 0.0
        return ids_of(found, len(self._reference)), right

    def _rank(self, depth: int) -> int:
        """The rank in the sample whose similarity at least ``depth`` rows almost always reach."""
        expected = (depth + 1) * SAMPLE / len(self._reference)  # + 1: the row left out
        return int(expected + 3 * np.sqrt(expected) + 4)


@compiled
def _collect(
    similarities: Float32,
    least: Float32,
    first: int,
    ids: Int32,
    counts: Int64,
) -> None:
    """Append to ``ids`` the columns of each row that reach the row's threshold.

    The plain loop is ``ids.extend(first + np.flatnonzero(row >= least))`` for every row. Few
    columns reach the threshold, so 64 are compared at once; only if one of them does are the 64
    appended one by one, without a branch.

    Args:
        similarities: (q, m) to the rows with the ids first … first + m − 1.
        least: (q,) thresholds.
        first: the id of the first column.
        ids: (q, s + 64) filled in place. Nothing more is appended to a row with more than s ids.
        counts: (q,) the number of ids in each row, updated in place.
    """
    space = ids.shape[1] - _STEP
    columns = similarities.shape[1]
    steps = columns - columns % _STEP
    for row in range(similarities.shape[0]):
        enough, count = least[row], counts[row]
        for start in range(0, steps, _STEP):  # the compiler unrolls loops of constant length
            reached = np.int32(0)
            for k in range(_STEP):
                reached += np.int32(similarities[row, start + k] >= enough)
            if reached and count <= space:
                for k in range(_STEP):
                    ids[row, count] = first + start + k
                    count += similarities[row, start + k] >= enough
        if count <= space:
            for column in range(steps, columns):
                ids[row, count] = first + column
                count += similarities[row, column] >= enough
        counts[row] = count


@compiled
def _exact_keys(
    reference: Float64,
    queries: Float64,
    ids: Int32,
    counts: Int64,
    left_out: Int64,
    scale: float,
    fractions: Float64,
    keys: Float64,
) -> None:
    """Compute the exact keys of the collected rows; the rest of ``keys`` is infinity.

    The plain loop is ``keys[q, i] = rint(-scale * queries[q] @ reference[ids[q, i]]) +
    fractions[ids[q, i]]``, infinity where the id is ``left_out[q]``. The sums are exact in any
    order.

    Args:
        reference: (n, d) rows of ``on_grid``.
        queries: (q, d) rows of ``on_grid``.
        ids: (q, ≥ s), the first ``counts`` of each row.
        counts: (q,) the number of ids in each row.
        left_out: (q,) the id that is not a neighbour of the query, or −1.
        scale: see ``key_parts``, as for ``fractions``.
        fractions: (n,).
        keys: (q, s) filled in place.
    """
    width = reference.shape[1]
    for row in range(len(queries)):
        count = min(counts[row], keys.shape[1])
        for place in range(count):
            other = ids[row, place]
            similarity = 0.0
            for k in range(width):
                similarity += queries[row, k] * reference[other, k]
            keys[row, place] = np.rint(-scale * similarity) + fractions[other]
            if other == left_out[row]:
                keys[row, place] = np.inf
        for place in range(count, keys.shape[1]):
            keys[row, place] = np.inf

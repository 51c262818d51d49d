"""Distances that are the same on every machine, and the order that they give.

* **Distances without rounding errors of sums.** A dot product of floats depends on the order of
  the sum, and a matrix product changes that order with its shape, the processor and the number of
  threads. So a unit row u is stored as two parts, u = high + low, with so few bits that float64
  holds every product of parts and every sum of them without rounding, in any order. From these
  sums follows 1 − cos = |u − v|² / 2, with a relative error: two rows are told apart however close
  all rows are to each other.
* **Ties by row id.** 1 − cos is rounded to 47 bits. Two neighbours tie if these bits are equal.
  Those of equal rows are, as are those of binary codes at the same Hamming distance.
"""

from __future__ import annotations

import numpy as np

from textmetric.measures.rows import scaled
from textmetric.types import Float64, Floats, Int64

_HIGH = 2.0**26


def exact_rows(embeddings: Floats, *, first: int = 0) -> Float64:
    """Unit rows in two parts, whose dot products are exact.

    The high part is a multiple of 2⁻²⁶, and the low part of 2⁻ᵍ, g = 53 − ⌈log₂(d) / 2⌉ (50 for
    32 dimensions).

    Args:
        embeddings: (n, d), any float type.
        first: the number of the first row in messages, if the rows are a block of a larger array.

    Returns:
        (n, 2d + 1) float64: the high part, the low part, and (|u|² − 1) / 2, which rounding u has
        left (at most 1e-15). Rows of zeros for zero rows.

    Raises:
        UserError: see :func:`scaled`.
    """
    rows = scaled(embeddings, first=first)
    # Sorted, so that the norm does not depend on the order of the coordinates.
    norms = np.sqrt(np.sort(rows * rows, axis=1).sum(axis=1, keepdims=True))
    rows /= np.where(norms > 0, norms, 1.0)
    width = rows.shape[1]
    grid = 2.0 ** (53 - np.ceil(np.log2(max(1, width)) / 2))
    parts = np.empty((len(rows), 2 * width + 1))
    high, low = parts[:, :width], parts[:, width:-1]
    np.rint(rows * _HIGH, out=high)
    high /= _HIGH
    np.rint((rows - high) * grid, out=low)
    low /= grid
    high_high, high_low, low_low = (
        np.einsum("nd,nd->n", one, other) for one, other in ((high, high), (high, low), (low, low))
    )
    excess = ((high_high - 1.0) + (2.0 * high_low + low_low)) / 2.0
    parts[:, -1] = np.where(norms[:, 0] > 0, excess, 0.0)
    return parts


def euclidean_rows(embeddings: Floats) -> tuple[Float64, Float64]:
    """Rows and queries whose cosines fall as the Euclidean distances of the embeddings rise.

    ‖q − x‖² = ‖q‖² − 2 (q·x − ‖x‖²/2), so the nearest x has the largest dot product of (q, 1, 0)
    and (x, −‖x‖²/2, z). With z such that all of the latter are equally long, it has the largest
    cosine. Embeddings are centred and scaled to length 1 at most before, which changes no order.

    Args:
        embeddings: (n, d), any float type.

    Returns:
        Reference and queries, each (n, 2 (d + 2) + 1) of :func:`exact_rows`. Squared distances that
        differ by less than some 1e-14 of the largest squared norm tie.

    Raises:
        UserError: see :func:`scaled`.
    """
    scaled(embeddings)  # raises
    rows = np.asarray(embeddings, dtype=np.float64)
    if len(rows):
        rows = rows / max(np.abs(rows).max(initial=0.0), 1e-300)
        rows = rows - rows.mean(axis=0)
    squares = (rows * rows).sum(axis=1, keepdims=True)
    largest = squares.max(initial=0.0) or 1.0
    rows, squares = rows / np.sqrt(largest), squares / largest
    rest = np.sqrt(np.maximum(1.25 - squares - squares**2 / 4, 0.0))
    reference = np.hstack([rows, -squares / 2, rest])
    queries = np.hstack([rows, np.ones_like(squares), np.zeros_like(squares)])
    return exact_rows(reference), exact_rows(queries)


def all_distances(queries: Float64, reference: Float64) -> Float64:
    """1 − cos of every query and every row.

    Args:
        queries: (q, 2d + 1) of :func:`exact_rows`.
        reference: (n, 2d + 1) of :func:`exact_rows`.

    Returns:
        (q, n), the same on every machine; 1 for zero rows.
    """
    width = queries.shape[1] // 2
    high, low = queries[:, :width], queries[:, width:-1]
    other_high, other_low = reference[:, :width], reference[:, width:-1]
    distances = 1.0 - high @ other_high.T
    distances -= np.hstack([high, low]) @ np.hstack([other_low, other_high]).T
    distances -= low @ other_low.T
    distances += queries[:, -1:] + reference[:, -1]
    return distances


def order(distances: Float64, depth: int) -> Int64:
    """The places of the ``depth`` smallest distances of each row, ties by place.

    Sorting pairs of a distance and a place would take several times as long as sorting numbers. So
    the place replaces the last bits of the distance. Distances that differ only in these bits may
    then be in the wrong order: rows where this has happened are sorted again.

    Args:
        distances: (q, s), rounded to 47 bits in place. Those of equal rows may be below 0 by 1e-24.
        depth: at most s.

    Returns:
        (q, depth).

    >>> order(np.array([[0.5, 0.25, 0.5, 1.0]]), 3)
    array([[1, 0, 2]])
    """
    np.abs(distances, out=distances)
    bits = distances.view(np.int64)  # ordered as the distances are
    bits += 32
    bits &= -64
    places = np.arange(distances.shape[1])
    last = (1 << int(distances.shape[1]).bit_length()) - 1
    keys = (bits & ~last) | places
    keys.sort(axis=1)
    keys &= last
    ordered = np.take_along_axis(bits, keys, axis=1)
    for row in np.flatnonzero((ordered[:, 1:] < ordered[:, :-1]).any(axis=1)):
        _repair(keys[row], ordered[row], last)
    return keys[:, :depth]


def _repair(places: Int64, bits: Int64, last: int) -> None:
    """Sort the places whose distances differ only in the last bits, in each run of such.

    Args:
        places: (s,) sorted in place.
        bits: (s,) of the distances in the order of the places; those without the last bits rise.
        last: the bits that the order does not know.
    """
    known = bits & ~last
    runs = np.cumsum(np.diff(known, prepend=known[:1]) != 0)
    wrong = np.zeros(int(runs[-1]) + 1, dtype=bool)
    wrong[runs[1:][bits[1:] < bits[:-1]]] = True
    some = np.flatnonzero(wrong[runs])
    places[some] = places[some[np.lexsort((places[some], bits[some], runs[some]))]]

"""Similarity and row id in one number, which orders neighbours the same everywhere.

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
"""

from __future__ import annotations

import numpy as np

from textmetric.measures.rows import unit
from textmetric.types import Bools, Float64, Floats, Int64

_GRID = 2.0**26


def on_grid(embeddings: Floats) -> Float64:
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


def key_parts(rows: int) -> tuple[Float64, float]:
    """What makes a key of a similarity s and an id: ``rint(-s * scale) + fractions[id]``.

    The 53 bits of a float64 are shared out: as many as needed to the id, the rest to s.

    Args:
        rows: how many ids there are.

    Returns:
        ``fractions`` (rows,) and ``scale``.
    """
    bits = _id_bits(rows)
    return np.arange(rows) / 2.0**bits, 2.0 ** (52 - bits)


def ids_of(keys: Float64, rows: int) -> Int64:
    """The ids in finite keys of any shape, made for this many ``rows``."""
    fractions = keys - np.floor(keys)
    fractions *= 2.0 ** _id_bits(rows)
    return fractions.astype(np.int64)


def proven(last: Float64, scale: float, bound: Float64, width: int) -> Bools:
    """Are the neighbours found among proposed rows the nearest of all?

    A row that was not proposed has a float32 similarity of at most ``bound``, so an exact one of
    at most that plus the error of a float32 dot product. The last neighbour found must be above.

    Args:
        last: (q,) the key of the last neighbour of each query; infinity if too few were proposed.
        scale: of the keys.
        bound: (q,) float32 similarity that no other row exceeds.
        width: d, the length of the dot products.

    Returns:
        (q,).
    """
    error = 2.0**-23 * (width + 4)
    # One unit of the key for the rounding of the exact similarity.
    above: Bools = -(np.floor(last) + 1) / scale > bound + error
    return above


def _id_bits(rows: int) -> int:
    return max(1, (rows - 1).bit_length())

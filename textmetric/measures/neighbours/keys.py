"""Sort keys that order neighbours the same on every machine: similarity and row id in one number.

* **Exact dot products.** A dot product of floats depends on the order of the sum, and a matrix
  product changes that order with its shape, the processor and the number of threads. Similarities
  of equal rows would then differ in the last bit, and so would the order of ties. So unit rows are
  rounded to multiples of 2⁻²⁶ (finer than float32). Their products are multiples of 2⁻⁵² and
  their sums are below 2, so float64 holds both without rounding, in any order.
* **Ties by row id.** The similarity, rounded to about 35 bits after the binary point, and the row
  id are packed into one float64: the whole part is minus the similarity, the fraction is the id.
  All keys are different, so every sort and partition gives the same order, whatever it does with
  ties. Two similarities are equal if these bits are equal. Those of equal rows are. Those of
  different rows at the same angle to a query may differ by about 1e-8, the same on every machine.
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
    """The constants of the key of a similarity s and an id: ``rint(-s * scale) + fractions[id]``.

    The id takes as many of the 53 bits of a float64 as it needs, s takes the rest.

    Args:
        rows: the number of ids.

    Returns:
        ``fractions`` (rows,) and ``scale``.
    """
    bits = _id_bits(rows)
    return np.arange(rows) / 2.0**bits, 2.0 ** (52 - bits)


def ids_of(keys: Float64, rows: int) -> Int64:
    """The ids in finite keys of any shape, made by :func:`key_parts` for ``rows`` ids."""
    fractions = keys - np.floor(keys)
    fractions *= 2.0 ** _id_bits(rows)
    return fractions.astype(np.int64)


def proven(last: Float64, scale: float, bound: Float64, width: int) -> Bools:
    """Whether the neighbours found among proposed rows are provably the nearest of all rows.

    A row that was not proposed has a float32 similarity of at most ``bound``, so its exact
    similarity is at most ``bound`` plus the error of a float32 dot product. The last neighbour
    found must be above that.

    Args:
        last: (q,) the key of the last neighbour of each query; infinity if too few were proposed.
        scale: of the keys, see :func:`key_parts`.
        bound: (q,) the float32 similarity that no other row exceeds.
        width: d, the length of the dot products.

    Returns:
        (q,) True where it is proven.
    """
    error = 2.0**-23 * (width + 4)
    # One unit of the key for the rounding of the exact similarity.
    above: Bools = -(np.floor(last) + 1) / scale > bound + error
    return above


def _id_bits(rows: int) -> int:
    return max(1, (rows - 1).bit_length())

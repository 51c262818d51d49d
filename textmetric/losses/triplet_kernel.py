"""The compiled twin of :class:`textmetric.losses.triplet.Triplet`: distances, miners, gradient.

``textmetric.losses.mining`` and ``textmetric.losses.distances`` say what is computed; here it is
written as loops over anchors, positives and negatives. Comparisons are made in the precision of
the embeddings, as there. Among tied negatives or positives the one with the lowest row counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from textmetric.losses.objective import Floats
from textmetric.parallel import compiled

EUCLIDEAN, SQUARED_EUCLIDEAN, COSINE = range(3)
ALL, RANDOM, EASY, SEMI_HARD, HARD = range(5)

LANES = 32
"""How many numbers the compiler takes at a time: rows are filled up to a multiple."""

# A distance is at least 0, so its bits order as whole numbers do, and the smallest of whole
# numbers is found 8 or 16 at a time: the compiler leaves floats alone, for the sake of NaN.
BITS: dict[str, type[np.signedinteger[Any]]] = {"float32": np.int32, "float64": np.int64}


class Mined(NamedTuple):
    """What a batch gives besides its gradient; ``textmetric.losses.mining.Triplets`` in numbers.

    Attributes:
        loss: as the torch objective has it.
        active: mined triplets with non-zero loss.
        total: mined triplets.
        mined: those that are what the miner looks for.
        positive_distance: mean distance of same-class pairs, NaN without any.
        negative_distance: mean distance of different-class pairs, NaN without any.
    """

    loss: float
    active: int
    total: int
    mined: int
    positive_distance: float
    negative_distance: float


@compiled
def _to_unit(rows: Floats, units: Floats, lengths: Floats) -> None:
    """``textmetric.losses.distances.unit``; a row that is left as it is has length 0."""
    size, width = rows.shape
    for b in range(size):
        square = rows.dtype.type(0)
        for k in range(width):
            square += rows[b, k] * rows[b, k]
        length = np.sqrt(square)
        lengths[b] = length if length > 1e-12 else 0
        divisor = length if length > 1e-12 else rows.dtype.type(1)
        for k in range(width):
            units[b, k] = rows[b, k] / divisor


@compiled
def _through_unit(units: Floats, lengths: Floats, gradient: Floats) -> None:
    """From the gradient by unit rows u to that by the rows: ``(g − u (u · g)) / length``."""
    size, width = units.shape
    for b in range(size):
        if lengths[b] == 0:
            continue
        along = units.dtype.type(0)
        for k in range(width):
            along += units[b, k] * gradient[b, k]
        for k in range(width):
            gradient[b, k] = (gradient[b, k] - units[b, k] * along) / lengths[b]


@compiled
def _norms(rows: Floats, norms: Floats) -> None:
    """``norms[i, j] = ‖rows[i] − rows[j]‖``, exactly symmetric, 0 on the diagonal."""
    size, width = rows.shape
    for i in range(size):
        for j in range(i, size):
            square = rows.dtype.type(0)
            for k in range(width):
                difference = rows[i, k] - rows[j, k]
                square += difference * difference
            norms[i, j] = norms[j, i] = np.sqrt(square)


@compiled
def _least_above(limit: Any, keys: npt.NDArray[Any]) -> Any:
    """The smallest of ``keys`` above ``limit``; the largest number there is for none."""
    none = keys.dtype.type(np.iinfo(keys.dtype).max)
    least = none
    for q in range(len(keys)):
        key = keys[q] if keys[q] > limit else none
        least = key if key < least else least  # not min(): the compiler knows this form
    return least


@compiled
def _first_row_of(wanted: Any, keys: npt.NDArray[Any], rows: npt.NDArray[np.int32]) -> Any:
    """The smallest of ``rows`` whose key is ``wanted``; there must be one."""
    none = np.int32(np.iinfo(np.int32).max)
    first = none
    for q in range(len(keys)):
        row = rows[q] if keys[q] == wanted else none
        first = row if row < first else first
    return first


@compiled
def _hinge(distances: Floats, reaches: Floats, p: int, n: int, slope: Floats) -> int:
    """Count the triplet of one anchor with p and n into ``slope``, if its loss is not 0."""
    if not reaches[p] > distances[n]:
        return 0
    slope[p] += 1
    slope[n] -= 1
    return 1


@compiled
def triplet(
    embeddings: Floats,
    labels: npt.NDArray[np.int64],
    draws: npt.NDArray[np.float32],
    bits: npt.NDArray[np.signedinteger[Any]],
    reach_bits: npt.NDArray[np.signedinteger[Any]],
    miner: int,
    distance: int,
    margin: float,
    active_mean: bool,
    normalize: bool,
    gradient: Floats,
) -> Mined:
    """The triplet loss of a batch and its gradient.

    Args:
        embeddings: (B, d).
        labels: (B,).
        draws: (B, B) uniform in [0, 1): which negative a pair falls back to; any shape for the
            miners that draw nothing.
        bits: (B, B) of ``BITS[dtype]``, a place to work in.
        reach_bits: another.
        miner: ``ALL`` … ``HARD``.
        distance: ``EUCLIDEAN`` … ``COSINE``.
        margin: at least 0.
        active_mean: the reduction, else ``mean``.
        normalize: unit rows first.
        gradient: (B, d) to be filled.

    Returns:
        The loss and the counts.
    """
    size, width = embeddings.shape
    kind = embeddings.dtype.type
    rows = embeddings
    # Cosine distances take unit rows, of rows that may have been put on the sphere already.
    rounds = int(normalize) + int(distance == COSINE)
    units = np.empty((rounds, size, width), embeddings.dtype)
    lengths = np.empty((rounds, size), embeddings.dtype)
    for turn in range(rounds):
        _to_unit(rows, units[turn], lengths[turn])
        rows = units[turn]

    norms = np.empty((size, size), embeddings.dtype)
    _norms(rows, norms)
    distances, reaches = bits.view(embeddings.dtype), reach_bits.view(embeddings.dtype)
    for a in range(size):
        for j in range(size):
            value = norms[a, j]
            if distance == SQUARED_EUCLIDEAN:
                value = value * value
            elif distance == COSINE:
                value = kind(0.5) * (value * value)
            distances[a, j] = value
            reaches[a, j] = value + kind(margin)

    slope = np.zeros((size, size), embeddings.dtype)
    near, far = np.empty(size + 1, np.int32), np.empty(size + LANES, np.int32)
    nearest, met = np.empty(size + LANES, bits.dtype), np.empty(size, np.int32)
    values = nearest.view(embeddings.dtype)
    active = total = mined = 0
    positive_sum = negative_sum = 0.0
    positive_pairs = negative_pairs = 0
    for a in range(size):
        positives = negatives = 0
        row_sum = near_sum = 0.0
        for j in range(size):
            same = labels[j] == labels[a]
            near[positives] = far[negatives] = j  # kept if counted: no branch to guess wrong
            nearest[negatives] = bits[a, j]
            positives += same and j != a
            negatives += not same
        for j in range(size):
            row_sum += distances[a, j]
        for p in near[:positives]:
            near_sum += distances[a, p]
        positive_sum += near_sum
        negative_sum += row_sum - near_sum
        positive_pairs += positives
        negative_pairs += negatives
        if positives == 0 or negatives == 0:
            continue
        if miner == ALL:
            total += positives * negatives
            mined += positives * negatives
            met[:negatives] = 0
            for p in near[:positives]:
                limit, count = reaches[a, p], 0
                for q in range(negatives):
                    hit = values[q] < limit
                    met[q] += hit
                    count += hit
                slope[a, p] = count
                active += count
            for q in range(negatives):
                slope[a, far[q]] = -met[q]
        elif miner in (EASY, HARD):
            total += 1
            mined += 1
            # hard: the farthest positive and the nearest negative; easy: the other way round
            sign = kind(1 if miner == HARD else -1)
            p, n = near[0], far[0]
            for j in near[:positives]:
                if sign * distances[a, j] > sign * distances[a, p]:
                    p = j
            for j in far[:negatives]:
                if sign * distances[a, j] < sign * distances[a, n]:
                    n = j
            active += _hinge(distances[a], reaches[a], p, n, slope[a])
        else:
            total += positives
            whole = -(-negatives // LANES) * LANES
            nearest[negatives:whole] = np.iinfo(bits.dtype).max
            for p in near[:positives]:
                n = np.int32(-1)
                if miner == SEMI_HARD:
                    key = _least_above(bits[a, p], nearest[:whole])
                    if key < reach_bits[a, p]:
                        n = _first_row_of(key, nearest[:whole], far)
                if n >= 0 or miner == RANDOM:
                    mined += 1
                if n < 0:
                    # The product can round up to the number of negatives itself.
                    n = far[min(int(draws[a, p] * np.float32(negatives)), negatives - 1)]
                active += _hinge(distances[a], reaches[a], p, n, slope[a])

    # Without a triplet the slopes are all 0: the loss is 0 and so is its gradient.
    divisor = max(active if active_mean else total, 1)
    loss = margin * active / divisor
    for a in range(size):
        for j in range(size):
            loss += slope[a, j] * distances[a, j] / divisor

    gradient[:] = 0
    for a in range(size):
        for j in range(a + 1, size):
            norm = norms[a, j]
            share = (slope[a, j] + slope[j, a]) / kind(divisor)
            # At distance 0 the gradient is 0; a NaN goes on into the gradient.
            if norm == 0 or (share == 0 and norm == norm):
                continue
            if distance == EUCLIDEAN:
                share /= norm
            elif distance == SQUARED_EUCLIDEAN:
                share *= 2
            for k in range(width):
                difference = share * (rows[a, k] - rows[j, k])
                gradient[a, k] += difference
                gradient[j, k] -= difference
    for turn in range(rounds - 1, -1, -1):
        _through_unit(units[turn], lengths[turn], gradient)

    return Mined(
        loss,
        active,
        total,
        mined,
        positive_sum / positive_pairs,
        negative_sum / negative_pairs,
    )

"""t-SNE by its exact gradient, the fastest method for up to some thousands of points. No torch.

The loop over all n² pairs of 1,000 points takes 0.4 ms because the processor runs several pairs at
a time; building and walking a Barnes-Hut tree takes ten times as long. The descent is that of
openTSNE, so that maps of few and of many points are alike.

The descent amplifies a difference in the last bit until the map looks different. So everything here
is arithmetic in a fixed order, which every processor rounds alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from textmetric.parallel import compiled, compiled_in_order
from textmetric.types import Float64, Int64

_EXAGGERATION = 12.0
_TOGETHER = 256  # points whose sums over all other points fit in the fastest cache
_TAYLOR = tuple(1 / math.factorial(k) for k in range(11, -1, -1))


def optimise(
    start: Float64,
    neighbours: Int64,
    distances: Float64,
    *,
    perplexity: float,
    early_iterations: int,
    iterations: int,
    tick: Callable[[], Any],
    tick_every: int,
) -> Float64:
    """Minimise the KL divergence of t-SNE by gradient descent.

    The descent has momentum 0.8, gains (Jacobs 1988) and the learning rates of Belkina et al.
    2019: n / 12 while attraction is exaggerated 12 times, then n.

    Args:
        start: (n, 2) initial coordinates.
        neighbours: (n, k) ids of other points.
        distances: (n, k) to these neighbours, in the space of the embeddings.
        perplexity: soft number of neighbours, below k.
        early_iterations: iterations with exaggeration.
        iterations: iterations after these.
        tick: called after every ``tick_every`` iterations of either phase.
        tick_every: at least 1.

    Returns:
        (n, 2) coordinates.
    """
    starts, others, attraction = joint_probabilities(neighbours, distances, perplexity)
    places = np.ascontiguousarray(start.T)
    update, gains = np.zeros_like(places), np.ones_like(places)
    for total, exaggeration in ((early_iterations, _EXAGGERATION), (iterations, 1.0)):
        for done in range(0, total, tick_every):
            now = min(tick_every, total - done)
            rate = places.shape[1] / exaggeration
            _descend(places, update, gains, starts, others, attraction * exaggeration, rate, now)
            if now == tick_every:
                tick()
    return np.ascontiguousarray(places.T)


def joint_probabilities(
    neighbours: Int64, distances: Float64, perplexity: float
) -> tuple[Int64, Int64, Float64]:
    """The joint probabilities P of van der Maaten and Hinton 2008, the attraction of two points.

    Args:
        neighbours: (n, k) ids of other points.
        distances: (n, k) to these neighbours.
        perplexity: of the Gaussian over the k neighbours of each point, below k.

    Returns:
        A sparse symmetric matrix with sum 1 in CSR form: row starts (n + 1,), columns (m,), rising
        in each row, and values (m,).
    """
    n, k = neighbours.shape
    conditional = np.empty((n, k))
    _gaussians(distances * distances, perplexity, conditional)
    starts = np.arange(0, n * k + 1, k)
    one_way = csr_matrix((conditional.ravel(), neighbours.ravel(), starts), shape=(n, n))
    joint = one_way + one_way.T
    joint.sort_indices()
    joint.data /= joint.data.sum()
    return joint.indptr.astype(np.int64), joint.indices.astype(np.int64), joint.data


def warm_up() -> None:
    """Compile everything that a map needs before forking."""
    ring = np.arange(6)
    places = np.stack([np.cos(ring), np.sin(ring)], axis=1)
    neighbours = np.stack([(ring + 1) % 6, (ring + 5) % 6], axis=1)
    optimise(
        places,
        neighbours,
        distances_to(neighbours, places),
        perplexity=1.5,
        early_iterations=1,
        iterations=1,
        tick=lambda: None,
        tick_every=1,
    )


@compiled_in_order
def distances_to(neighbours: Int64, rows: Float64) -> Float64:
    """Euclidean distances (n, k) of the rows (n, d) to their neighbours, ids (n, k)."""
    n, k = neighbours.shape
    found = np.empty((n, k))
    for i in range(n):
        for place in range(k):
            j = neighbours[i, place]
            squared = 0.0
            for axis in range(rows.shape[1]):
                apart = rows[i, axis] - rows[j, axis]
                squared += apart * apart
            found[i, place] = np.sqrt(squared)
    return found


@compiled_in_order
def _exp(x: float) -> float:
    """eˣ to 12 digits, from below −745 (0) to 700: (Taylor series of e^(x / 4096)) ^ 4096."""
    small = max(x, -800.0) / 4096
    power = 0.0
    for coefficient in _TAYLOR:
        power = power * small + coefficient
    for _ in range(12):
        power *= power
    return power


@compiled_in_order
def _gaussians(squared: Float64, perplexity: float, conditional: Float64) -> None:
    """Fill each row of ``conditional`` with the Gaussian of this perplexity; both (n, k)."""
    n, k = squared.shape
    for i in range(n):
        nearest = squared[i].min()
        low, high, precision = 0.0, np.inf, 1.0
        for _ in range(200):
            total = product = 0.0
            for j in range(k):
                conditional[i, j] = _exp(-precision * (squared[i, j] - nearest))
            for j in range(k):
                total += conditional[i, j]
                product += conditional[i, j] * (squared[i, j] - nearest)
            # The exponential of the entropy, in nats.
            found = total * _exp(precision * product / total)
            if abs(found - perplexity) < 1e-8 * perplexity:
                break
            if found > perplexity:
                low = precision
                precision = precision * 2 if high == np.inf else (precision + high) / 2
            else:
                high = precision
                precision = (low + precision) / 2
        for j in range(k):
            conditional[i, j] /= total


@compiled_in_order
def _push(places: Float64, push: Float64) -> float:
    """Fill ``push`` with Σ_j q² d of every point, both (2, n), and return Σ q.

    The inner loop is over points, not over the terms of a sum, so the compiler can vectorise it
    without reordering a sum.
    """
    n = places.shape[1]
    sums = np.zeros(n)
    push[:] = 0.0
    for first in range(0, n, _TOGETHER):
        some = slice(first, first + _TOGETHER)
        x, y, sum_x, sum_y = places[0, some], places[1, some], push[0, some], push[1, some]
        sum_q = sums[some]
        for j in range(n):
            x_j, y_j = places[0, j], places[1, j]
            for i in range(len(x)):
                dx, dy = x[i] - x_j, y[i] - y_j
                q = 1.0 / (1.0 + dx * dx + dy * dy)
                sum_q[i] += q
                q *= q
                sum_x[i] += q * dx
                sum_y[i] += q * dy
    total = 0.0
    for i in range(n):
        total += sums[i] - 1.0  # without the pair of the point with itself
    return total


@compiled_in_order
def _descend(
    places: Float64,
    update: Float64,
    gains: Float64,
    starts: Int64,
    others: Int64,
    attraction: Float64,
    rate: float,
    iterations: int,
) -> None:
    """Run some iterations; changes ``places``, ``update`` and ``gains``, each (2, n), in place.

    With d = y_i − y_j and q = 1 / (1 + ‖d‖²) for all pairs, the gradient of y_i is
    Σ_j p_ij q d − Σ_j q² d / Σ q.
    """
    n = places.shape[1]
    pull, push = np.empty_like(places), np.empty_like(places)
    for _ in range(iterations):
        total = _push(places, push)
        for i in range(n):
            x, y = places[0, i], places[1, i]
            sum_x = sum_y = 0.0
            for cell in range(starts[i], starts[i + 1]):
                j = others[cell]
                dx, dy = x - places[0, j], y - places[1, j]
                q = attraction[cell] / (1.0 + dx * dx + dy * dy)
                sum_x += q * dx
                sum_y += q * dy
            pull[0, i], pull[1, i] = sum_x, sum_y
        for i in range(n):
            for axis in range(2):
                gradient = pull[axis, i] - push[axis, i] / total
                # Raised while steps go against the gradient; lowered after overshooting.
                if np.sign(update[axis, i]) != np.sign(gradient):
                    gains[axis, i] += 0.2
                else:
                    gains[axis, i] = gains[axis, i] * 0.8 + 0.01
                step = rate * gains[axis, i] * gradient
                update[axis, i] = 0.8 * update[axis, i] - step
            length = np.sqrt(update[0, i] ** 2 + update[1, i] ** 2)
            if length > 5.0:
                update[0, i] *= 5.0 / length
                update[1, i] *= 5.0 / length
            places[0, i] += update[0, i]
            places[1, i] += update[1, i]
        for axis in range(2):
            mean = 0.0
            for i in range(n):
                mean += places[axis, i]
            mean /= n
            for i in range(n):
                places[axis, i] -= mean


@compiled
def kl_divergence(places: Float64, starts: Int64, others: Int64, values: Float64) -> float:
    """KL(P ‖ Q) of a map over all n² pairs, which t-SNE minimises.

    Args:
        places: (n, 2).
        starts: see :func:`joint_probabilities`, as for the next two.
        others: see there.
        values: see there.

    Returns:
        The divergence in nats, at least 0.
    """
    n = len(places)
    total = sum_p = divergence = 0.0
    for i in range(n):
        x, y = places[i, 0], places[i, 1]
        for j in range(n):
            dx, dy = x - places[j, 0], y - places[j, 1]
            total += 1.0 / (1.0 + dx * dx + dy * dy)
        for cell in range(starts[i], starts[i + 1]):
            dx, dy = x - places[others[cell], 0], y - places[others[cell], 1]
            p = values[cell]
            if p > 0:
                divergence += p * np.log(p * (1.0 + dx * dx + dy * dy))
                sum_p += p
    return float(divergence + sum_p * np.log(total - n))

"""Choose a stratified sample of rows, and project embeddings to the plane by t-SNE. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textmetric.errors import UserError, needing

with needing("t-SNE", "train"):
    from threadpoolctl import threadpool_limits

from textmetric import parallel
from textmetric.measures import nearest_neighbours, unit
from textmetric.sampling.draws import first_of_each
from textmetric.types import Float32, Float64, Floats, Int64, Integers

_FEWEST_ROWS = 3
"""Fewest rows of a class in a sample."""
_FEWEST_KEPT_ROWS = 12
"""Fewest rows of a scarce class in a sample: fewer do not show whether it is compact."""
_FEWEST_FOR_TSNE = 5
"""With fewer rows, all other points are neighbours of every point, and PCA is enough."""
_TICK_EVERY = 50
_MOST_STEPS = 300
"""Most steps of the iteration for principal components."""
_CLOSE = 1e-6
"""The iteration ends when no loading changes by more in a step."""
_MOST_EXACT_ROWS = 12_000
"""With more rows, openTSNE's interpolation is faster than the sum over all pairs."""


def sample_rows(
    labels: Integers,
    points: int | None,
    seed: int,
    keep: Sequence[int] = (),
) -> Int64:
    """Draw a sample of rows, stratified by class.

    Every class gets rows in proportion to its size, but at least 3, or at least 12 if it is in
    ``keep``, or all its rows if it has fewer. So only a small class is sampled more densely than
    the others, not one that is in ``keep`` but large. If these minima add up to more than
    ``points`` (200 classes and 500 points), the sample is larger than ``points``.

    Args:
        labels: (n,) class ids.
        points: number of rows, >= 1; ``None`` (or n and more) chooses all.
        seed: of the draw, >= 0.
        keep: class ids with the larger minimum, such as the scarce ones; ids that no row has are
            ignored.

    Returns:
        (m,) row numbers, ascending.

    Raises:
        UserError: ``points`` is below 1.
    """
    if points is not None and points < 1:
        raise UserError(f"points is {points}, expected at least 1: raise it")
    n = len(labels)
    if points is None or points >= n:
        return np.arange(n, dtype=np.int64)
    classes, members, rows = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.isin(classes, np.asarray(keep, dtype=np.int64))
    quota = _quotas(
        rows,
        least=np.minimum(rows, np.where(kept, _FEWEST_KEPT_ROWS, _FEWEST_ROWS)),
        points=points,
    )
    return first_of_each(np.random.default_rng(seed).permutation(n), members, quota)


def scarce_rows(labels: Integers, scarce: Sequence[int]) -> Int64:
    """The rows of the scarce labels, if there are several: these get a separate map.

    One scarce label stands out by its colour; thirty labels among two hundred do not.

    Args:
        labels: (n,) class ids.
        scarce: ids of the scarce labels.

    Returns:
        (m,) row numbers, ascending; empty for fewer than two labels.
    """
    if len(scarce) < 2:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.isin(labels, np.asarray(scarce, dtype=np.int64)))


def _quotas(
    rows: Int64,
    least: Int64,
    points: int,
) -> Int64:
    """Rows of each class: ``clip(scale * rows, least, rows)``, scaled to add up to ``points``.

    All arguments except ``points`` are (C,). Rows left over by rounding down go to the largest
    remainders, ties to the lower class id. Unlike :func:`textmetric.sampling.draws.apportion`,
    this keeps the proportions between the classes above their minimum.
    """
    low, high = 0.0, 1.0  # at scale 1 every class has all its rows
    for _ in range(60):
        scale = (low + high) / 2
        if np.clip(scale * rows, least, rows).sum() <= points:
            low = scale
        else:
            high = scale
    exact = np.clip(low * rows, least, rows)
    quota: Int64 = np.floor(exact).astype(np.int64)
    left = max(0, points - int(quota.sum()))
    largest = np.argsort(quota - exact, kind="stable")
    largest = largest[quota[largest] < rows[largest]][:left]
    quota[largest] += 1
    return quota


def tsne(
    embeddings: Floats,
    *,
    perplexity: float = 30,
    early_iterations: int = 250,
    iterations: int = 500,
    seed: int = 0,
    tick: Callable[[], Any] = lambda: None,
) -> Float32:
    """Project embeddings to the plane so that neighbours stay neighbours (van der Maaten 2008).

    Rows are scaled to unit length first, so that Euclidean neighbours are the cosine neighbours
    of the measures; a zero row stays zero. Neighbours are exact, the start is the first two
    principal components, and the learning rate is n / 12, then n. Up to 12,000 rows the gradient
    is exact, in O(n²) per iteration (:mod:`textmetric.tsne.exact`); with more, openTSNE
    interpolates it. It runs in one thread and in float64, and does not depend on the order in which
    BLAS sums or on the C library's exp and log. So the same input and seed give the same bytes in
    every process, also on another processor.

    The perplexity is at most (n - 1) / 3, because each row needs three times that many neighbours.
    Fewer than 5 rows get their principal components.

    Args:
        embeddings: (n, d), finite.
        perplexity: soft number of neighbours, > 1.
        early_iterations: iterations with attraction exaggerated 12 times.
        iterations: iterations after that.
        seed: of the tiny jitter of the start, which separates equal rows.
        tick: called after every 50 iterations.

    Returns:
        (n, 2) coordinates, centred on 0.

    Raises:
        UserError: embeddings are not a matrix or not finite, or perplexity is not above 1.
    """
    if perplexity <= 1:
        raise UserError(f"perplexity is {perplexity:g}, expected more than 1: raise it")
    rows = unit(embeddings)
    n = len(rows)
    with threadpool_limits(limits=1):
        start = _principal_components(rows)
        if n < _FEWEST_FOR_TSNE:
            return start.astype(np.float32)
        random = np.random.default_rng(seed)
        spread = start[:, 0].std()
        # As in openTSNE: the start has a spread of 1e-4, and a hundredth of that as jitter.
        start = start * (1e-4 / spread if spread > 1e-12 else 0.0)
        # Uniform, because the tails of numpy's normal draws depend on the C library's logarithm.
        start += random.uniform(-2e-6, 2e-6, start.shape)
        coordinates = _optimised(
            rows,
            start,
            perplexity=min(perplexity, (n - 1) / 3),
            early_iterations=early_iterations,
            iterations=iterations,
            tick=tick,
        )
    coordinates -= coordinates.mean(axis=0)
    return coordinates.astype(np.float32)


def tsne_each(
    embeddings: Sequence[Floats],
    *,
    perplexity: float = 30,
    early_iterations: int = 250,
    iterations: int = 500,
    seed: int = 0,
    workers: int | None = None,
    label: str = "t-SNE",
    progress: bool = False,
) -> list[Float32]:
    """Run :func:`tsne` on each of several embeddings, in parallel processes.

    Args:
        embeddings: arrays (n, d), which may differ in shape.
        perplexity: see :func:`tsne`, as for the next three.
        early_iterations: see there.
        iterations: see there.
        seed: the same for all.
        workers: number of processes; None for one per core. The result does not depend on it.
        label: the title of the progress bar.
        progress: show a progress bar.

    Returns:
        An (n, 2) array for each, in their order.

    Raises:
        UserError: see :func:`tsne`.
    """
    if any(len(one) >= _FEWEST_FOR_TSNE for one in embeddings):
        from textmetric.tsne.exact import warm_up

        warm_up()
    settings = {
        "perplexity": perplexity,
        "early_iterations": early_iterations,
        "iterations": iterations,
        "seed": seed,
    }
    return parallel.run(
        _tsne_job,
        [{"embeddings": one, **settings} for one in embeddings],
        workers=workers,
        ticks=early_iterations // _TICK_EVERY + iterations // _TICK_EVERY,
        label=label,
        unit=f"x{_TICK_EVERY} iterations",
        progress=progress,
    )


def _tsne_job(job: dict[str, Any], tick: Callable[[], None]) -> Float32:
    return tsne(**job, tick=tick)


def _principal_components(rows: Float64) -> Float64:
    """(n, 2) scores of the first two components; the largest loading of each is positive.

    Matrix products of floats depend on the processor. So the rows and the loadings are rounded to
    integers that are small enough for float64 to hold every product and every sum without rounding.
    """
    n, d = rows.shape
    centred = rows - rows.mean(axis=0) if n else rows
    largest = np.abs(centred).max(initial=0.0)
    if largest == 0:
        return np.zeros((n, 2))
    scale = 2.0 ** ((53 - max(n, d).bit_length()) // 2)
    whole = np.rint(centred * (scale / largest))
    axes = _leading(whole.T @ whole)
    strongest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes *= np.where(strongest < 0, -1.0, 1.0)
    scores: Float64 = whole @ np.rint(axes * scale).T * (largest / scale**2)
    return scores


def _leading(matrix: Float64) -> Float64:
    """The two leading eigenvectors (2, d) of a positive semidefinite matrix (d, d).

    By orthogonal iteration (Golub and Van Loan, Matrix Computations, 8.2.4), because LAPACK's last
    bits depend on the processor. Where eigenvalues are almost equal, it stops at a mixture of their
    vectors, which explains as much.
    """
    one, two = np.random.default_rng(0).uniform(-1, 1, (2, len(matrix)))
    for _ in range(_MOST_STEPS):
        before = np.stack([one, two])
        one, two = _scaled((matrix * one).sum(axis=1)), (matrix * two).sum(axis=1)
        for _ in range(2):  # the first time leaves rounding errors if the matrix has rank 1
            two = _scaled(two - (one * two).sum() * one)
        if np.abs(np.stack([one, two]) - before).max() < _CLOSE:
            break
    return np.stack([one, two])


def _scaled(vector: Float64) -> Float64:
    """``vector`` with length 1; zero stays zero. Without BLAS, unlike ``np.linalg.norm``."""
    length = math.sqrt(float((vector * vector).sum()))
    scaled: Float64 = vector / (length or 1.0)
    return scaled


def _neighbours(rows: Float64, k: int) -> tuple[Int64, Float64]:
    """The exact ``k`` nearest other rows and their distances, both (n, k).

    Args:
        rows: (n, d) unit or zero rows. Zero rows are neighbours of each other, and as far from
            the others as rows at a right angle.
        k: 1 … n − 1.
    """
    from textmetric.tsne.exact import distances_to

    rows = np.column_stack([rows, ~rows.any(axis=1)])
    found = nearest_neighbours(rows, rows, k + 1)
    itself = found == np.arange(len(rows))[:, None]
    # Among many equal rows a row may not find itself; then the farthest is dropped.
    itself[~itself.any(axis=1), -1] = True
    neighbours = found[~itself].reshape(len(rows), k)
    return neighbours, distances_to(neighbours, rows)


def _optimised(
    rows: Float64,
    start: Float64,
    *,
    perplexity: float,
    early_iterations: int,
    iterations: int,
    tick: Callable[[], Any],
) -> Float64:
    # Imported here because numba takes half a second, and sampling rows does not need it.
    from textmetric.tsne.exact import joint_probabilities, optimise

    neighbours, distances = _neighbours(rows, min(len(rows) - 1, math.ceil(3 * perplexity)))
    if len(rows) <= _MOST_EXACT_ROWS:
        return optimise(
            start,
            neighbours,
            distances,
            perplexity=perplexity,
            early_iterations=early_iterations,
            iterations=iterations,
            tick=tick,
            tick_every=_TICK_EVERY,
        )
    # Imported here because it takes two seconds, and only this many rows need it.
    with needing("t-SNE of more than 12,000 rows", "study"):
        from openTSNE import TSNE
        from openTSNE.affinity import PrecomputedAffinities
    from scipy.sparse import csr_matrix

    starts, others, values = joint_probabilities(neighbours, distances, perplexity)
    joint = csr_matrix((values, others, starts), shape=(len(rows), len(rows)))
    embedding = TSNE(
        early_exaggeration_iter=early_iterations,
        n_iter=iterations,
        n_jobs=1,
        callbacks=lambda *_: tick() and None,
        callbacks_every_iters=_TICK_EVERY,
    ).fit(affinities=PrecomputedAffinities(joint, normalize=False), initialization=start)
    return np.array(embedding, dtype=np.float64)

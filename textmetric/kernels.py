"""Compiled loops over the token vectors of a batch: the mean bags, and the update of its rows.

A batch of 64 texts is some microseconds of arithmetic; a framework's call costs as much before
it has done anything. Each function here is one plain loop, compiled by numba for the types it
is called with (float32 in training, float64 in tests) and kept on disk: the first run on a
machine compiles for a few seconds, later ones read the result.

Sums run in one order on one thread, and NaN stays NaN: what the compiler may do is to keep
partial sums of a reduction and to fuse products with sums, always in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
_Function = TypeVar("_Function", bound=Callable[..., Any])

SGD, ADAGRAD, ADAM = range(3)


def compiled(function: _Function) -> _Function:
    """``function`` compiled by numba when it is first called, and cached on disk.

    The cache stands beside the source or, where that folder cannot be written, in the user's
    own cache folder; where neither can be, every process compiles for itself. A cached function
    is not compiled again when a compiled function of *another file* that it calls has changed,
    so compiled functions call those of their own file only.
    """
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract"}, "error_model": "numpy"}
    try:
        return cast(_Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba's word for: no folder for the cache
        return cast(_Function, numba.njit(**options)(function))


@compiled
def mean_bags(
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    weight: Floats,
    bags: Floats,
) -> None:
    """The mean token vector of some texts; zero for a text without a token.

    The plain loop: ``bags[b] = weight[ids[offsets[r]:offsets[r + 1]]].mean(0)``, r = ``rows[b]``.

    Args:
        ids: (m,) token ids of all texts, read only.
        offsets: (n + 1,) where each text starts in ``ids``, read only.
        rows: (B,) the texts.
        weight: (V, d) the token vectors.
        bags: (B, d) to be filled.
    """
    width = weight.shape[1]
    for b in range(len(rows)):
        start, stop = offsets[rows[b]], offsets[rows[b] + 1]
        for k in range(width):
            bags[b, k] = 0
        for place in range(start, stop):
            token = ids[place]
            for k in range(width):
                bags[b, k] += weight[token, k]
        if stop > start:
            length = bags.dtype.type(stop - start)
            for k in range(width):
                bags[b, k] /= length


@compiled
def row_gradients(
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    gradient: Floats,
    place: npt.NDArray[np.int32],
    touched: npt.NDArray[np.int32],
    sums: Floats,
) -> int:
    """The gradient of every token vector that a batch touches, from that of its mean bags.

    The plain loop: for each text b of ``rows`` and each of its tokens, add
    ``gradient[b] / number of tokens`` to the token's sum. Nothing is sorted: ``place`` says where
    the sum of a token stands.

    Args:
        ids: (m,) token ids of all texts, read only.
        offsets: (n + 1,) where each text starts in ``ids``, read only.
        rows: (B,) the texts.
        gradient: (B, d) of the loss by the bags.
        place: (V,) −1 everywhere, before and after.
        touched: (t,) filled with the different tokens, in the order of their first occurrence;
            t must be large enough.
        sums: (t, d) filled with their gradients.

    Returns:
        The number of different tokens.
    """
    width = gradient.shape[1]
    share = np.empty(width, gradient.dtype)
    count = 0
    for b in range(len(rows)):
        start, stop = offsets[rows[b]], offsets[rows[b] + 1]
        length = gradient.dtype.type(max(stop - start, 1))
        for k in range(width):
            share[k] = gradient[b, k] / length
        for position in range(start, stop):
            token = ids[position]
            at = place[token]
            if at < 0:
                place[token] = count
                touched[count] = token
                for k in range(width):
                    sums[count, k] = share[k]
                count += 1
            else:
                for k in range(width):
                    sums[at, k] += share[k]
    for at in range(count):
        place[touched[at]] = -1
    return count


@compiled
def update_rows(
    rule: int,
    weight: Floats,
    first: Floats,
    second: Floats,
    touched: npt.NDArray[np.int32],
    count: int,
    gradient: Floats,
    lr: float,
) -> None:
    """One step of an optimiser on ``count`` different rows of ``weight``, in place.

    The plain loop: ``weight[touched[i]] -= change(gradient[i])`` for i below ``count``, where
    change is :meth:`textmetric.optimizers.Optimizer._change`.

    Args:
        rule: ``SGD``, ``ADAGRAD`` or ``ADAM``.
        weight: (V, d).
        first: (V, d) the squares that Adagrad sums up, Adam's first moment; any shape for SGD.
        second: (V, d) Adam's second moment; any shape for the others.
        touched: (t,) the rows, all different.
        count: at most t.
        gradient: (t, d) of the rows ``touched``.
        lr: the learning rate; for Adam with both corrections of the bias multiplied in.
    """
    width = weight.shape[1]
    kind = weight.dtype.type
    step = kind(lr)
    if rule == SGD:
        for i in range(count):
            row = touched[i]
            for k in range(width):
                weight[row, k] -= gradient[i, k] * step
    elif rule == ADAGRAD:
        eps = kind(1e-10)
        for i in range(count):
            row = touched[i]
            for k in range(width):
                slope = gradient[i, k]
                first[row, k] += slope * slope
                weight[row, k] -= slope * step / (np.sqrt(first[row, k]) + eps)
    else:
        fresh, fresh_square, eps = kind(1 - 0.9), kind(1 - 0.999), kind(1e-8)
        for i in range(count):
            row = touched[i]
            for k in range(width):
                slope = gradient[i, k]
                first[row, k] += (slope - first[row, k]) * fresh
                second[row, k] += (slope * slope - second[row, k]) * fresh_square
                weight[row, k] -= first[row, k] * step / (np.sqrt(second[row, k]) + eps)

"""Compiled loops over the token vectors of a batch: the mean bags, and the update of its rows.

A batch of 64 texts is some microseconds of arithmetic; a framework's call costs as much before
it has done anything. Each function here is one plain loop, compiled by numba for the types it
is called with (float32 in training, float64 in tests) and kept on disk: the first run on a
machine compiles for a few seconds, later ones read the result.

Sums run in one order on one thread, and NaN stays NaN: what the compiler may do is to keep
partial sums of a reduction and to fuse products with sums, always in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from textmetric.parallel import compiled
from textmetric.types import Floats, Int32, Int64

SGD, ADAGRAD, ADAM = range(3)


def _prefetch(typing: Any, array: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        line = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        to_read, to_keep, of_data = number(0), number(3), number(1)
        builder.call(function, [line, to_read, to_keep, of_data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


prefetch: Any = intrinsic(_prefetch)
"""``prefetch(array, place)``: ask for the cache line of ``array.flat[place]``, and go on.

It changes no value. The rows of a batch lie all over the token vectors, which no near cache holds:
waiting for them one after another was two thirds of a step.
"""


@compiled
def number_tokens(
    ids: Int32,
    offsets: Int64,
    rows: Int64,
    numbers: Int32,
    of_position: Int32,
    touched: Int32,
    weight: Floats,
    first: Floats,
    second: Floats,
) -> int:
    """Number the different tokens of a batch in the order of their first occurrence.

    The plain loop: for every token of every text of ``rows``, one after another, give it the
    next number if it has none, and note its number at its position. No branch depends on a
    token, as most would be guessed wrong. What the next steps read is on its way already.

    Args:
        ids: (m,) token ids of all texts, read only.
        offsets: (n + 1,) where each text starts in ``ids``, read only.
        rows: (B,) the texts.
        numbers: (V,) −1 everywhere, before and after.
        of_position: (t,) filled with the numbers; t at least the tokens of the batch.
        touched: (u,) filled with the token of each number; u above the different tokens.
        weight: (V, d) fetched; so are ``first`` and ``second``, the moments, unless empty.
        first: (V, d) or empty.
        second: (V, d) or empty.

    Returns:
        How many different tokens there are.
    """
    width, line = weight.shape[1], 64 // weight.itemsize
    position = count = 0
    for row in rows:
        for place in range(offsets[row], offsets[row + 1], 16):
            prefetch(ids, place)
    for row in rows:
        for place in range(offsets[row], offsets[row + 1]):
            token = ids[place]
            for k in range(token * width, (token + 1) * width, line):
                prefetch(weight, k)
                if first.size:
                    prefetch(first, k)
                if second.size:
                    prefetch(second, k)
            number = numbers[token]
            fresh = number < 0
            number = count if fresh else number
            numbers[token] = number
            of_position[position] = number
            touched[count] = token
            count += fresh
            position += 1
    for number in range(count):
        numbers[touched[number]] = -1
    return count


@compiled
def mean_bags(
    ids: Int32,
    offsets: Int64,
    rows: Int64,
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
    offsets: Int64,
    rows: Int64,
    of_position: Int32,
    gradient: Floats,
    sums: Floats,
) -> None:
    """The gradient of every token vector that a batch touches, from that of its mean bags.

    The plain loop: for each text b of ``rows`` and each of its tokens, add
    ``gradient[b] / number of tokens`` to the token's sum.

    Args:
        offsets: (n + 1,) where each text starts, read only.
        rows: (B,) the texts.
        of_position: (t,) the number of each token of the batch, of :func:`number_tokens`.
        gradient: (B, d) of the loss by the bags.
        sums: (u, d) by number; added to.
    """
    width = gradient.shape[1]
    share = np.empty(width, gradient.dtype)
    position = 0
    for b in range(len(rows)):
        tokens = offsets[rows[b] + 1] - offsets[rows[b]]
        length = gradient.dtype.type(max(tokens, 1))
        for k in range(width):
            share[k] = gradient[b, k] / length
        for _ in range(tokens):
            number = of_position[position]
            position += 1
            for k in range(width):
                sums[number, k] += share[k]


@compiled
def update_rows(
    rule: int,
    weight: Floats,
    first: Floats,
    second: Floats,
    touched: Int32,
    count: int,
    gradient: Floats,
    lr: float,
    eps: float,
) -> None:
    """One step of an optimiser on ``count`` different rows of ``weight``; the gradient is used up.

    The plain loop: ``weight[touched[i]] -= change(gradient[i])`` for i below ``count``, where
    change is the rule of ``torch.optim.SGD``, ``Adagrad`` or ``SparseAdam`` (betas .9 and .999).

    Args:
        rule: ``SGD``, ``ADAGRAD`` or ``ADAM``.
        weight: (V, d).
        first: (V, d) the squares that Adagrad sums up, Adam's first moment; any shape for SGD.
        second: (V, d) Adam's second moment; any shape for the others.
        touched: (t,) the rows, all different.
        count: at most t.
        gradient: (t, d) of the rows ``touched``; 0 afterwards.
        lr: the learning rate; for Adam with both corrections of the bias multiplied in.
        eps: added to the root of the second moment; SGD does not use it.
    """
    width = weight.shape[1]
    kind = weight.dtype.type
    step, tiny = kind(lr), kind(eps)
    if rule == SGD:
        for i in range(count):
            row = touched[i]
            for k in range(width):
                weight[row, k] -= gradient[i, k] * step
                gradient[i, k] = 0
    elif rule == ADAGRAD:
        for i in range(count):
            row = touched[i]
            for k in range(width):
                slope = gradient[i, k]
                gradient[i, k] = 0
                first[row, k] += slope * slope
                weight[row, k] -= slope * step / (np.sqrt(first[row, k]) + tiny)
    else:
        fresh, fresh_square = kind(1 - 0.9), kind(1 - 0.999)
        for i in range(count):
            row = touched[i]
            for k in range(width):
                slope = gradient[i, k]
                gradient[i, k] = 0
                first[row, k] += (slope - first[row, k]) * fresh
                second[row, k] += (slope * slope - second[row, k]) * fresh_square
                weight[row, k] -= first[row, k] * step / (np.sqrt(second[row, k]) + tiny)

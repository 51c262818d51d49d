"""From tokens or text vectors to embeddings, and from these to class scores, with numpy alone.

Training and :mod:`textmetric.runtime` both embed and classify by these functions, so that a saved
model gives the same bits with and without torch. What a row gets depends on that row alone: not on
the other rows of the call, the number of threads, or the processor. Bags are summed token by
token, and :class:`Linear` sums without rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.measures.neighbours import centroid_predict
from textmetric.measures.rows import unit
from textmetric.types import Float32, Float64, Floats, Int32, Int64

Layer = Literal["bag", "linear", "layernorm", "mlp"]
Arrays = Mapping[str, Float32]
"""Weights by their names in a saved model."""
Shapes = dict[str, tuple[int, ...]]

TEMPERATURE, LAYER_NORM = 0.05, True
"""Of ``norm_softmax``, where its parameters do not say."""

EPSILON = 1e-5  # of torch's layer norm
_EXACT_BITS = 53  # of float64
_OPERAND_BITS = 24  # of float32
_ROWS_AT_ONCE = 1 << 15
_BLOCK_VALUES = 1 << 16  # so that the sums of a block of texts stay in the processor's cache
_PROJECTED_ROWS = 1 << 10
_FEW_TEXTS = 8
_TOKENS_AT_ONCE = 1 << 8


def embed_tokens(
    vectors: Float32, ids: Int32, offsets: Int64, layer: Layer, weights: Arrays
) -> Float32:
    """The embeddings (n, dim) of n tokenised texts.

    The bag of a text is the mean of its token vectors, summed in their order; that of a text
    without a known token is zero.

    Args:
        vectors: (V, width) of the tokens.
        ids: (m,) of the tokens, one text after another.
        offsets: (n + 1,) where each text starts in ``ids``.
        layer: what is on top of the bag.
        weights: of the layer, see :func:`layer_shapes`.

    Raises:
        IndexError: a token has no vector.
    """
    if ids.size and not 0 <= ids.min() <= ids.max() < len(vectors):
        raise IndexError(f"a token has an id outside the {len(vectors)} token vectors")
    project, dim = _projection(layer, weights, vectors.shape[1])
    out = np.empty((len(offsets) - 1, dim), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found later
        for rows, bags in _bags(vectors, ids, offsets):
            out[rows] = project(bags)
    return out


def embed_vectors(values: Float32, layer: Layer, weights: Arrays) -> Float32:
    """The embeddings (n, dim) of n text vectors (n, width); see :func:`embed_tokens`."""
    project, dim = _projection(layer, weights, values.shape[1])
    out = np.empty((len(values), dim), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(values), _PROJECTED_ROWS):
            block = slice(start, start + _PROJECTED_ROWS)
            out[block] = project(values[block])
    return out


def layer_shapes(layer: Layer, width: int, dim: int) -> Shapes:
    """The weights of a layer by name, with their shapes: those of the torch modules."""
    names: dict[Layer, Shapes] = {
        "bag": {},
        "linear": {"weight": (dim, width), "bias": (dim,)},
        "layernorm": {
            "0.weight": (width,), "0.bias": (width,), "1.weight": (dim, width), "1.bias": (dim,),
        },
        "mlp": {
            "0.weight": (width, width), "0.bias": (width,), "2.weight": (dim, width),
            "2.bias": (dim,),
        },
    }  # fmt: skip
    return {f"projection.{name}": shape for name, shape in names[layer].items()}


def head_shapes(objective: str, classes: int, dim: int) -> Shapes:
    """The weights of the head of an objective, by name; none if it has no head."""
    heads: dict[str, Shapes] = {
        "cross_entropy": {"fc.weight": (classes, dim), "fc.bias": (classes,)},
        "norm_softmax": {"proxies": (classes, dim)},
    }
    return heads.get(objective, {})


class Linear:
    """``inputs @ weight.T + bias`` in float64, the same bits in whatever order it is summed.

    The sums of a matrix product depend on its shape, the processor and the number of threads. So
    each row of the inputs and of the weights is rounded to a multiple of a power of two that its
    largest value determines: to so few bits (24 each for a width of 32, 22 for 512) that float64
    holds every product and every sum of them exactly. The rounding of the inputs and weights is
    about as large as that of the sums of a product in float32.

    Args:
        weight: (dim, width).
        bias: (dim,).
    """

    def __init__(self, weight: Floats, bias: Floats) -> None:
        room = _EXACT_BITS - (weight.shape[1] - 1).bit_length()
        self._bits = min(room // 2, _OPERAND_BITS)
        whole, self._steps = _whole(weight, min(room - self._bits, _OPERAND_BITS))
        self._columns = np.ascontiguousarray(whole.T)
        self._bias = bias.astype(np.float64)

    def __call__(self, inputs: Floats) -> Float64:
        """(n, width) → (n, dim)."""
        whole, steps = _whole(inputs, self._bits)
        out: Float64 = whole @ self._columns
        out *= steps
        out *= self._steps.T
        out += self._bias
        return out


def _whole(rows: Floats, bits: int) -> tuple[Float64, Float64]:
    """Rows as whole numbers of at most this many bits (n, d), and what each is a multiple of."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    step = np.ldexp(1.0, np.frexp(largest)[1] - bits)
    whole = rows / step
    np.rint(whole, out=whole)
    return whole, step


def _projection(
    layer: Layer, weights: Arrays, width: int
) -> tuple[Callable[[Float32], Floats], int]:
    """From bags or text vectors (n, width) to embeddings (n, dim), and dim."""
    found = {name.removeprefix("projection."): value for name, value in weights.items()}
    if layer == "bag":
        return lambda rows: rows, width
    if layer == "linear":
        linear = Linear(found["weight"], found["bias"])
        return linear, len(found["bias"])
    if layer == "layernorm":
        scale, shift = found["0.weight"], found["0.bias"]
        linear = Linear(found["1.weight"], found["1.bias"])
        return lambda rows: linear(normalised(rows) * scale + shift), len(found["1.bias"])
    hidden = Linear(found["0.weight"], found["0.bias"])
    linear = Linear(found["2.weight"], found["2.bias"])
    return lambda rows: linear(np.maximum(hidden(rows), 0)), len(found["2.bias"])


def normalised(rows: Floats) -> Float64:
    """Layer norm: every row shifted to mean 0 and scaled to variance 1, (n, d)."""
    centred = np.asarray(rows, dtype=np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    scaled: Float64 = centred / np.sqrt(variance + EPSILON)
    return scaled


def _bags(vectors: Float32, ids: Int32, offsets: Int64) -> Iterator[tuple[Int64, Float32]]:
    """Rows of the texts, and their bags; the texts of a block have about the same length.

    As a loop over texts: ``vectors[ids].sum(axis=0) / len(ids)``, or zero without ids.
    """
    at_once = max(1, _BLOCK_VALUES // vectors.shape[1])
    for first in range(0, len(offsets) - 1, _ROWS_AT_ONCE):
        ends = offsets[first : first + _ROWS_AT_ONCE + 1]
        starts, lengths = ends[:-1], np.diff(ends)
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), at_once):
            rows = order[start : start + at_once]
            sums = _sums(vectors, ids, starts[rows], lengths[rows])
            sums /= np.maximum(lengths[rows, None], 1).astype(np.float32)
            yield first + rows, sums


def _sums(vectors: Float32, ids: Int32, starts: Int64, lengths: Int64) -> Float32:
    """The sums (b, width) of the vectors of b texts, the longest text first."""
    # how many texts have a token at each place
    longest = int(lengths[0])
    counts = np.searchsorted(-lengths, -np.arange(longest), side="left").tolist()
    filled = counts[0] if counts else 0
    sums = np.empty((len(starts), vectors.shape[1]), dtype=np.float32)
    # mode: ids in range are not checked again, which would take a copy
    np.take(vectors, ids[starts[:filled]], axis=0, out=sums[:filled], mode="clip")
    sums[filled:] = 0
    places, added = starts[:filled].copy(), np.empty_like(sums[:filled])
    for place, count in enumerate(counts[1:], start=1):
        if count < _FEW_TEXTS and longest - place > _FEW_TEXTS:
            for row in range(count):
                rest = ids[starts[row] + place : starts[row] + lengths[row]]
                sums[row] = _added(vectors, rest, sums[row])
            break
        places += 1
        np.take(vectors, ids[places[:count]], axis=0, out=added[:count], mode="clip")
        sums[:count] += added[:count]
    return sums


def _added(vectors: Float32, ids: Int32, total: Float32) -> Float32:
    """``total`` and the vectors of all ids, added one after another."""
    for first in range(0, len(ids), _TOKENS_AT_ONCE):
        some = ids[first : first + _TOKENS_AT_ONCE]
        # not np.sum, which adds in pairs if the width is 1
        total = np.add.accumulate(np.concatenate([total[None], vectors[some]]), axis=0)[-1]
    return total


@dataclass(frozen=True, eq=False)
class Classifier:
    """What predicts the class of an embedding.

    Attributes:
        objective: ``name`` and parameters of the objective that the model was trained with.
        head: its weights, see :func:`head_shapes`; none if it has no head.
        logistic: (C, dim + 1), the weights and, last, the intercepts of a logistic regression on
            the unit embeddings; None without.
        centroids: (C, dim) mean unit embedding of each class; NaN for a class without any.
    """

    objective: Mapping[str, Any]
    head: Arrays
    logistic: Float32 | None
    centroids: Float32

    def predict(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 by the head, else the logistic regression, else the centroids."""
        scores = self._scores(embeddings)
        return self.by_centroid(embeddings) if scores is None else _largest(scores)

    def scores(self, embeddings: Float32) -> Float64:
        """The scores (n, C) of the classes, by what :meth:`predict` predicts with.

        They are the logits of the head or of the logistic regression, or else the cosines to the
        class centroids: −∞ for a class without train rows.
        """
        scores = self._scores(embeddings)
        return cosine_scores(self.centroids, embeddings) if scores is None else scores

    def by_head(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 that the head gives to embeddings (n, dim).

        Raises:
            UserError: the model was trained by a metric objective and has no head.
        """
        if not self.head:
            raise UserError(
                f"a model trained with {self.objective['name']!r} has no classification "
                "head: predict by the nearest centroid instead"
            )
        return _largest(head_scores(self.objective, self.head, embeddings))

    def by_logistic(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 that the logistic regression gives to embeddings (n, dim).

        Raises:
            UserError: the model has none.
        """
        if self.logistic is None:
            raise UserError(
                "this model has no logistic regression: predict by the nearest centroid instead"
            )
        return _largest(linear_scores(self.logistic, embeddings))

    def by_centroid(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 whose centroid has the largest cosine with each embedding."""
        return centroid_predict(self.centroids, embeddings).astype(np.int32, copy=False)

    def _scores(self, embeddings: Float32) -> Float64 | None:
        """(n, C), whose softmax are probabilities; None if the centroids predict."""
        if self.head:
            return head_scores(self.objective, self.head, embeddings)
        if self.logistic is not None:
            return linear_scores(self.logistic, embeddings)
        return None


def head_scores(objective: Mapping[str, Any], head: Arrays, embeddings: Float32) -> Float64:
    """(n, C) scores of embeddings (n, dim), as :meth:`.ClassificationObjective.logits`.

    Args:
        objective: its ``name`` and parameters.
        head: its weights, see :func:`head_shapes`.
        embeddings: (n, dim).
    """
    if objective["name"] == "cross_entropy":
        return Linear(head["fc.weight"], head["fc.bias"])(embeddings)
    rows: Floats = embeddings
    if objective.get("layer_norm", LAYER_NORM):
        rows = normalised(rows)
    proxies = unit(head["proxies"]) / objective.get("temperature", TEMPERATURE)
    return Linear(proxies, np.zeros(len(proxies)))(unit(rows))


def cosine_scores(centroids: Floats, embeddings: Floats) -> Float64:
    """The cosines (n, C) of embeddings (n, dim) to centroids (C, dim); −∞ for one of NaN."""
    missing = np.asarray(np.isnan(centroids).any(axis=1))
    known = unit(np.where(missing[:, None], 0, centroids))
    cosines = Linear(known, np.zeros(len(known)))(unit(embeddings))
    cosines[:, missing] = -np.inf
    return cosines


def linear_scores(logistic: Float32, embeddings: Float32) -> Float64:
    """The scores (n, C) of embeddings (n, dim) by weights (C, dim + 1), the intercepts last."""
    return Linear(logistic[:, :-1], logistic[:, -1])(unit(embeddings))


def _largest(scores: Float64) -> Int32:
    labels: Int32 = scores.argmax(axis=1).astype(np.int32)
    return labels


def checked_vectors(values: npt.ArrayLike, name: str) -> Float32:
    """Text vectors as float32, (n, width).

    Args:
        values: the same, of any type of number.
        name: what they are, for messages: a plural.

    Raises:
        UserError: they have another shape, are no numbers, or are not finite.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float32), np.nan)
    array = np.asarray(values)
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "fiu":
        raise UserError(
            f"{name} are {array.dtype} of shape {array.shape}, expected numbers of shape "
            "(n, width): give one vector a text"
        )
    with np.errstate(over="ignore"):  # infinity is found below
        found = np.ascontiguousarray(array, dtype=np.float32)
    wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if wrong.size:
        raise UserError(
            f"{name} hold NaN or infinity in row {wrong[0]} (counted from 0): correct that vector, "
            "or drop its text"
        )
    return found

"""Use a saved model: embed, classify, compare and find neighbours with numpy and safetensors alone.

What trained the model (torch, numba, pydantic, scikit-learn, …) is not imported, and need not be
installed. The embeddings are those of :meth:`.TextEmbedder.transform`, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.inference import checked_vectors, embed_tokens, embed_vectors
from textmetric.measures.neighbours import nearest_neighbours
from textmetric.measures.rows import unit
from textmetric.predictor import Predictor, class_prior
from textmetric.saved import Saved, labels_of
from textmetric.text import RaggedTokens, checked_texts
from textmetric.types import Bools, Float32, Float64, Int64, PathLike

Texts = Iterable[str] | npt.NDArray[np.floating[Any]]
"""Texts, or an array of floats with a row for each; what the rows are is up to the method."""

_QUERIES_AT_ONCE = 1 << 10
_ROWS_AT_ONCE = 1 << 14
_FEW_QUERIES = 256
"""More are compared with all rows at once."""


class Neighbours(NamedTuple):
    """The nearest rows of an index.

    Attributes:
        rows: (q, k) int64, rows of the index, the nearest first.
        cosines: (q, k) float64, in [-1, 1].
    """

    rows: Int64
    cosines: Float64


class Model(Predictor):
    """A saved model, ready to embed and classify.

    Attributes:
        label_names: the C class names.
        classes_: (C,) the labels, of the type that they had.
        class_prior_: (C,) float64, the share of each class in the labelled texts.
        temperature_: of the probabilities; None if it was not fitted.
        dim: width of the embeddings.

    >>> from tempfile import TemporaryDirectory
    >>> import textmetric
    >>> texts = ["red apple pie", "green apple juice", "fast red car", "slow green car"]
    >>> embedder = textmetric.TextEmbedder(dim=32, lr=0.1)
    >>> embedder = embedder.fit(texts, ["food", "food", "road", "road"])
    >>> with TemporaryDirectory() as folder:
    ...     embedder.save(folder)
    ...     model = textmetric.load(folder)
    >>> model.predict(["juice pie"]).tolist(), model.transform(["juice pie"]).shape
    (['food'], (1, 32))
    >>> model.index(texts).neighbors(["a car"], k=2).rows.tolist()
    [[2, 3]]
    """

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self.label_names = saved.label_names
        self.classes_ = labels_of(saved.label_names, saved.label_type)
        self.class_prior_ = class_prior(saved.counts, len(saved.label_names))
        self.temperature_ = saved.temperature
        self.dim: int = saved.recipe["model"]["dim"]

    @classmethod
    def load(cls, folder: PathLike) -> Model:
        """The model that ``TextEmbedder.save`` or the pipeline wrote to ``folder``.

        Raises:
            UserError: a file is missing, damaged or of another format.
        """
        return cls(Saved.read(folder))

    def transform(self, texts: Texts) -> Float32:
        """The embeddings (n, dim) float32 of n texts.

        Args:
            texts: n texts; or, if the encoder is frozen, their vectors (n, width), which its
                sentence encoder or the user gives.

        Raises:
            UserError: an item is no string, the package ``tokenizers`` is missing that the model's
                tokenizer needs, or the vectors are missing, not finite or of another width.
        """
        saved = self._saved
        layer = saved.recipe["model"]["layer"]
        if saved.frozen:
            return embed_vectors(self._text_vectors(texts), layer, saved.encoder)
        return self._embedded(self._tokens(texts))

    def _tokens(self, texts: Texts) -> RaggedTokens:
        return self._saved.vocabulary.encode(checked_texts(texts, empty_allowed=True))

    def _embedded(self, tokens: RaggedTokens) -> Float32:
        saved = self._saved
        weights = {name: array for name, array in saved.encoder.items() if name != "weight"}
        layer, vectors = saved.recipe["model"]["layer"], saved.encoder["weight"]
        return embed_tokens(vectors, tokens.ids, tokens.offsets, layer, weights)

    def scores(self, X: Texts) -> tuple[Float64, Bools]:  # noqa: N803
        """The scores (n, C) of the classes, and which of the n texts have a known token (n,)."""
        if self._saved.frozen:
            embeddings, known = self.transform(X), None
        else:
            tokens = self._tokens(X)
            embeddings, known = self._embedded(tokens), tokens.lengths > 0
        if known is None:
            known = np.ones(len(embeddings), dtype=bool)
        return self._saved.classifier.scores(embeddings), known

    def similarity(self, a: Texts, b: Texts) -> Float64:
        """The cosines (n, m) of n texts and m texts; 0 for a text without a known token.

        Args:
            a: texts, or embeddings (n, dim) of :meth:`transform`.
            b: the same.
        """
        cosines: Float64 = unit(self._embeddings(a)) @ unit(self._embeddings(b)).T
        return cosines

    def index(self, texts: Texts) -> Index:
        """What :meth:`Index.neighbors` searches.

        Args:
            texts: n texts, or embeddings (n, dim) of :meth:`transform`.
        """
        return Index(self, self._embeddings(texts))

    def _embeddings(self, texts: Texts) -> Float32:
        if not _is_numbers(texts):
            return self.transform(texts)
        found = checked_vectors(texts, "the embeddings")
        if found.shape[1] != self.dim:
            raise UserError(
                f"the embeddings are {found.shape[1]} wide, but those of the model {self.dim}: "
                "give what transform returns"
            )
        return found

    def _text_vectors(self, texts: Texts) -> Float32:
        width, source = self._saved.width, self._saved.recipe["model"].get("vectors")
        if not _is_numbers(texts):
            raise UserError(
                f"this model embeds given vectors, not texts: give an array (n, {width})"
                if source is None
                else f"this model embeds the vectors of the sentence encoder {source}: give an "
                f"array (n, {width}) of them, or use TextEmbedder.load, which needs the extras "
                "train and pretrained"
            )
        found = checked_vectors(texts, "the text vectors")
        if found.shape[1] != width:
            raise UserError(
                f"the text vectors have the shape {found.shape}, but the encoder was made for "
                f"(n, {width}): give vectors of that width, or train again"
            )
        return found


class Index:
    """Embeddings to search, see :meth:`Model.index`.

    Attributes:
        embeddings: (n, dim) float32.
    """

    def __init__(self, model: Model, embeddings: Float32) -> None:
        self._model = model
        self.embeddings = embeddings

    def __len__(self) -> int:
        return len(self.embeddings)

    def neighbors(self, query: Texts, k: int = 10) -> Neighbours:
        """The k rows of the index with the highest cosine to each query, equal cosines by row.

        Args:
            query: q texts, or embeddings (q, dim).
            k: at least 1; all rows are found if there are fewer.

        Raises:
            UserError: k is below 1, or the index is empty.
        """
        asked = self._model._embeddings(query)
        if not len(self):
            raise UserError("the index is empty: build it from at least one text")
        k = min(k, len(self))
        if len(asked) > _FEW_QUERIES or k < 1:  # which is refused there
            rows = nearest_neighbours(self.embeddings, asked, k)
        else:
            rows = np.array([self._nearest(each, k) for each in asked], np.int64).reshape(-1, k)
        cosines = np.empty(rows.shape)
        for start in range(0, len(rows), _QUERIES_AT_ONCE):
            block = slice(start, start + _QUERIES_AT_ONCE)
            found = self.embeddings[rows[block]].reshape(-1, self._model.dim)
            near = unit(found).reshape(*rows[block].shape, -1)
            cosines[block] = np.einsum("qd,qkd->qk", unit(asked[block]), near)
        return Neighbours(rows, cosines)

    @cached_property
    def _units(self) -> Float32:
        """(n, dim) the embeddings scaled to length 1."""
        units = np.empty_like(self.embeddings)
        for start in range(0, len(units), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            units[block] = unit(self.embeddings[block])
        return units

    def _nearest(self, query: Float32, k: int) -> Int64:
        """The k nearest rows, as :func:`nearest_neighbours` finds them, for one query (dim,).

        Cosines in float32 find the rows that may be among them, so that few are compared exactly.
        """
        if not query.any():
            return np.arange(k)  # all rows are equally near
        cosines = self._units @ unit(query[None])[0].astype(np.float32)
        least = np.partition(cosines, -k)[-k]
        # a sum of d products is off by d · 2⁻²⁴ at most, that of `least` too; and so are its terms
        near = np.flatnonzero(cosines >= least - (self._model.dim + 4) * 2.0**-22)
        rows: Int64 = near[nearest_neighbours(self.embeddings[near], query[None], k)[0]]
        return rows


def _is_numbers(texts: Texts) -> TypeGuard[npt.NDArray[np.floating[Any]]]:
    return isinstance(texts, np.ndarray) and texts.dtype.kind in "fiu"


load = Model.load

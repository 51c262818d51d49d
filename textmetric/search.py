"""Similarity and nearest neighbours of texts, for estimators and for saved models."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.inference import checked_vectors
from textmetric.measures.neighbours import nearest_neighbours
from textmetric.measures.rows import unit
from textmetric.types import Float32, Float64, Int64

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


class Searcher:
    """What embeds texts, so that they can be compared and searched."""

    _n_features_out: int

    def transform(self, X: Any) -> Float32:  # noqa: N803
        """The embeddings (n, dim) float32 of n texts."""
        raise NotImplementedError  # abstract: every searcher has its own

    def similarity(self, a: Texts, b: Texts) -> Float64:
        """The cosines (n, m) of n texts and m texts; 0 for a text without a known token.

        Args:
            a: texts, or embeddings (n, dim) of :meth:`transform`.
            b: the same.
        """
        cosines: Float64 = unit(self.embeddings_of(a)) @ unit(self.embeddings_of(b)).T
        return cosines

    def index(self, texts: Texts) -> Index:
        """What :meth:`Index.neighbors` searches.

        Args:
            texts: n texts, or embeddings (n, dim) of :meth:`transform`.
        """
        return Index(self, self.embeddings_of(texts))

    def embeddings_of(self, texts: Texts) -> Float32:
        """Embeddings (n, dim): what :meth:`transform` gives, or checked if they are given."""
        if not is_numbers(texts):
            return self.transform(texts)
        found = checked_vectors(texts, "the embeddings")
        if found.shape[1] != self._n_features_out:
            raise UserError(
                f"the embeddings are {found.shape[1]} wide, but those of the model "
                f"{self._n_features_out}: give what transform returns"
            )
        return found


class Index:
    """Embeddings to search, see :meth:`Searcher.index`.

    Attributes:
        embeddings: (n, dim) float32.
    """

    def __init__(self, model: Searcher, embeddings: Float32) -> None:
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
        asked = self._model.embeddings_of(query)
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
            found = self.embeddings[rows[block]].reshape(-1, self.embeddings.shape[1])
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
        near = np.flatnonzero(cosines >= least - (self.embeddings.shape[1] + 4) * 2.0**-22)
        rows: Int64 = near[nearest_neighbours(self.embeddings[near], query[None], k)[0]]
        return rows


def is_numbers(texts: Texts) -> TypeGuard[npt.NDArray[np.floating[Any]]]:
    """Whether these are numbers and no texts."""
    return isinstance(texts, np.ndarray) and texts.dtype.kind in "fiu"

"""Rows of token ids of different lengths: flat arrays, mapped when read, and views of them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textmetric.files import damaged, map_array, release, write_array
from textmetric.types import Int32, Int64, Integers, PathLike

# `take` needs an int64 position for every token it copies, and np.bincount copies its argument to
# int64: both work on blocks, to save memory.
_ROWS_AT_ONCE = 1 << 16
_TOKENS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class RaggedTokens:
    """The token ids of n texts: row ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.

    Id 0 (``<unk>``) never occurs in an encoded corpus, since unknown tokens are dropped. A text
    without a known token is an empty row.

    Args:
        ids: (m,) int32, the rows one after another.
        offsets: (n + 1,) int64, rising from 0 to m.

    Raises:
        ValueError: wrong type or shape, or offsets that do not rise from 0 to m.
    """

    ids: Int32
    offsets: Int64

    def __post_init__(self) -> None:
        if self.ids.dtype != np.int32 or self.ids.ndim != 1:
            raise ValueError(f"ids are {_described(self.ids)}, expected int32 of one dimension")
        if self.offsets.dtype != np.int64 or self.offsets.ndim != 1:
            raise ValueError(
                f"offsets are {_described(self.offsets)}, expected int64 of one dimension"
            )
        if (
            self.offsets.size == 0
            or self.offsets[0] != 0
            or self.offsets[-1] != self.ids.size
            or (self.offsets[1:] < self.offsets[:-1]).any()
        ):
            raise ValueError(f"offsets do not rise from 0 to the {self.ids.size} ids there are")

    def __len__(self) -> int:
        return self.offsets.size - 1

    @property
    def lengths(self) -> Int64:
        """(n,) int64, the number of tokens of each row; 0 for a row without a known token."""
        return np.diff(self.offsets)

    @classmethod
    def joined(cls, blocks: Iterable[tuple[Int32, Int64]]) -> RaggedTokens:
        """Concatenate blocks of rows as they come, without a list of all blocks.

        Args:
            blocks: ids and offsets of each block, as in a RaggedTokens.
        """
        ids, offsets = array("i"), array("q", [0])
        for more, ends in blocks:
            offsets.frombytes((ends[1:] + len(ids)).view(np.uint8).data)
            ids.frombytes(more.view(np.uint8).data)
        return cls(np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64))

    @classmethod
    def empty(cls) -> RaggedTokens:
        """No row."""
        return cls(np.empty(0, np.int32), np.zeros(1, np.int64))

    @classmethod
    def one_each(cls, ids: Int32) -> RaggedTokens:
        """Texts of one token each: its id (n,)."""
        return cls(ids, np.arange(len(ids) + 1, dtype=np.int64))

    def take(self, rows: ArrayLike) -> RaggedTokens:
        """Copy the given rows, in the given order; a row may be given more than once.

        Args:
            rows: (k,) integers in [-n, n); negative ones count from the end.

        Raises:
            IndexError: a row that does not exist.
        """
        rows = row_numbers(rows)
        starts = self.offsets[:-1][rows]
        offsets = np.zeros(rows.size + 1, np.int64)
        np.cumsum(self.offsets[1:][rows] - starts, out=offsets[1:])
        ids = np.empty(offsets[-1], np.int32)
        for first in range(0, rows.size, _ROWS_AT_ONCE):
            block = offsets[first : first + _ROWS_AT_ONCE + 1]
            some = rows[first : first + _ROWS_AT_ONCE]
            # As a loop over rows r: ids[block[r]:block[r + 1]] = self.ids[start:start + length].
            if _rise_closely(some):  # then a mask is quicker
                span = self._range(int(some[0]), int(some[-1]) + 1)
                kept = np.zeros(len(span), dtype=bool)
                kept[some - some[0]] = True
                ids[block[0] : block[-1]] = span.ids[np.repeat(kept, span.lengths)]
                continue
            shifts = starts[first : first + _ROWS_AT_ONCE] - block[:-1]
            positions = np.repeat(shifts, np.diff(block))
            positions += np.arange(block[0], block[-1])
            ids[block[0] : block[-1]] = self.ids[positions]
        return RaggedTokens(ids, offsets)

    def cut(self, row: int) -> tuple[RaggedTokens, RaggedTokens]:
        """The rows before ``row``, and it and those after, without a copy of the tokens.

        Args:
            row: in [0, n].
        """
        return self._range(0, row), self._range(row, len(self))

    def _range(self, first: int, end: int) -> RaggedTokens:
        """The rows from ``first`` to before ``end``, without a copy of the tokens."""
        offsets = self.offsets[first : end + 1]
        return RaggedTokens(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0])

    def view(self, rows: ArrayLike) -> RaggedView:
        """The same rows as :meth:`take`, which are read when they are asked for."""
        return RaggedView.over([self]).view(rows)

    def whole(self) -> RaggedTokens:
        """All rows in flat arrays: these."""
        return self

    def blocks(self) -> Iterator[RaggedTokens]:
        """All rows in their order, some at a time, without a copy of the tokens."""
        for first in range(0, len(self), _ROWS_AT_ONCE):
            yield self._range(first, min(first + _ROWS_AT_ONCE, len(self)))

    def remap(self, new_ids: Int32) -> RaggedTokens:
        """Rename every id ``i`` to ``new_ids[i]`` and drop the tokens whose new id is 0.

        Args:
            new_ids: (number of old ids,) the new id of each; 0 drops a token.
        """
        ids = new_ids[self.ids]
        dropped = np.flatnonzero(ids == 0)
        if dropped.size == 0:
            return RaggedTokens(ids, self.offsets)
        # Each offset moves left by the number of tokens dropped before it.
        offsets = self.offsets - np.searchsorted(dropped, self.offsets)
        return RaggedTokens(np.delete(ids, dropped), offsets)

    def counts(self, size: int) -> Int64:
        """(size,) how often each id in [0, size) occurs."""
        counts = np.zeros(size, np.int64)
        for first in range(0, self.ids.size, _TOKENS_AT_ONCE):
            counts += np.bincount(self.ids[first : first + _TOKENS_AT_ONCE], minlength=size)
        return counts

    def rows_with(self, size: int) -> Int64:
        """(size,) in how many rows each id in [0, size) occurs, at least once."""
        row_of = np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)
        return np.bincount(np.unique(row_of * size + self.ids) % size, minlength=size)

    def save(self, prefix: PathLike) -> None:
        """Write ``<prefix>.ids.npy`` and ``<prefix>.offsets.npy``."""
        write_array(f"{os.fspath(prefix)}.ids.npy", self.ids)
        write_array(f"{os.fspath(prefix)}.offsets.npy", self.offsets)

    @classmethod
    def load(cls, prefix: PathLike) -> RaggedTokens:
        """Map what :meth:`save` wrote into memory, read only; pages are read when touched.

        Raises:
            UserError: a file is missing or damaged, or the two files do not match.
        """
        prefix = os.fspath(prefix)
        ids = map_array(f"{prefix}.ids.npy", np.int32)
        offsets = map_array(f"{prefix}.offsets.npy", np.int64)
        try:
            return cls(ids, offsets)
        except ValueError as error:
            raise damaged(f"{prefix}.ids.npy", f"does not match its offsets ({error})") from None


@dataclass(frozen=True, eq=False)
class RaggedView:
    """Rows of other token rows, in any order, which are read when they are asked for.

    Row ``i`` is row ``rows[i]`` of the sources one after another, with its ids renamed as by
    :meth:`RaggedTokens.remap`. So rows that lie in several mapped files behave as one, and a part
    of a corpus needs no copy of its tokens. After each read the pages of mapped sources are given
    back to the system: the memory of a view is that of the rows it was last asked for.

    Args:
        sources: where the tokens are, at least one.
        rows: (n,) integers, rows of the sources one after another.
        new_ids: (number of old ids,) the new id of each, where 0 drops a token; None: the same.
    """

    sources: tuple[Tokens, ...]
    rows: Integers
    new_ids: Int32 | None = None

    @classmethod
    def over(cls, sources: Sequence[Tokens]) -> RaggedView:
        """All rows of the sources, one after another."""
        return cls(tuple(sources), np.arange(sum(map(len, sources))))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Int64:
        """See :attr:`RaggedTokens.lengths`; where ids are renamed, all tokens are read for it."""
        if self.new_ids is None:
            found: Int64 = np.concatenate([source.lengths for source in self.sources])[self.rows]
            return found
        found = np.zeros(len(self), np.int64)
        for first, block in zip(range(0, len(self), _ROWS_AT_ONCE), self.blocks(), strict=True):
            found[first : first + len(block)] = block.lengths
        return found

    def take(self, rows: ArrayLike) -> RaggedTokens:
        """See :meth:`RaggedTokens.take`."""
        places = self.rows[row_numbers(rows)]
        owners = np.searchsorted(self._ends, places, side="right")
        found: list[RaggedTokens] = []
        for owner in np.unique(owners).tolist():
            source = self.sources[owner]
            found.append(source.take(places[owners == owner] - self._start(owner)))
            if isinstance(source, RaggedTokens):
                release(source.ids)
        if len(found) == 1:
            taken = found[0]
        else:
            taken = RaggedTokens.joined((tokens.ids, tokens.offsets) for tokens in found)
            # They are source by source now: put each back to its place.
            order = np.argsort(owners, kind="stable")
            taken = taken.take(np.argsort(order))
        return taken if self.new_ids is None else taken.remap(self.new_ids)

    def view(self, rows: ArrayLike) -> RaggedView:
        """See :meth:`RaggedTokens.view`."""
        return replace(self, rows=self.rows[row_numbers(rows)])

    def whole(self) -> RaggedTokens:
        """All rows in flat arrays: a copy, except of rows that lie one after another unchanged."""
        if self.new_ids is None and _follow_each_other(self.rows):
            owner = int(np.searchsorted(self._ends, self.rows[0], side="right"))
            if self.rows[-1] < self._ends[owner]:
                first = int(self.rows[0]) - self._start(owner)
                return self.sources[owner].whole()._range(first, first + len(self))
        if len(self) <= _ROWS_AT_ONCE:
            return self.take(np.arange(len(self)))
        return RaggedTokens.joined((block.ids, block.offsets) for block in self.blocks())

    def blocks(self) -> Iterator[RaggedTokens]:
        """All rows in their order, some at a time; each block is a copy."""
        for first in range(0, len(self), _ROWS_AT_ONCE):
            yield self.take(np.arange(first, min(first + _ROWS_AT_ONCE, len(self))))

    def remap(self, new_ids: Int32) -> RaggedView:
        """See :meth:`RaggedTokens.remap`; the ids are renamed when they are read."""
        if self.new_ids is not None:
            new_ids = np.where(self.new_ids > 0, new_ids[self.new_ids], 0).astype(np.int32)
        return replace(self, new_ids=new_ids)

    def counts(self, size: int) -> Int64:
        """See :meth:`RaggedTokens.counts`."""
        return sum((block.counts(size) for block in self.blocks()), np.zeros(size, np.int64))

    def rows_with(self, size: int) -> Int64:
        """See :meth:`RaggedTokens.rows_with`."""
        return sum((block.rows_with(size) for block in self.blocks()), np.zeros(size, np.int64))

    def save(self, prefix: PathLike) -> None:
        """See :meth:`RaggedTokens.save`."""
        self.whole().save(prefix)

    @property
    def _ends(self) -> Int64:
        """(number of sources,) where the rows of each source end."""
        return np.cumsum([len(source) for source in self.sources])

    def _start(self, owner: int) -> int:
        """Where the rows of a source start."""
        return int(self._ends[owner]) - len(self.sources[owner])


Tokens: TypeAlias = RaggedTokens | RaggedView
"""The token ids of n texts, in memory, mapped, or read when they are asked for."""


def row_numbers(rows: ArrayLike) -> Integers:
    """Row numbers as integers; numpy makes an empty list one of fractions."""
    found = np.asarray(rows)
    return found if found.size else found.astype(np.int64)


def _rise_closely(rows: Integers) -> bool:
    """Whether rows rise from 0 or more, and are most of those between the first and the last."""
    if rows[0] < 0 or not rows.size <= rows[-1] - rows[0] + 1 < 2 * rows.size:
        return False
    return bool((rows[1:] > rows[:-1]).all())


def _follow_each_other(rows: Integers) -> bool:
    """Whether rows are ``first``, ``first + 1``, … and at least one."""
    return rows.size > 0 and bool((np.diff(rows) == 1).all())


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"

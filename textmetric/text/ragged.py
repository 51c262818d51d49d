"""Rows of token ids of different lengths in two flat arrays, memory-mapped when read."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textmetric.files import damaged, map_array, write_array
from textmetric.types import Int32, Int64, PathLike

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
        rows = np.asarray(rows)
        if rows.size == 0:
            rows = rows.astype(np.int64)  # an empty list is float
        starts = self.offsets[:-1][rows]
        offsets = np.zeros(rows.size + 1, np.int64)
        np.cumsum(self.offsets[1:][rows] - starts, out=offsets[1:])
        ids = np.empty(offsets[-1], np.int32)
        for first in range(0, rows.size, _ROWS_AT_ONCE):
            block = offsets[first : first + _ROWS_AT_ONCE + 1]
            # As a loop over rows r: ids[block[r]:block[r + 1]] = self.ids[start:start + length].
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
        start = self.offsets[row]
        return (
            RaggedTokens(self.ids[:start], self.offsets[: row + 1]),
            RaggedTokens(self.ids[start:], self.offsets[row:] - start),
        )

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


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"

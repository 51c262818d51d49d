"""Rows of token ids of different lengths in two flat arrays, memory-mapped when read."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textmetric.errors import UserError
from textmetric.files import replacing_file

# `take` builds an int64 position for every token it copies: by blocks of rows, so that taking
# most of a corpus needs no such array for all of it.
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class RaggedTokens:
    """The token ids of n texts: row ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.

    In an encoded corpus id 0 (``<unk>``) never occurs, since unknown tokens are dropped; a text
    without a known token is an empty row.

    Args:
        ids: (m,) int32, the rows one after another.
        offsets: (n + 1,) int64, rising from 0 to m.

    Raises:
        ValueError: wrong type or shape, or offsets that do not rise from 0 to m.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

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
    def lengths(self) -> NDArray[np.int64]:
        """(n,) int64, the number of tokens of each row; 0 for a row without a known token."""
        return np.diff(self.offsets)

    @classmethod
    def joined(cls, blocks: Iterable[tuple[NDArray[np.int32], NDArray[np.int64]]]) -> RaggedTokens:
        """Put blocks of rows one after another, in arrays that grow: none is copied twice.

        Args:
            blocks: ids and offsets of each, as of a RaggedTokens.
        """
        ids, offsets = array("i"), array("q", [0])
        for more, ends in blocks:
            offsets.frombytes((ends[1:] + len(ids)).view(np.uint8).data)
            ids.frombytes(more.view(np.uint8).data)
        return cls(np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64))

    def take(self, rows: ArrayLike) -> RaggedTokens:
        """Copy the given rows, in the given order; a row may be asked for more than once.

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
            # As a loop: for each row, ids[block[r]:block[r + 1]] = self.ids[start:start + length].
            shifts = starts[first : first + _ROWS_AT_ONCE] - block[:-1]
            positions = np.repeat(shifts, np.diff(block))
            positions += np.arange(block[0], block[-1])
            ids[block[0] : block[-1]] = self.ids[positions]
        return RaggedTokens(ids, offsets)

    def remap(self, new_ids: NDArray[np.int32]) -> RaggedTokens:
        """Rename every id ``i`` to ``new_ids[i]`` and drop the tokens whose new id is 0.

        Args:
            new_ids: (number of old ids,) int32; 0 where a token is unknown from now on.
        """
        ids = new_ids[self.ids]
        dropped = np.flatnonzero(ids == 0)
        if dropped.size == 0:
            return RaggedTokens(ids, self.offsets)
        # Each offset moves left by the number of tokens dropped before it.
        offsets = self.offsets - np.searchsorted(dropped, self.offsets)
        return RaggedTokens(np.delete(ids, dropped), offsets)

    def save(self, prefix: str | os.PathLike[str]) -> None:
        """Write ``<prefix>.ids.npy`` and ``<prefix>.offsets.npy``."""
        write_array(f"{os.fspath(prefix)}.ids.npy", self.ids)
        write_array(f"{os.fspath(prefix)}.offsets.npy", self.offsets)

    @classmethod
    def load(cls, prefix: str | os.PathLike[str]) -> RaggedTokens:
        """Map what :meth:`save` wrote into memory, read only; pages are read when touched.

        Raises:
            UserError: a file is missing, damaged, or does not fit the other.
        """
        prefix = os.fspath(prefix)
        ids = map_array(f"{prefix}.ids.npy", np.int32)
        offsets = map_array(f"{prefix}.offsets.npy", np.int64)
        try:
            return cls(ids, offsets)
        except ValueError as error:
            raise UserError(
                f"{prefix}.ids.npy and {prefix}.offsets.npy do not belong together ({error}): "
                "write them again (dvc repro)"
            ) from None


def write_array(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write ``array`` as a ``.npy`` file; same array, same bytes."""
    with replacing_file(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def map_array(path: str | os.PathLike[str], dtype: type[np.generic]) -> NDArray[Any]:
    """Map a ``.npy`` file of one dimension and this ``dtype`` into memory, read only.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    try:
        array = np.load(Path(path), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} cannot be read as a numpy array ({reason}): write it again (dvc repro)"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
        found = _described(array) if isinstance(array, np.ndarray) else "an archive"
        raise UserError(
            f"{path} holds {found}, expected {np.dtype(dtype)} of one dimension: "
            "write it again (dvc repro)"
        )
    # The same mapping as a plain array: every operation on the memmap subclass is slower.
    return np.asarray(array)


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"

"""A table that numbers tokens without a Python string for each of them; compiled.

Making a string for every token and looking it up in a dictionary took nine tenths of the time of
tokenising: the strings are spread over the memory, so few of them are in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from textmetric.parallel import compiled
from textmetric.text.tokenizer import END
from textmetric.types import Bytes, Int32, Int64

_Number = TypeVar("_Number", np.uint8, np.int64)

_LETTER, _SPACE, _END = range(3)
_NEW_LINE = 10  # after each token in the table: no token holds white space
# FNV-1a (Fowler, Noll, Vo) in 64 bits, which wrap around.
_BASIS, _PRIME = -3750763034362895579, 1099511628211

# (256,) what each byte is: part of a token, white space, or the end of a text.
_KINDS = np.full(256, _LETTER, np.uint8)
_KINDS[[code for code in range(128) if chr(code).isspace()]] = _SPACE
_KINDS[ord(END)] = _END


class TokenNumbers:
    """The number of each token, in the order in which they first occur.

    Args:
        tokens: the tokens with the first numbers, not empty and without white space. Number 0 is
            dropped from every text.

    Attributes:
        counts: (len,) int64, how often each token occurred in :meth:`rows`.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._size = 0
        self._slots = np.zeros(0, np.int64)
        self._starts = np.zeros(1, np.int64)
        self._letters = np.zeros(0, np.uint8)
        self._counts = np.zeros(0, np.int64)
        self.rows("\n".join(tokens).encode("utf-8", "surrogatepass"), grow=True)
        self._counts[:] = 0

    def __len__(self) -> int:
        return self._size

    @property
    def counts(self) -> Int64:
        """See the class."""
        return self._counts[: self._size]

    def tokens(self) -> list[str]:
        """The tokens by number."""
        return self.letters().decode("utf-8", "surrogatepass").split("\n")[:-1]

    def letters(self) -> bytes:
        """The tokens by number in UTF-8, with a line feed after each."""
        return self._letters[: self._starts[self._size]].tobytes()

    def rows(self, separated: bytes, *, grow: bool) -> tuple[Int32, Int64]:
        """Number the tokens of n texts.

        Args:
            separated: the texts, see :attr:`.Tokenizer.separated`.
            grow: give unknown tokens the next numbers; otherwise they are dropped.

        Returns:
            (m,) the numbers, none of them 0; (n + 1,) where each text starts.
        """
        most = len(separated) // 2 + 1  # tokens in it
        if grow:
            self._reserve(self._size + most, int(self._starts[self._size]) + len(separated) + 1)
        ids, offsets = np.empty(most, np.int32), np.zeros(separated.count(END) + 1, np.int64)
        self._size, written = _number(
            np.frombuffer(separated, np.uint8),
            _KINDS,
            grow,
            self._slots,
            self._starts,
            self._letters,
            self._counts,
            self._size,
            ids,
            offsets,
        )
        return ids[:written], offsets

    def _reserve(self, tokens: int, letters: int) -> None:
        """Make room for this many; half of the slots stay empty."""
        if tokens > len(self._counts):
            tokens = max(tokens, len(self._counts) * 3 // 2)
            self._starts = _longer(self._starts, tokens + 1)
            self._counts = _longer(self._counts, tokens)
        if letters > len(self._letters):
            self._letters = _longer(self._letters, max(letters, len(self._letters) * 3 // 2))
        if 2 * tokens > len(self._slots):
            self._slots = np.zeros(1 << (2 * tokens - 1).bit_length(), np.int64)
            _refill(self._slots, self._starts, self._letters, self._size)


def _longer(array: npt.NDArray[_Number], length: int) -> npt.NDArray[_Number]:
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def _number(
    text: Bytes,
    kinds: Bytes,
    grow: bool,
    slots: Int64,
    starts: Int64,
    letters: Bytes,
    counts: Int64,
    size: int,
    ids: Int32,
    offsets: Int64,
) -> tuple[int, int]:
    """Write the numbers of the tokens of ``text``, and where each of its texts starts.

    A slot holds 31 bits of a token's hash and its number + 1, or 0; the token of number i is
    ``letters[starts[i]:starts[i + 1] - 1]``.

    Returns:
        The new size of the table, and how many numbers were written.
    """
    mask = len(slots) - 1
    position = written = row = 0
    while position < len(text):
        kind = kinds[text[position]]
        if kind != _LETTER:
            position += 1
            if kind == _END:
                row += 1
                offsets[row] = written
            continue
        start = position
        key = np.int64(_BASIS)
        while position < len(text) and kinds[text[position]] == _LETTER:
            key = (key ^ np.int64(text[position])) * _PRIME
            position += 1
        length = position - start
        tag = (key >> 32) & 0x7FFFFFFF
        place = (key ^ (key >> 29)) & mask
        token = -1
        while slots[place] != 0:
            if slots[place] >> 32 == tag:
                found = (slots[place] & 0xFFFFFFFF) - 1
                first = starts[found]
                if starts[found + 1] - first == length + 1:
                    k = 0
                    while k < length and letters[first + k] == text[start + k]:
                        k += 1
                    if k == length:
                        token = found
                        break
            place = (place + 1) & mask
        if token < 0 and grow:
            token = size
            size += 1
            slots[place] = (tag << 32) | size
            first = starts[token]
            for k in range(length):
                letters[first + k] = text[start + k]
            letters[first + length] = _NEW_LINE
            starts[token + 1] = first + length + 1
        if token >= 0:
            counts[token] += 1
        if token > 0:
            ids[written] = token
            written += 1
    return size, written


@compiled
def _refill(slots: Int64, starts: Int64, letters: Bytes, size: int) -> None:
    """Put all tokens into empty slots."""
    mask = len(slots) - 1
    for token in range(size):
        key = np.int64(_BASIS)
        for k in range(starts[token], starts[token + 1] - 1):
            key = (key ^ np.int64(letters[k])) * _PRIME
        place = (key ^ (key >> 29)) & mask
        while slots[place] != 0:
            place = (place + 1) & mask
        slots[place] = (((key >> 32) & 0x7FFFFFFF) << 32) | (token + 1)


@compiled
def renumber(ids: Int32, offsets: Int64, new_ids: Int32) -> int:
    """Rename every id ``i`` to ``new_ids[i]`` in place and drop those renamed to 0.

    The same as :meth:`textmetric.text.RaggedTokens.remap`, without a second copy.

    Args:
        ids: (m,) the rows one after another; only the first ids are valid after the call.
        offsets: (n + 1,) where each row starts.
        new_ids: (number of old ids,) 0 where a token is unknown from now on.

    Returns:
        How many ids are kept.
    """
    written = read = 0
    for row in range(len(offsets) - 1):
        offsets[row] = written
        # The offset of this row is overwritten already; `read` has its old value.
        while read < offsets[row + 1]:
            new = new_ids[ids[read]]
            read += 1
            if new != 0:
                ids[written] = new
                written += 1
    offsets[len(offsets) - 1] = written
    return written

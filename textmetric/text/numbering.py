"""Numbering tokens without a Python object for each of them: a hash table in arrays, compiled.

A string for every token and a look-up in a dictionary of strings were nine tenths of the time of
tokenising: the strings lie all over the memory, which no near cache holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from textmetric.parallel import compiled
from textmetric.text.tokenizer import BETWEEN, spaced

Bytes = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
_Number = TypeVar("_Number", np.uint8, np.int64)

_LETTER, _SPACE, _END = range(3)
_NEW_LINE = 10  # after each token in the table: no token holds white space
# FNV-1a (Fowler, Noll, Vo) in 64 bits, which wrap around.
_BASIS, _PRIME = -3750763034362895579, 1099511628211

WHITE = (
    "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""What ``str.split`` takes for white space beyond ASCII."""


class TokenNumbers:
    """Tokens by number, in the order in which they came; 0 is the first one given.

    Args:
        tokens: the first tokens, of which number 0 is dropped from every text. None is empty or
            holds white space.

    Attributes:
        counts: (len,) int64, how often :meth:`rows` met each token.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._size = 0
        self._slots = np.zeros(0, np.int64)
        self._starts = np.zeros(1, np.int64)
        self._letters = np.zeros(0, np.uint8)
        self._counts = np.zeros(0, np.int64)
        self._number(_bytes("\n".join(tokens)), _kinds(None), grow=True)
        self._counts[:] = 0
        self._kinds = _kinds(BETWEEN)

    def __len__(self) -> int:
        return self._size

    @property
    def counts(self) -> Int64:
        """See the class."""
        return self._counts[: self._size]

    def tokens(self) -> list[str]:
        """The tokens by number."""
        letters = self._letters[: self._starts[self._size]].tobytes()
        return letters.decode("utf-8", "surrogatepass").split("\n")[:-1]

    def rows(self, lowered: Sequence[str], *, grow: bool) -> tuple[Int32, Int64]:
        """Number the tokens of some texts.

        Args:
            lowered: n texts in lower case.
            grow: give tokens that are not known the next numbers; otherwise they are dropped.

        Returns:
            (m,) the numbers, none of them 0; (n + 1,) where each text starts.
        """
        text = spaced(BETWEEN.join([*lowered, ""]))
        if not text.isascii():
            for character in WHITE:
                text = text.replace(character, " ")
        return self._number(_bytes(text), self._kinds, grow=grow, rows=len(lowered))

    def _number(
        self, text: Bytes, kinds: Bytes, *, grow: bool, rows: int = 0
    ) -> tuple[Int32, Int64]:
        most = len(text) // 2 + 1  # tokens in it
        if grow:
            self._reserve(self._size + most, int(self._starts[self._size]) + len(text) + 1)
        ids, offsets = np.empty(most, np.int32), np.zeros(rows + 1, np.int64)
        self._size, written = _number_bytes(
            text,
            kinds,
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


def _bytes(text: str) -> Bytes:
    # A text may hold half of a surrogate pair, which strict UTF-8 cannot write.
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def _kinds(between: str | None) -> Bytes:
    """(256,) what each byte is: part of a token, white space, or the end of a text."""
    kinds = np.full(256, _LETTER, np.uint8)
    for code in range(128):
        if chr(code).isspace():
            kinds[code] = _SPACE
    if between is not None:
        kinds[ord(between)] = _END
    return kinds


@compiled
def _number_bytes(
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
    """Write the numbers of the tokens of ``text``, and how many there are up to each end.

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

    As :meth:`textmetric.text.RaggedTokens.remap`, without a second copy.

    Args:
        ids: (m,) the rows one after another; what lies after the last one kept is left over.
        offsets: (n + 1,) where each row starts.
        new_ids: (number of old ids,) 0 where a token is unknown from now on.

    Returns:
        How many are kept.
    """
    written = read = 0
    for row in range(len(offsets) - 1):
        offsets[row] = written
        # The offset of this row is overwritten already: `read` has come to where it was.
        while read < offsets[row + 1]:
            new = new_ids[ids[read]]
            read += 1
            if new != 0:
                ids[written] = new
                written += 1
    offsets[len(offsets) - 1] = written
    return written

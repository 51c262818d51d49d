"""Text that is read by blocks, so that a file need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

SIZE = 1 << 24
"""Bytes of a block."""


class Place(NamedTuple):
    """What comes before a block in its file, for messages.

    Attributes:
        rows: rows, a header counted too.
        lines: line ends.
        bytes: bytes.
    """

    rows: int = 0
    lines: int = 0
    bytes: int = 0


START = Place()


def slices(data: bytes) -> Iterator[bytes]:
    """Text in memory by blocks; an empty one is one block."""
    return (data[start : start + SIZE] for start in range(0, max(len(data), 1), SIZE))


def of_file(file: BinaryIO) -> Iterator[bytes]:
    """The rest of an open file by blocks; none if there is no rest."""
    while block := file.read(SIZE):
        yield block


def whole(data: Iterable[bytes], end: Callable[[bytes], int]) -> Iterator[bytes]:
    """The same text, cut only where a row ends.

    Args:
        data: the text, cut anywhere.
        end: takes text that starts with a row, and returns where the last row that is surely whole
            ends in it; 0 if none is.

    Yields:
        Blocks, at least one; it is empty if the text is.
    """
    held, none = b"", True
    for block in data:
        held = held + block if held else block
        if cut := end(held):
            yield held[:cut]
            held, none = held[cut:], False
    if held or none:
        yield held

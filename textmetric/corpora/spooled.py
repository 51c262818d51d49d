"""The texts of a corpus in a file, by blocks, while it is decided which of them are kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import IO, TYPE_CHECKING

import numpy as np

from textmetric.types import Int64

if TYPE_CHECKING:
    import pyarrow as pa


class SpooledTexts:
    """Texts that are written once and read by rows, a block in memory at a time.

    Args:
        file: an empty file to write to and read from, such as a ``tempfile.TemporaryFile``, which
            no killed process leaves behind.
    """

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow as pa

        self._file = file
        self._schema = pa.schema([("text", pa.large_string())])
        self._writer = pa.ipc.new_file(pa.PythonFile(file, "w"), self._schema)
        self._starts = [0]

    def add(self, texts: pa.ChunkedArray) -> None:
        """Write n more texts."""
        import pyarrow as pa

        column = texts.cast(pa.large_string()).combine_chunks()
        self._writer.write_batch(pa.record_batch([column], schema=self._schema))
        self._starts.append(self._starts[-1] + len(texts))

    def done(self) -> None:
        """All texts have been added."""
        self._writer.close()

    def take(self, rows: Int64) -> Iterator[pa.LargeStringArray]:
        """The texts of some rows, by blocks.

        Args:
            rows: rising.
        """
        import pyarrow as pa

        reader = pa.ipc.open_file(pa.PythonFile(self._file, "r"))
        ends = np.searchsorted(rows, self._starts)
        for block, (first, last) in enumerate(pairwise(ends)):
            if first < last:
                places = pa.array(rows[first:last] - self._starts[block])
                yield reader.get_batch(block).column(0).take(places)

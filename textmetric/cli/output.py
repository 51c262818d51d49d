"""What commands write: vectors, records, JSON and aligned tables."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from textmetric.cli.options import STREAM, Output
from textmetric.errors import cut, printable
from textmetric.files import as_json, replacing_file
from textmetric.types import Float32

_ROWS_AT_ONCE = 1 << 12
_DIGITS = 6
"""Of cosines and probabilities in files."""


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A binary stream into a file, which is there when all is written, or the standard output."""
    if path == STREAM:
        yield sys.stdout.buffer
        return
    with replacing_file(path) as temporary, temporary.open("wb") as stream:
        yield stream


def write_vectors(vectors: Float32, out: Output) -> None:
    """Write vectors (n, d) as npy; as csv with a header ``x0,x1,…``; or as parquet.

    A parquet table has the column ``vector`` of lists of d float32. The numbers of csv have nine
    digits, from which float32 is read back exactly.
    """
    with opened(out.path) as stream:
        if out.kind == "npy":
            np.lib.format.write_array_header_1_0(
                stream, np.lib.format.header_data_from_array_1_0(vectors)
            )
            stream.write(np.ascontiguousarray(vectors).data)
        elif out.kind == "parquet":
            import pyarrow as pa
            import pyarrow.parquet

            flat = pa.array(np.ascontiguousarray(vectors).ravel())
            column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
            pyarrow.parquet.write_table(pa.table([column], names=["vector"]), stream)
        else:
            width = vectors.shape[1]
            stream.write((",".join(f"x{place}" for place in range(width)) + "\n").encode())
            line = ",".join(["%.9g"] * width) + "\n"
            for start in range(0, len(vectors), _ROWS_AT_ONCE):
                rows = vectors[start : start + _ROWS_AT_ONCE].tolist()
                stream.write("".join(line % tuple(row) for row in rows).encode())


def write_records(columns: Mapping[str, Sequence[Any]], out: Output) -> None:
    """Write columns of equal length as csv or tsv with a header, or as JSON lines."""
    rows = zip(*map(_plain, columns.values()), strict=True)
    with opened(out.path) as stream:
        if out.kind == "jsonl":
            stream.writelines(
                as_json(dict(zip(columns, row, strict=True)), indent=None) for row in rows
            )
            return
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        try:
            delimiter = "\t" if out.kind == "tsv" else ","
            writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
        finally:
            text.detach()


def write_json(value: Any, path: str = STREAM) -> None:
    """Write one JSON document."""
    with opened(path) as stream:
        stream.write(as_json(value))


def is_terminal(out: Output) -> bool:
    """Whether the output is read by a person, who did not ask for a format."""
    return out.path == STREAM and sys.stdout.isatty()


def aligned(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Sequence[int] = ()
) -> str:
    """Rows of cells as lines of columns of equal width.

    The last column is cut where the terminal ends.

    Args:
        rows: of cells.
        header: the names of the columns, if they have any.
        right: the columns of numbers, which are aligned to the right.
    """
    shown = [[printable(cell) for cell in row] for row in [*([header] if header else []), *rows]]
    widths = [max(map(len, column), default=0) for column in zip(*shown, strict=True)]
    room = max(20, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1))
    lines = []
    for row in shown:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(
            "  ".join(
                [*cells[:-1], cut(row[-1], room) if len(row[-1]) > room else cells[-1]]
            ).rstrip()
        )
    return "\n".join(lines)


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """Numbers of Python, rounded, from those of numpy."""
    if not isinstance(values, np.ndarray):
        return values
    plain: list[Any] = (values.round(_DIGITS) if values.dtype.kind == "f" else values).tolist()
    return plain

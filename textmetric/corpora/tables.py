"""The user's tables: csv, tsv, jsonl, parquet, plain or gzipped, or a folder of parts."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from textmetric.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

_BLOCK = 1 << 21  # bytes that a thread parses at a time; a longer row is parsed without
_LARGE_BLOCK = 1 << 26  # a single row does not outgrow it


def read(path: Path, *, text: str = "text", label: str = "label") -> pd.DataFrame:
    """Read a table, or a folder of a train, a test and maybe a validation table.

    Args:
        path: a file with one of the known suffixes, with or without ``.gz``, or a folder with
            one such file starting ``train``, one starting ``test``, and at most one starting
            ``val`` (so ``valid`` too). Other files and folders in it are left alone.
        text: the column of the texts.
        label: the column of the class names.

    Returns:
        The columns ``text``, ``label`` and ``split``; a single file is all ``train``. Labels
        lose the white space around them, texts stay as they are.

    Raises:
        UserError: a file that is missing, unreadable, not UTF-8, or without rows; a column that
            is not there; an empty text or label.
    """
    import pandas as pd

    for key, column in (("text", text), ("label", label)):
        if not isinstance(column, str) or not column:
            raise UserError(f"the corpus key {key} must be the name of a column, not {column!r}")
    if text == label:
        raise UserError(f"text and label of corpus {path} name the same column {text!r}")
    if not os.path.isdir(path):  # unlike Path.is_dir, False where looking is not allowed
        return _read_file(path, text, label).assign(split="train")
    found: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    prefixes = {"train": "train", "validation": "val", "test": "test"}
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check its permissions"
        ) from None
    for file in inside:
        if file.is_file() and _suffix(file) in SUFFIXES:
            for split, prefix in prefixes.items():
                if file.name.lower().startswith(prefix):
                    found[split].append(file)
    for split, files in found.items():
        if len(files) > 1 or (not files and split != "validation"):
            names = ", ".join(file.name for file in files) or "none"
            raise UserError(
                f"folder {path} must hold one table whose name starts with {prefixes[split]!r}"
                f" ({', '.join(SUFFIXES)}, plain or .gz), but has {names}: rename or move files,"
                " or give the path of one table"
            )
    return pd.concat(
        [
            _read_file(file, text, label).assign(split=split)
            for split, files in found.items()
            for file in files
        ],
        ignore_index=True,
    )


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read_file(path: Path, text: str, label: str) -> pd.DataFrame:
    """One table as the columns ``text`` and ``label``, checked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is no table that can be read: expected a name that ends in"
            f" {', '.join(SUFFIXES)}, plain or with .gz"
        )
    if suffix in (".csv", ".tsv"):
        # A plain file is read by blocks: no need to have its bytes beside its strings.
        by_blocks = os.path.isfile(path) and not path.name.lower().endswith(".gz")
        source = _checked(path) if by_blocks else read_bytes(path)
        delimiter = "\t" if suffix == ".tsv" else ","
        table = csv_table(source, path, [text, label], delimiter=delimiter)
    elif suffix == ".jsonl":
        table = _json_lines(read_bytes(path), path, [text, label])
    else:
        table = _parquet(read_bytes(path), path, [text, label])
    if not table.num_rows:
        raise UserError(f"{path} has no rows: give a table with a text and a label in each row")
    texts, labels = table.columns[0], pc.utf8_trim_whitespace(table.columns[1])
    for values, name in ((texts, text), (labels, label)):
        empty = _blank_rows(values)
        if len(empty):
            more = f" (and {len(empty) - 1} other rows)" if len(empty) > 1 else ""
            raise UserError(
                f"row {empty[0] + 1}{more} of {path}, not counting a header, has an empty"
                f" {name!r}: fill it in or take the row out"
            )
    frame: pd.DataFrame = pa.table([texts, labels], names=["text", "label"]).to_pandas()
    return frame


def _blank_rows(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """The rows whose string is null, empty, or white space alone; rising."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Most texts start with a letter of ASCII: those need no further look, by their first bytes.
    doubtful, before = [], 0
    for chunk in values.chunks:
        _, offsets, data = chunk.buffers()
        width: type[np.signedinteger[Any]] = np.int32
        if pa.types.is_large_string(chunk.type):
            width = np.int64
        bounds = np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1]
        starts, ends = bounds[:-1].astype(np.int64), bounds[1:].astype(np.int64)
        letters = np.frombuffer(data or b" ", np.uint8)
        first = letters[np.minimum(starts, len(letters) - 1)]
        plain = (starts < ends) & (first > ord(" ")) & (first < 128)
        if chunk.null_count:
            plain &= chunk.is_valid().to_numpy(zero_copy_only=False)
        doubtful.append(before + np.flatnonzero(~plain))
        before += len(chunk)
    rows = np.concatenate(doubtful)
    few = values.take(pa.array(rows))
    blank = pc.or_(pc.equal(pc.binary_length(few), 0), pc.utf8_is_space(few))
    found: NDArray[np.int64] = rows[pc.fill_null(blank, fill_value=True).to_numpy()]
    return found


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        UserError: the file is missing, cannot be read or unpacked, or is empty.
    """
    with _opened(path) as file:
        data = file.read()
    if path.name.lower().endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f"{path} cannot be unpacked ({error}): it is damaged or no gzip file; copy or"
                " pack it again"
            ) from None
    if not data:
        raise _empty(path)
    return data


def _checked(path: Path) -> Path:
    """The path of a file that can be read and is not empty."""
    with _opened(path) as file:
        if not file.read(1):
            raise _empty(path)
    return path


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: check the path (relative paths start at {Path.cwd()})"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check what it is and its permissions"
        ) from None


def _empty(path: Path) -> UserError:
    return UserError(f"{path} is empty: give a table with a text and a label in each row")


def csv_table(
    data: bytes | Path,
    source: Path | str,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
) -> pa.Table:
    """Parse delimited text: quoted fields may hold line breaks, and every value is a string.

    Words such as ``NA`` or ``null`` are text like any other. A carriage return with a line feed
    inside quotes may lose the line feed, where two blocks of the file meet between them.

    Args:
        data: UTF-8, with or without a byte order mark, or the path of a file with it.
        source: what to call it in messages.
        columns: the columns to keep, in this order.
        delimiter: one character.
        header: the column names of a file without a header line.

    Raises:
        UserError: not UTF-8, rows of different lengths, or a column that is not there.
    """
    import pyarrow as pa
    import pyarrow.csv

    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=False,
    )

    def stream() -> pa.NativeFile:
        return pa.BufferReader(data) if isinstance(data, bytes) else pa.OSFile(str(data))

    def parsed(*, threads: bool) -> pa.Table:
        options = _csv_options(delimiter, header, threads=threads)
        return pyarrow.csv.read_csv(stream(), convert_options=convert, **options)

    with suppress(pa.ArrowInvalid, KeyError):  # what is wrong is said below
        return parsed(threads=True)
    try:
        return parsed(threads=False)
    except (pa.ArrowInvalid, KeyError) as error:
        _decode(data if isinstance(data, bytes) else read_bytes(data), source)
        if isinstance(error, KeyError):
            options = _csv_options(delimiter, header, threads=False)
            with pyarrow.csv.open_csv(stream(), **options) as reader:
                raise _missing(source, columns, reader.schema.names) from None
        first = 0 if header else 1
        told = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        where = f"row {int(told[1]) - first}" if told else f"the table ({error})"
        fields = f" has {told[3]} fields where {told[2]} are expected" if told else ""
        raise UserError(
            f"{where} of {source}{fields or ' cannot be parsed'}: put quotes around fields that"
            f" hold {'a tab' if delimiter == chr(9) else 'a comma'}, a line break or a quote, and"
            " double the quotes inside"
        ) from None


def _csv_options(delimiter: str, header: Sequence[str] | None, *, threads: bool) -> dict[str, Any]:
    """How to parse: with threads, or without and with messages that name the row."""
    import pyarrow.csv

    return {
        "read_options": pyarrow.csv.ReadOptions(
            use_threads=threads,
            block_size=_BLOCK if threads else _LARGE_BLOCK,
            column_names=None if header is None else list(header),
        ),
        # Without this a block may end at a line break inside quotes, and nobody is told.
        "parse_options": pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    }


def _json_lines(data: bytes, path: Path, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    values: list[list[str | None]] = [[] for _ in columns]
    # Lines end at \n only: JSON text may hold the other characters that splitlines() cuts at.
    for number, line in enumerate(_decode(data, path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(
                f"line {number} of {path} is not a JSON object: write one object a line, such as"
                ' {"text": "...", "label": "..."}'
            )
        for column, kept in zip(columns, values, strict=True):
            if column not in row:
                raise _missing(f"line {number} of {path}", [column], list(row))
            value = row[column]
            if isinstance(value, dict | list):
                raise UserError(
                    f"line {number} of {path} has a {type(value).__name__} as {column!r}, where a"
                    " string or a number is expected"
                )
            kept.append(None if value is None else str(value))
    return pa.table([pa.array(kept, pa.string()) for kept in values], names=list(columns))


def _parquet(data: bytes, path: Path, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        names = file.schema_arrow.names
        if not set(columns) <= set(names):
            raise _missing(path, columns, names)
        table = file.read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path} cannot be read as parquet ({str(error).splitlines()[0]}): write it again"
        ) from None
    strings = []
    for column in columns:
        try:
            strings.append(pc.cast(table[column], pa.large_string()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # no such cast, says Arrow
            raise UserError(
                f"column {column!r} of {path} holds {table[column].type}, where strings or numbers"
                " are expected"
            ) from None
    return pa.table(strings, names=list(columns))


def _decode(data: bytes, source: Path | str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{source} is not UTF-8 (line {line}, byte {error.start}): save it as UTF-8"
        ) from None


def _missing(source: Path | str, columns: Sequence[str], there: Sequence[str]) -> UserError:
    absent = next(column for column in columns if column not in there)
    return UserError(
        f"{source} has no column {absent!r}; its columns are {', '.join(map(str, there))}: name"
        " the right ones in the corpus mapping ({path: ..., text: ..., label: ...})"
    )

"""The user's tables: csv, tsv, jsonl, parquet, plain or gzipped, or a folder of parts."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from textmetric.errors import UserError
from textmetric.types import PARTS, Int64

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

_PREFIXES = ("train", "val", "test")  # of file names in a folder, by part

_BLOCK = 1 << 30  # bytes of csv that are parsed at a time; no row may be longer


def read(
    path: Path, *, text: str = "text", label: str = "label", keep_unlabelled: bool = False
) -> pd.DataFrame:
    """Read a table, or a folder of a train, a test and maybe a validation table.

    Args:
        path: a file with one of the known suffixes, with or without ``.gz``, or a folder with
            one such file starting ``train``, one starting ``test``, and at most one starting
            ``val`` (so ``valid`` too). Other files and folders in it are ignored.
        text: the column of the texts.
        label: the column of the class names.
        keep_unlabelled: a row of a train table may have an empty label.

    Returns:
        The columns ``text``, ``label``, and ``split``, which holds the part; a single file is all
        ``train``. White space around labels is removed, texts stay as they are. The label of a row
        without one is None.

    Raises:
        UserError: a file is missing, unreadable, not UTF-8, or without rows; a column is missing;
            a text is empty, or a label that may not be.
    """
    import pandas as pd

    for key, column in (("text", text), ("label", label)):
        if not isinstance(column, str) or not column:
            raise UserError(f"the corpus key {key} must be the name of a column, not {column!r}")
    if text == label:
        raise UserError(f"text and label of corpus {path} name the same column {text!r}")
    frames = [_read_file(file, text, label, part, keep_unlabelled) for part, file in tables(path)]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def tables(path: Path) -> list[tuple[str, Path]]:
    """The part and the path of every table of a corpus, in the order of the parts.

    Args:
        path: see :func:`read`.

    Raises:
        UserError: a folder cannot be read, or does not hold such tables.
    """
    if not os.path.isdir(path):  # unlike Path.is_dir, False where permission is missing
        return [("train", path)]
    try:
        files = sorted(file for file in path.iterdir() if file.is_file())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check its permissions"
        ) from None
    by_part = {
        part: [
            file
            for file in files
            if _suffix(file) in SUFFIXES and file.name.lower().startswith(prefix)
        ]
        for part, prefix in zip(PARTS, _PREFIXES, strict=True)
    }
    for (part, found), prefix in zip(by_part.items(), _PREFIXES, strict=True):
        if len(found) > 1 or (not found and part != "validation"):
            names = ", ".join(file.name for file in found) or "none"
            raise UserError(
                f"folder {path} must hold one table whose name starts with {prefix!r}"
                f" ({', '.join(SUFFIXES)}, plain or .gz), but has {names}: rename or move files,"
                " or give the path of one table"
            )
    return [(part, file) for part, found in by_part.items() for file in found]


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read_file(path: Path, text: str, label: str, part: str, keep_unlabelled: bool) -> pd.DataFrame:
    """One table as the columns ``text``, ``label`` and ``split``, checked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is not a table that can be read: expected a name that ends in"
            f" {', '.join(SUFFIXES)}, plain or with .gz"
        )
    if suffix in (".csv", ".tsv"):
        delimiter = "\t" if suffix == ".tsv" else ","
        table = csv_table(read_bytes(path), path, [text, label], delimiter=delimiter)
    elif suffix == ".jsonl":
        table = _json_lines(read_bytes(path), path, [text, label])
    else:
        table = _parquet(read_bytes(path), path, [text, label])
    if not table.num_rows:
        raise UserError(f"{path} has no rows: give a table with a text and a label in each row")
    texts, labels = table.columns[0], pc.utf8_trim_whitespace(table.columns[1])
    unlabelled = _blank_rows(labels)
    may_lack = keep_unlabelled and part == "train"
    for name, empty in ((text, _blank_rows(texts)), (label, unlabelled)):
        if len(empty) and not (name == label and may_lack):
            more = f" (and {len(empty) - 1} other rows)" if len(empty) > 1 else ""
            remedy = "fill it in or remove the row"
            if name == label and keep_unlabelled:
                remedy += ", since only train rows may lack one"
            elif name == label and part == "train":
                remedy += ", or give the corpus as a mapping with unlabelled: keep"
            raise UserError(
                f"row {empty[0] + 1}{more} of {path}, not counting a header, has an empty"
                f" {name!r}: {remedy}"
            )
    frame: pd.DataFrame = pa.table([texts, labels], names=["text", "label"]).to_pandas()
    if len(unlabelled):
        frame.loc[unlabelled, "label"] = None
    return frame.assign(split=part)


def _blank_rows(values: pa.ChunkedArray) -> Int64:
    """The rows whose string is null, empty, or only white space; rising."""
    import pyarrow.compute as pc

    blank = pc.equal(pc.utf8_trim_whitespace(values), "")
    return np.flatnonzero(pc.fill_null(blank, fill_value=True).to_numpy())


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        UserError: the file is missing, cannot be read or unpacked, or is empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: check the path (relative paths start at {Path.cwd()})"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check what it is and its permissions"
        ) from None
    if path.name.lower().endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f"{path} cannot be unpacked ({error}): it is damaged or not a gzip file; copy"
                " it or compress it again"
            ) from None
    if not data:
        raise UserError(f"{path} is empty: give a table with a text and a label in each row")
    return data


def csv_table(
    data: bytes,
    source: Path | str,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
) -> pa.Table:
    """Parse delimited text: quoted fields may hold line breaks, and every value is a string.

    Words such as ``NA`` or ``null`` are text like any other. In a file over 1 GB, the line feed
    after a carriage return inside quotes may be lost where two blocks meet.

    Args:
        data: UTF-8, with or without a byte order mark.
        source: what to call it in messages.
        columns: the columns to keep, in this order.
        delimiter: one character.
        header: the column names of a file without a header line.

    Raises:
        UserError: not UTF-8, rows of different lengths, or a column that is missing.
    """
    import pyarrow as pa
    import pyarrow.csv

    read = pyarrow.csv.ReadOptions(
        use_threads=False,  # so that errors name the row
        block_size=_BLOCK,
        column_names=None if header is None else list(header),
    )
    # Without newlines_in_values a block may end at a line break inside quotes, without an error.
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=False,
    )
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data), read_options=read, parse_options=parse, convert_options=convert
        )
    except KeyError:
        _decode(data, source)
        with pyarrow.csv.open_csv(pa.BufferReader(data), read, parse) as reader:
            raise _missing(source, columns, reader.schema.names) from None
    except pa.ArrowInvalid as error:
        _decode(data, source)
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        where = f"row {int(found[1]) - (header is None)}" if found else f"the table ({error})"
        fields = f" has {found[3]} fields where {found[2]} are expected" if found else ""
        raise UserError(
            f"{where} of {source}{fields or ' cannot be parsed'}: put quotes around fields that"
            f" hold {'a tab' if delimiter == chr(9) else 'a comma'}, a line break or a quote, and"
            " double the quotes inside"
        ) from None


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
                f"line {number} of {path} is not a JSON object: write one object per line, such as"
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


def parquet_columns(data: bytes, path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a parquet table, of any type.

    Raises:
        UserError: ``data``, the content of ``path``, is no such table, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        names = file.schema_arrow.names
        if not set(columns) <= set(names):
            raise _missing(path, columns, names)
        return file.read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path} cannot be read as parquet ({str(error).splitlines()[0]}): write it again"
        ) from None


def _parquet(data: bytes, path: Path, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = parquet_columns(data, path, columns)
    strings = []
    for column in columns:
        try:
            strings.append(pc.cast(table[column], pa.large_string()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # Arrow has no such cast
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


def _missing(source: Path | str, columns: Sequence[str], present: Sequence[str]) -> UserError:
    absent = next(column for column in columns if column not in present)
    return UserError(
        f"{source} has no column {absent!r}; its columns are {', '.join(map(str, present))}: name"
        " the right ones in the corpus mapping ({path: ..., text: ..., label: ...})"
    )

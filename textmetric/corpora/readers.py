"""The user's tables: csv, tsv, jsonl, parquet, plain or gzipped, or a folder of parts."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textmetric.corpora.delimited import csv_table, line_count, missing_column
from textmetric.corpora.encodings import as_utf8, decoded
from textmetric.corpora.wording import MAPPING, Wording
from textmetric.errors import UserError
from textmetric.files import refuse_special
from textmetric.labels import MISSING
from textmetric.types import PARTS, Int64

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

_PART = 1 << 24  # bytes that are read at a time
_LARGEST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # bytes in memory
_PREFIXES = ("train", "val", "test")  # of file names in a folder, by part

_NOT_TEXT = {  # how the content of other files starts, and what to do with such a table
    rb"\x1f\x8b": "is packed with gzip: add .gz to its name",
    rb"PK\x03\x04(?s:.{0,4000})(xl/|\[Content_Types\])": "is an Excel workbook: save its sheet as"
    " CSV in UTF-8",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "is an Excel workbook: save its sheet as CSV in UTF-8",
    rb"PK\x03\x04": "is a ZIP archive: unpack it",
    rb"BZh\d1AY&SY|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf": "is packed: unpack it, or pack it"
    " with gzip",
    rb"PAR1": "is a parquet table: rename it to end in .parquet",
    rb"ARROW1|FEA1": "is an Arrow table: write it as .parquet",
    rb"SQLite format 3": "is a database: write the table as CSV",
    rb"%PDF-": "is a PDF: give a table",
    rb"(?i)\s*<(!doctype html|html)\b": "is a web page: get the table itself",
}
_KINDS = {str: "a string", bool: "a truth value", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Options:
    """How a table is read; the keys of a corpus mapping, see docs/corpora.md.

    Attributes:
        text: the column of the texts.
        label: the column of the class names.
        unlabelled: ``keep``: a row of a train table may have an empty label.
        empty: ``drop``: leave out and count rows with an empty text or label.
        delimiter: of csv and tsv tables, one ASCII character; None for that of the suffix.
        encoding: of csv, tsv and jsonl tables; None for UTF-8.
    """

    text: str = "text"
    label: str = "label"
    unlabelled: str | None = None
    empty: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


def read(path: Path, options: Options = Options()) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read a table, or a folder of a train, a test and maybe a validation table.

    Args:
        path: a file with one of the known suffixes, with or without ``.gz``, or a folder with
            one such file starting ``train``, one starting ``test``, and at most one starting
            ``val`` (so ``valid`` too). Other files and folders in it are ignored.
        options: columns, and what else the files do not say themselves.

    Returns:
        The columns ``text``, ``label``, and ``split``, which holds the part; a single file is all
        ``train``. White space around labels is removed, texts stay as they are. The label of a row
        without one is None. The index is the number of each row in the tables, one after another.

        The counts ``lines`` (of text files, without the header, with blank lines and those in
        quotes; not there for parquet), ``rows``, and, if they may be dropped, ``empty_rows``. The
        frame holds all rows except the empty ones.

    Raises:
        UserError: a file is missing, unreadable, in another encoding, or without rows; a column is
            missing; a quote is not closed; a text is empty, or a label that may not be; a label is
            a list.
    """
    import pandas as pd

    found = tables(path)
    delimited = any(suffix_of(file) in (".csv", ".tsv") for _, file in found)
    text = any(suffix_of(file) != ".parquet" for _, file in found)
    for key, used, kinds in (("delimiter", delimited, "csv"), ("encoding", text, "text")):
        if getattr(options, key) is not None and not used:
            raise UserError(
                f"{key} is given for the corpus {path}, but it is no {kinds} file: remove the key"
            )
    frames, counts = [], dict[str, int]()
    for part, file in found:
        frame, more = _read_file(file, part, options)
        frame.index += counts.get("rows", 0)
        frames.append(frame)
        counts = {key: counts.get(key, 0) + more.get(key, 0) for key in {**counts, **more}}
    return frames[0] if len(frames) == 1 else pd.concat(frames), counts


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
            if suffix_of(file) in SUFFIXES and file.name.lower().startswith(prefix)
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


def suffix_of(path: Path) -> str:
    """The suffix of a table in lower case, without ``.gz``."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def refuse_other(data: bytes, source: Path | str) -> None:
    """Check that a file is not of a known kind that is no text.

    Raises:
        UserError: it is, such as an Excel workbook; says what to do.
    """
    for start, problem in _NOT_TEXT.items():
        if re.match(start, data):
            raise UserError(f"{source} {problem}")


def _read_file(path: Path, part: str, options: Options) -> tuple[pd.DataFrame, dict[str, int]]:
    """One table as the columns ``text``, ``label`` and ``split``, checked, and its counts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is not a table that can be read: expected a name that ends in"
            f" {', '.join(SUFFIXES)}, plain or with .gz"
        )
    data, columns, counts = read_bytes(path), [options.text, options.label], dict[str, int]()
    if suffix == ".parquet":
        table = parquet_strings(data, path, columns)
    else:
        refuse_other(data, path)
        data = as_utf8(data, path, options.encoding)
        headed = suffix != ".jsonl"
        if headed:
            delimiter = options.delimiter or ("\t" if suffix == ".tsv" else ",")
            table = csv_table(data, path, columns, delimiter=delimiter, label=options.label)
        else:
            values = json_columns(data, path, columns, label=options.label)
            table = pa.table([pa.array(kept, pa.string()) for kept in values], names=columns)
        counts["lines"] = line_count(data) - headed
    counts["rows"] = table.num_rows
    texts, labels = table.columns[0], pc.utf8_trim_whitespace(table.columns[1])
    without_text, unlabelled = _blank_rows(texts), _blank_rows(labels)
    empty = without_text
    if options.unlabelled != "keep" or part != "train":
        empty = np.union1d(empty, unlabelled)
    if options.empty == "drop":
        counts["empty_rows"] = len(empty)
    elif len(empty):
        column, values = (
            (options.text, texts) if empty[0] in without_text else (options.label, labels)
        )
        raise _empty(path, part, options, empty, column, values[int(empty[0])].as_py())
    if len(empty) == table.num_rows:
        full = " that are not empty" if len(empty) else ""
        raise UserError(f"{path} has no rows{full}: give a table with a text in each row")
    _refuse_lists(labels, path, options.label)
    frame: pd.DataFrame = pa.table([texts, labels], names=["text", "label"]).to_pandas()
    if len(unlabelled):
        frame.loc[unlabelled, "label"] = None
    if len(empty):
        frame = frame.drop(index=empty.tolist())
    return frame.assign(split=part), counts


def _blank_rows(values: pa.ChunkedArray) -> Int64:
    """The rows whose string is null, empty, only white space, or a missing value; rising."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.utf8_trim_whitespace(values)
    short = pc.less_equal(pc.binary_length(bare), max(map(len, MISSING)))
    rows = np.flatnonzero(pc.fill_null(short, fill_value=True).to_numpy())
    bare = bare.take(pa.array(rows))
    blank = pc.or_(pc.is_in(bare, pa.array(["", *MISSING], bare.type)), pc.is_null(bare))
    found: Int64 = rows[blank.to_numpy()]
    return found


def _empty(
    path: Path, part: str, options: Options, rows: Int64, column: str, value: str | None
) -> UserError:
    """The error for ``rows``; the first of them has ``value`` in ``column``."""
    more = f" (and {len(rows) - 1} other rows)" if len(rows) > 1 else ""
    bare = (value or "").strip()
    what = f"{bare!r} for an empty {column!r}" if bare else f"an empty {column!r}"
    remedy = "fill it in, or leave such rows out and count them with empty: drop in the mapping"
    if column == options.label and options.unlabelled == "keep":
        remedy += ", since only train rows may lack one"
    elif column == options.label and part == "train":
        remedy += ", or keep them as text without a label with unlabelled: keep"
    return UserError(
        f"row {rows[0] + 1}{more} of {path}, not counting a header, has {what}: {remedy}"
    )


def _refuse_lists(labels: pa.ChunkedArray, path: Path, column: str) -> None:
    """Raise for the first label that is a list, written out: several classes of one text."""
    import pyarrow.compute as pc

    for label in pc.unique(labels).to_pylist():
        if label is not None and (kind := list_kind(label)):
            raise listed_label(path, pc.index(labels, label).as_py() + 1, kind, label, column)


def list_kind(label: str) -> str | None:
    """``list``, ``tuple``, ``set`` or ``dict`` if a label is one, written out; None for others."""
    if label[:1] not in tuple("[({") or len(label) > 10_000:
        return None
    try:
        value = ast.literal_eval(label)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return type(value).__name__ if isinstance(value, list | tuple | set | dict) else None


def listed_label(source: Path | str, row: int, kind: str, label: str, column: str) -> UserError:
    """The error for a label that is a list, see :func:`list_kind`; rows count from 1."""
    return UserError(
        f"row {row} of {source}, not counting a header, has the {kind}"
        f" {' '.join(label.split())[:80]} as {column!r}: give one class name in each row"
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        UserError: the file is missing, is a pipe or a device, cannot be read or unpacked, is
            empty, or is larger than the memory.
    """
    try:
        refuse_special(path)
        if path.stat().st_size > _LARGEST:
            raise MemoryError
        data = _unpacked(path) if path.name.lower().endswith(".gz") else path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: check the path (relative paths start at {Path.cwd()})"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be unpacked ({error}): it is damaged or not a gzip file; copy"
            " it or compress it again"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check what it is and its permissions"
        ) from None
    except MemoryError:
        raise UserError(
            f"{path} takes more than half of the memory: give a smaller table"
        ) from None
    if not data:
        raise UserError(f"{path} is empty: give a table with a text in each row")
    return data


def _unpacked(path: Path) -> bytes:
    """The content of a file in gzip's format.

    Raises:
        MemoryError: it is larger than half of the memory; a few packed kilobytes can be.
    """
    parts, size = [], 0
    with gzip.open(path) as file:
        while part := file.read(_PART):
            size += len(part)
            if size > _LARGEST:
                raise MemoryError
            parts.append(part)
    return b"".join(parts)


def json_columns(
    data: bytes,
    source: Path | str,
    columns: Sequence[str],
    *,
    label: str | None = None,
    words: Wording = MAPPING,
) -> list[list[str | None]]:
    """Columns of JSON objects, one in each line.

    Args:
        data: UTF-8, with or without a byte order mark.
        source: what to call it in messages.
        columns: their keys.
        label: the one that must hold values of one kind.
        words: of messages.

    Returns:
        A list for each column, whose values are strings; None where one is missing.

    Raises:
        UserError: not UTF-8, a line is no JSON object, or an object has not each column once.
    """
    values: list[list[str | None]] = [[] for _ in columns]
    first: tuple[int, str] | None = None  # line and kind of the first label
    for number, row in json_rows(data, source, words=words):
        where = f"line {number} of {source}"
        for column, kept in zip(columns, values, strict=True):
            if column not in row or column in row.twice:
                raise missing_column(where, [column], [*row, *row.twice], words)
            kept.append(_written(row[column], where, column))
            if column == label and kept[-1] is not None:
                kind = _KINDS[type(row[column])]
                first = first or (number, kind)
                if first[1] != kind:
                    raise UserError(
                        f"{where} has {kind} as {column!r}, where line {first[0]} has {first[1]}:"
                        " write every label as a string"
                    )
    return values


def json_rows(
    data: bytes, source: Path | str, *, words: Wording = MAPPING
) -> Iterator[tuple[int, JsonRow]]:
    """The JSON objects of lines and the numbers of these, from 1; blank lines are left out.

    Raises:
        UserError: not UTF-8, or a line is no JSON object.
    """
    # Lines end at \n only: JSON text may hold the other characters that splitlines() cuts at.
    for number, line in enumerate(decoded(data, source, words=words).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=JsonRow)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, JsonRow):
            raise UserError(
                f"line {number} of {source} is not a JSON object: write one object per line, such"
                ' as {"text": "...", "label": "..."}'
            )
        yield number, row


class JsonRow(dict[str, Any]):
    """A JSON object that knows which of its keys it has twice; the last one counts."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.twice = [name for name in self if len(names) > len(self) and names.count(name) > 1]


def _written(value: Any, where: str, column: str) -> str | None:
    """A value of JSON as a string; None where it is missing."""
    if isinstance(value, dict | list):
        raise UserError(
            f"{where} has a {'list' if isinstance(value, list) else 'dict'} as {column!r}, where a"
            " string or a number is expected: give one value in each row"
        )
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))  # 1.0 and 1 are one class
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{where} has half a character (an unpaired surrogate) in {column!r}: write the text"
            " again, or remove the line"
        ) from None
    return text


def parquet_columns(
    data: bytes, path: Path | str, columns: Sequence[str], words: Wording = MAPPING
) -> pa.Table:
    """Some columns of a parquet table, of any type.

    Raises:
        UserError: ``data``, the content of ``path``, is no such table, or lacks a column.
    """
    with _parquet_file(data, path) as file:
        names = file.schema_arrow.names
        if any(names.count(column) != 1 for column in columns):
            raise missing_column(path, columns, names, words)
        table = file.read(columns=list(columns)).select(list(columns))
        table.validate(full=True)
        return table


@contextmanager
def _parquet_file(data: bytes, path: Path | str) -> Iterator[pyarrow.parquet.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        yield pyarrow.parquet.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError, UnicodeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} cannot be read as parquet ({reason}): write it again") from None


def parquet_names(data: bytes, path: Path | str) -> list[str]:
    """The names of the columns of a parquet table.

    Raises:
        UserError: ``data``, the content of ``path``, is no such table.
    """
    with _parquet_file(data, path) as file:
        return list(file.schema_arrow.names)


def parquet_strings(
    data: bytes, path: Path | str, columns: Sequence[str], words: Wording = MAPPING
) -> pa.Table:
    """Some columns of a parquet table as strings; null where a value is missing.

    Raises:
        UserError: see :func:`parquet_columns`; a column holds no strings or numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = parquet_columns(data, path, columns, words)
    strings = []
    for column in columns:
        values = table[column]
        try:
            if pa.types.is_floating(values.type):  # a missing value, as null is
                values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
            strings.append(pc.cast(values, pa.large_string()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # Arrow has no such cast
            raise UserError(
                f"column {column!r} of {path} holds {values.type}, where strings or numbers"
                " are expected: give one value in each row"
            ) from None
    return pa.table(strings, names=list(columns))

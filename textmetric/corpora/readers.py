"""The user's tables: csv, tsv, jsonl, parquet, plain or gzipped, or a folder of parts."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np

from textmetric.corpora.blocks import START, Place, of_file, whole
from textmetric.corpora.delimited import csv_blocks, line_count, missing_column
from textmetric.corpora.encodings import decoded, utf8_blocks
from textmetric.corpora.wording import MAPPING, Wording
from textmetric.errors import UserError
from textmetric.files import refuse_special
from textmetric.labels import MISSING
from textmetric.types import PARTS, Int8, Int64

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

ROWS = 1 << 16
"""Rows of a block of a parquet table."""

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


class Block(NamedTuple):
    """Some rows of a corpus.

    Attributes:
        texts: (n,) none of them null.
        labels: (n,) null where a row has no label.
        parts: (n,) numbers of ``PARTS``.
        rows: (n,) the number of each row in the tables, one after another, rising.
        counts: what this block adds to the counts of :func:`blocks`.
    """

    texts: pa.ChunkedArray
    labels: pa.ChunkedArray
    parts: Int8
    rows: Int64
    counts: dict[str, int]


def read(path: Path, options: Options = Options()) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read all of a table at once, see :func:`blocks`.

    Returns:
        The columns ``text``, ``label``, and ``split``, which holds the part. The index is the
        number of each row in the tables. And the counts.
    """
    import pandas as pd
    import pyarrow as pa

    frames, counts = [], Counter[str]()
    for block in blocks(path, options):
        frame = pa.table([block.texts, block.labels], names=["text", "label"]).to_pandas()
        frames.append(frame.assign(split=np.array(PARTS)[block.parts]).set_index(block.rows))
        counts.update(block.counts)
    return pd.concat(frames), dict(counts)


def of_frame(frame: pd.DataFrame, counts: dict[str, int]) -> Iterator[Block]:
    """The rows of a frame with the columns ``text``, ``label`` and ``split`` as blocks.

    Args:
        frame: n rows.
        counts: those of all rows.
    """
    import pyarrow as pa

    for first in range(0, max(len(frame), 1), ROWS):
        some = frame.iloc[first : first + ROWS]
        table = pa.Table.from_pandas(some[["text", "label"]], preserve_index=False)
        parts = np.select([some["split"] == name for name in PARTS], range(len(PARTS)))
        rows = np.arange(first, first + len(some))
        yield Block(table["text"], table["label"], parts.astype(np.int8), rows, counts)
        counts = {}


def blocks(path: Path, options: Options = Options()) -> Iterator[Block]:
    """Read a table, or a folder of a train, a test and maybe a validation table, by blocks.

    White space around labels is removed, texts stay as they are. A single file is all ``train``.

    Args:
        path: a file with one of the known suffixes, with or without ``.gz``, or a folder with
            one such file starting ``train``, one starting ``test``, and at most one starting
            ``val`` (so ``valid`` too). Other files and folders in it are ignored.
        options: columns, and what else the files do not say themselves.

    Yields:
        All rows except the empty ones. The counts are ``lines`` (of text files, without the
        header, with blank lines and those in quotes; not there for parquet), ``rows``, and, if
        they may be dropped, ``empty_rows``.

    Raises:
        UserError: a file is missing, unreadable, in another encoding, or without rows; a column is
            missing; a quote is not closed; a text is empty, or a label that may not be; a label is
            a list. Mistakes in single rows are raised at the end of a file.
    """
    found = tables(path)
    delimited = any(suffix_of(file) in (".csv", ".tsv") for _, file in found)
    text = any(suffix_of(file) != ".parquet" for _, file in found)
    for key, used, kinds in (("delimiter", delimited, "csv"), ("encoding", text, "text")):
        if getattr(options, key) is not None and not used:
            raise UserError(
                f"{key} is given for the corpus {path}, but it is no {kinds} file: remove the key"
            )
    first = 0
    for part, file in found:
        for block in _file_blocks(file, part, options, first):
            yield block
            first += block.counts["rows"]


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


def _file_blocks(path: Path, part: str, options: Options, first: int) -> Iterator[Block]:
    """One table, see :func:`blocks`; its rows are numbered from ``first``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    checks, number = _Checks(path, part, options), PARTS.index(part)
    for table, counts in _tables_of(path, options):
        texts, labels = table.columns[0], pc.utf8_trim_whitespace(table.columns[1])
        empty, unlabelled = checks.add(texts, labels)
        counts["rows"] = table.num_rows
        if options.empty == "drop":
            counts["empty_rows"] = len(empty)
        if len(unlabelled):
            mask = np.zeros(table.num_rows, dtype=bool)
            mask[unlabelled] = True
            labels = pc.if_else(pa.array(mask), pa.scalar(None, labels.type), labels)
        rows = np.delete(np.arange(table.num_rows), empty)
        if len(empty):
            texts, labels = texts.take(pa.array(rows)), labels.take(pa.array(rows))
        parts = np.full(len(rows), number, np.int8)
        yield Block(texts, labels, parts, rows + first, counts)
        first += table.num_rows
    checks.finish()


def _tables_of(path: Path, options: Options) -> Iterator[tuple[pa.Table, dict[str, int]]]:
    """The columns of the texts and of the labels of a file, by blocks, and the count ``lines``."""
    import pyarrow as pa

    suffix, columns = suffix_of(path), [options.text, options.label]
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is not a table that can be read: expected a name that ends in"
            f" {', '.join(SUFFIXES)}, plain or with .gz"
        )
    if suffix == ".parquet":
        for table in parquet_blocks(path, columns):
            yield table, {}
        return
    data = utf8_blocks(_checked_text(path), path, options.encoding)
    if suffix == ".jsonl":
        for values, lines in json_blocks(data, path, columns, label=options.label):
            table = pa.table([pa.array(kept, pa.string()) for kept in values], names=columns)
            yield table, {"lines": lines}
        return
    delimiter = options.delimiter or ("\t" if suffix == ".tsv" else ",")
    header = 1
    for block in csv_blocks(data, path, columns, delimiter=delimiter, label=options.label):
        yield block.table, {"lines": block.lines - header}
        header = 0


def _checked_text(path: Path) -> Iterator[bytes]:
    for place, block in enumerate(read_blocks(path)):
        if place == 0:
            refuse_other(block, path)
        yield block


class _Checks:
    """What is wrong with single rows of a table, found by blocks and raised at its end."""

    def __init__(self, path: Path, part: str, options: Options) -> None:
        self._path, self._part, self._options = path, part, options
        self._rows = self._empty = 0
        self._first: tuple[int, str, str | None] | None = None  # empty: its row, column and value
        self._labels = set[str]()
        self._list: UserError | None = None

    def add(self, texts: pa.ChunkedArray, labels: pa.ChunkedArray) -> tuple[Int64, Int64]:
        """The rows that are empty, and those without a label; both rising."""
        import pyarrow.compute as pc

        options = self._options
        without_text, unlabelled = _blank_rows(texts), _blank_rows(labels)
        empty = without_text
        if options.unlabelled != "keep" or self._part != "train":
            empty = np.union1d(empty, unlabelled)
        if len(empty) and self._first is None:
            of_text = empty[0] in without_text
            value = (texts if of_text else labels)[int(empty[0])].as_py()
            column = options.text if of_text else options.label
            self._first = (self._rows + int(empty[0]) + 1, column, value)
        for label in pc.unique(labels).to_pylist():
            if label is not None and label not in self._labels and self._list is None:
                self._labels.add(label)
                if kind := list_kind(label):
                    row = self._rows + pc.index(labels, label).as_py() + 1
                    self._list = listed_label(self._path, row, kind, label, options.label)
        self._rows += len(texts)
        self._empty += len(empty)
        return empty, unlabelled

    def finish(self) -> None:
        """Raise for the first mistake."""
        if self._first is not None and self._options.empty != "drop":
            raise _empty(self._path, self._part, self._options, self._empty, *self._first)
        if self._empty == self._rows:
            full = " that are not empty" if self._empty else ""
            raise UserError(f"{self._path} has no rows{full}: give a table with a text in each row")
        if self._list is not None:
            raise self._list


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
    path: Path, part: str, options: Options, rows: int, first: int, column: str, value: str | None
) -> UserError:
    """The error for ``rows`` empty ones; the ``first`` of them has ``value`` in ``column``."""
    more = f" (and {rows - 1} other rows)" if rows > 1 else ""
    bare = (value or "").strip()
    what = f"{bare!r} for an empty {column!r}" if bare else f"an empty {column!r}"
    remedy = "fill it in, or leave such rows out and count them with empty: drop in the mapping"
    if column == options.label and options.unlabelled == "keep":
        remedy += ", since only train rows may lack one"
    elif column == options.label and part == "train":
        remedy += ", or keep them as text without a label with unlabelled: keep"
    return UserError(f"row {first}{more} of {path}, not counting a header, has {what}: {remedy}")


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
        UserError: see :func:`read_blocks`; the content is larger than half of the memory, as a few
            packed kilobytes can be.
    """
    parts, size = [], os.path.getsize(path) if os.path.isfile(path) else 0
    if size <= _LARGEST:
        size = 0
        for part in read_blocks(path):
            size += len(part)
            if size > _LARGEST:
                break
            parts.append(part)
    if size > _LARGEST:
        raise UserError(f"{path} takes more than half of the memory: give a smaller table")
    return b"".join(parts)


def read_blocks(path: Path) -> Generator[bytes]:
    """The content of a file by blocks, unpacked if its name ends in ``.gz``.

    Raises:
        UserError: the file is missing, is a pipe or a device, cannot be read or unpacked, or is
            empty.
    """
    with _errors_of_reading(path):
        refuse_special(path)
        packed = path.name.lower().endswith(".gz")
        with gzip.open(path) if packed else path.open("rb", buffering=0) as file:
            empty = True
            for block in of_file(cast(BinaryIO, file)):
                yield block
                empty = False
    if empty:
        raise UserError(f"{path} is empty: give a table with a text in each row")


@contextmanager
def _errors_of_reading(path: Path) -> Iterator[None]:
    try:
        yield
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


def json_columns(
    data: bytes,
    source: Path | str,
    columns: Sequence[str],
    *,
    label: str | None = None,
    words: Wording = MAPPING,
) -> list[list[str | None]]:
    """Columns of JSON objects that are in memory, see :func:`json_blocks`.

    Returns:
        A list for each column.
    """
    found: list[list[str | None]] = [[] for _ in columns]
    for values, _ in json_blocks([data], source, columns, label=label, words=words):
        for kept, more in zip(found, values, strict=True):
            kept += more
    return found


def json_blocks(
    data: Iterable[bytes],
    source: Path | str,
    columns: Sequence[str],
    *,
    label: str | None = None,
    words: Wording = MAPPING,
) -> Iterator[tuple[list[list[str | None]], int]]:
    """Columns of JSON objects, one in each line, by blocks.

    Args:
        data: UTF-8, with or without a byte order mark, cut anywhere.
        source: what to call it in messages.
        columns: their keys.
        label: the one that must hold values of one kind.
        words: of messages.

    Yields:
        A list for each column, whose values are strings, None where one is missing; and the number
        of lines.

    Raises:
        UserError: not UTF-8, a line is no JSON object, or an object has not each column once.
    """
    first: tuple[int, str] | None = None  # line and kind of the first label
    before = START
    for piece in whole(data, lambda held: held.rfind(b"\n") + 1):
        values: list[list[str | None]] = [[] for _ in columns]
        for number, row in json_rows(piece, source, words=words, before=before):
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
                            f"{where} has {kind} as {column!r}, where line {first[0]} has"
                            f" {first[1]}: write every label as a string"
                        )
        lines = line_count(piece)
        yield values, lines
        before = Place(0, before.lines + lines, before.bytes + len(piece))


def json_rows(
    data: bytes, source: Path | str, *, words: Wording = MAPPING, before: Place = START
) -> Iterator[tuple[int, JsonRow]]:
    """The JSON objects of lines and the numbers of these, from 1; blank lines are left out.

    Raises:
        UserError: not UTF-8, or a line is no JSON object.
    """
    # Lines end at \n only: JSON text may hold the other characters that splitlines() cuts at.
    lines = decoded(data, source, words=words, before=before).split("\n")
    for number, line in enumerate(lines, start=before.lines + 1):
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
        _check_columns(file, path, columns, words)
        table = file.read(columns=list(columns)).select(list(columns))
        table.validate(full=True)
        return table


def _check_columns(
    file: pyarrow.parquet.ParquetFile, path: Path | str, columns: Sequence[str], words: Wording
) -> None:
    names = file.schema_arrow.names
    if any(names.count(column) != 1 for column in columns):
        raise missing_column(path, columns, names, words)


@contextmanager
def _parquet_file(
    data: bytes | BinaryIO, path: Path | str
) -> Iterator[pyarrow.parquet.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        yield pyarrow.parquet.ParquetFile(
            pa.BufferReader(data) if isinstance(data, bytes) else data
        )
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
    return _strings(parquet_columns(data, path, columns, words), path)


def parquet_blocks(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """What :func:`parquet_strings` gives, by blocks; the file may be packed, then it is in memory.

    Raises:
        UserError: the file cannot be read, see :func:`read_blocks`; see :func:`parquet_strings`.
    """
    import pyarrow as pa

    packed = path.name.lower().endswith(".gz")
    with closing(read_blocks(path)) as first:
        next(first)  # raises what is wrong with the file
    with (
        path.open("rb") as plain,
        _parquet_file(read_bytes(path) if packed else plain, path) as file,
    ):
        _check_columns(file, path, columns, MAPPING)
        none = True
        for batch in file.iter_batches(ROWS, columns=list(columns)):
            table = pa.Table.from_batches([batch]).select(list(columns))
            table.validate(full=True)
            yield _strings(table, path)
            none = False
        if none:
            yield _strings(file.schema_arrow.empty_table().select(list(columns)), path)


def _strings(table: pa.Table, path: Path | str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    strings = []
    for column in table.column_names:
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
    return pa.table(strings, names=table.column_names)

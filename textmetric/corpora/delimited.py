"""Delimited text: csv and tsv, read strictly, so that no row is lost without an error."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from textmetric.corpora.blocks import START, Place, slices, whole
from textmetric.corpora.encodings import decoded, likely
from textmetric.corpora.wording import MAPPING, Wording
from textmetric.errors import UserError
from textmetric.types import Int64

if TYPE_CHECKING:
    import pyarrow as pa

Bytes = npt.NDArray[np.uint8]

_LONGEST = 1 << 30  # bytes of a row
_PART = 1 << 20  # bytes that are compared at a time
_HEAD = 1 << 16  # bytes in which the header line ends
_DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
_MARK = "\ufeff".encode()
_FILLED = re.compile(rb"[^\r\n]")


class CsvBlock(NamedTuple):
    """Some rows of delimited text.

    Attributes:
        table: the wanted columns, strings.
        lines: what :func:`line_count` finds in it, the header counted too.
    """

    table: pa.Table
    lines: int


def csv_table(
    data: bytes,
    source: Path | str,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
    label: str | None = None,
) -> pa.Table:
    """All rows of delimited text that is in memory; see :func:`csv_blocks`."""
    import pyarrow as pa

    blocks = csv_blocks(
        slices(data), source, columns, delimiter=delimiter, header=header, label=label
    )
    return pa.concat_tables(block.table for block in blocks)


def csv_blocks(
    data: Iterable[bytes],
    source: Path | str,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
    label: str | None = None,
) -> Iterator[CsvBlock]:
    """Parse delimited text: quoted fields may hold line breaks, and every value is a string.

    Words such as ``NA`` or ``null`` are text like any other. A quoted field ends with a quote
    before a delimiter, a line break or the end; quotes inside are doubled (RFC 4180). In a field
    that starts with another character, a quote is a character like any other.

    Args:
        data: UTF-8, with or without a byte order mark, cut anywhere. A part of it is in memory at
            a time, and more where a row is longer; a row has at most 1 GB.
        source: what to call it in messages.
        columns: the columns to keep, in this order.
        delimiter: one ASCII character.
        header: the column names of a file without a header line.
        label: the column of the class names, by which rows inside a quoted field are recognised.

    Yields:
        Blocks of rows, at least one, which may have no row.

    Raises:
        UserError: not UTF-8, an open quote, rows of different lengths, or a column that is missing
            or there twice.
    """
    names, known, before = list(header or ()), set[bytes](), START
    headed = header is None

    def end(held: bytes) -> int:
        guard = _guard(held, before)
        return max(0, _rows_end(guard + held, delimiter) - len(guard))

    for piece in whole(data, end):
        first, guarded = before is START, 0
        if guard := _guard(piece, before):
            piece, guarded = guard + piece, 1
            before = Place(before.rows, before.lines - 1, before.bytes - 1)
        if first and headed:
            column_names(piece, source, columns, delimiter)
        check_quotes(piece, source, delimiter, headed, before)
        given = names if header is not None or not first else None
        table = _parsed(piece, source, columns, delimiter, headed, given, before)
        if first and headed:
            head = piece[: _rows_end(piece[:_HEAD], delimiter) or len(piece)]
            names = _first_row(head.removeprefix(_MARK).lstrip(b"\r\n"), delimiter)
        lines = line_count(piece)
        if label is not None:
            known.update(name.encode() for name in table[label].unique().to_pylist() if name)
            # There are blank lines, or fields with line breaks.
            if lines > table.num_rows + (first and headed):
                check_for_rows(piece, source, delimiter, headed, names, label, known, before)
        yield CsvBlock(table, lines - guarded)
        rows = before.rows + table.num_rows + (first and headed)
        before = Place(rows, before.lines + lines, before.bytes + len(piece))


def _guard(text: bytes, before: Place) -> bytes:
    """A blank line, which is no row, before text that starts with what is a mark in a file's start.

    After it nothing takes the character for a byte order mark.
    """
    return b"\n" if before is not START and text.startswith(_MARK) else b""


def _parsed(
    piece: bytes,
    source: Path | str,
    columns: Sequence[str],
    delimiter: str,
    headed: bool,
    names: Sequence[str] | None,
    before: Place,
) -> pa.Table:
    """The columns of whole rows, see :func:`csv_blocks`; ``names`` is None where a header is."""
    import pyarrow as pa
    import pyarrow.csv

    read = pyarrow.csv.ReadOptions(
        use_threads=False,  # so that errors name the row
        block_size=len(piece) + 1,
        column_names=None if names is None else list(names),
    )
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=False,
    )
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(piece), read_options=read, parse_options=parse, convert_options=convert
        )
    except pa.ArrowInvalid as error:
        decoded(piece, source, before=before)
        if "Empty CSV" in str(error):  # the header alone, without a line end; blank lines
            return pa.table([pa.array([], pa.string()) for _ in columns], names=list(columns))
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        where = (
            f"row {before.rows + int(found[1]) - headed}"
            if found
            else f"the table ({' '.join(str(error).split())})"
        )
        fields = f" has {found[3]} fields where {found[2]} are expected" if found else ""
        raise UserError(
            f"{where} of {source}{fields or ' cannot be parsed'}: {quoting(delimiter)}"
        ) from None


def _rows_end(data: bytes, delimiter: str) -> int:
    """Where the last row that is surely whole ends in text that starts with a row; 0 if none is.

    It is a line end outside quotes: where all quotes are right, one with an even number of quotes
    before it. Text with a wrong quote is returned whole, for :func:`check_quotes`.
    """
    if len(data) > _LONGEST:
        return len(data)
    # a carriage return may be half of a line end
    end, last = (b"\n", len(data)) if b"\n" in data else (b"\r", len(data) - 1)
    quotes = _places(data)
    at = data.rfind(end, 0, last)
    while at >= 0 and (inside := int(np.searchsorted(quotes, at))) % 2:
        at = data.rfind(end, 0, int(quotes[inside - 1]))
    if at < 0 or not _well_quoted(data[: at + 1], delimiter):
        # There may be quotes inside of fields that do not start with one.
        flat, copied = bytearray(), 0
        for field in _pattern(delimiter).finditer(data):
            if field.end() == len(data):  # the rest of it may follow
                last = field.start()
                break
            if field[1] is not None:
                return len(data)
            flat += data[copied : field.start()] + b"x" * len(field[0])
            copied = field.end()
        flat += data[copied:last]
        at = flat.rfind(end, 0, last)
    start = len(_MARK) if data.startswith(_MARK) else 0
    return at + 1 if _FILLED.search(data, start, at + 1) else 0


def quoting(delimiter: str) -> str:
    """What to do, for messages, where the rows of a table have different numbers of fields."""
    separator = _DELIMITERS.get(delimiter, repr(delimiter))
    return (
        f"put quotes around fields that hold {separator}, a line break or a quote, and double the "
        "quotes inside"
    )


def line_count(data: bytes) -> int:
    """The number of lines, blank ones and the last one without a line end too."""
    end = b"\n" if b"\n" in data else b"\r"
    parts = _parts(np.frombuffer(data, np.uint8))
    ends = sum(int(np.count_nonzero(part == ord(end))) for _, part in parts)
    return ends + (not data.endswith(end))


def _parts(values: Bytes) -> Iterator[tuple[int, Bytes]]:
    """The parts of an array, which take less memory to compare, and where each starts."""
    return ((start, values[start : start + _PART]) for start in range(0, len(values), _PART))


def missing_column(
    source: Path | str, columns: Sequence[str], present: Sequence[str], words: Wording = MAPPING
) -> UserError:
    """The error for the first of ``columns`` that is not ``present``, or there more than once."""
    column = next(column for column in columns if present.count(column) != 1)
    if column in present:
        return UserError(
            f"{source} has {present.count(column)} columns {column!r}: rename all but one"
        )
    return UserError(
        f"{source} has no column {column!r}; its columns are {listed_columns(present)}: "
        f"{words.columns}"
    )


def listed_columns(names: Sequence[str]) -> str:
    """The names of columns for a message, cut where they are long or many."""
    shown = [name if name.isprintable() and name == name.strip() else repr(name) for name in names]
    listed = ", ".join(name if len(name) < 80 else f"{name[:80]}…" for name in shown[:40])
    return listed + (f" and {len(shown) - 40} others" if len(shown) > 40 else "")


def column_names(
    data: bytes,
    source: Path | str,
    columns: Sequence[str],
    delimiter: str,
    words: Wording = MAPPING,
) -> list[str]:
    """The column names of the first line.

    Args:
        data: see :func:`csv_table`.
        source: see :func:`csv_table`.
        columns: names that must be there.
        delimiter: see :func:`csv_table`.
        words: of messages.

    Raises:
        UserError: there is none, or ``columns`` are not all in it, once.
    """
    start = data[:_HEAD].removeprefix(_MARK).lstrip(b"\r\n")
    if not start:
        raise UserError(f"{source} is empty: give a table with a text in each row")
    names = _first_row(start, delimiter)
    if all(names.count(column) == 1 for column in columns):
        return names
    decoded(data, source, words=words)
    if b"\0" in start and (seems := likely(data)):
        raise UserError(
            f"{source} has no column {columns[0]!r}, since it seems to be {seems}: save it as UTF-8"
            f", or {words.encoding.format(seems)}"
        )
    absent = [column for column in columns if column not in names]
    by_other = {other: _first_row(start, other) for other in _DELIMITERS if other != delimiter}
    for other, found in by_other.items():
        # a better one has all columns, or any where this one has a single column
        if absent and (set(columns) <= set(found) or len(names) == 1 < len(found)):
            shown = repr(other) if other != "\t" else words.tab
            raise UserError(
                f"{source} has no column {' or '.join(map(repr, absent))}; the delimiter seems to"
                f" be {shown}: {words.delimiter.format(shown)}"
            )
    check_quotes(data, source, delimiter, True)
    raise missing_column(source, columns, names, words)


def _first_row(start: bytes, delimiter: str) -> list[str]:
    text = io.StringIO(start.decode("utf-8", "replace"), newline="")
    try:
        return next(csv.reader(text, delimiter=delimiter), [])
    except csv.Error:  # a field longer than csv's limit
        return []


def _pattern(delimiter: str) -> re.Pattern[bytes]:
    """A quoted field; group 1 if it does not end where a field ends: the quote, or nothing."""
    edge = b"[" + re.escape(delimiter.encode()) + b"\r\n"
    opening = rb'"(?:(?<=' + edge + rb']")|(?<=\A")|(?<=\A' + _MARK + rb'"))'
    closing = rb'(?:"(?=' + edge + rb'])|"\Z|("|\Z))'
    return re.compile(opening + rb'[^"]*(?:""[^"]*)*' + closing)


def _places(data: bytes) -> Int64:
    """Where the quotes are."""
    parts = _parts(np.frombuffer(data, np.uint8))
    found = [np.flatnonzero(part == ord('"')) + start for start, part in parts]
    return np.concatenate([np.empty(0, np.int64), *found])


def _well_quoted(data: bytes, delimiter: str) -> bool:
    """Whether every quote of a text opens or closes a quoted field, or is doubled in one.

    Then the quotes open and close by turns, where a doubled one closes and opens at once.
    """
    values, places = np.frombuffer(data, np.uint8), _places(data)
    if len(places) % 2:
        return False
    edges = np.zeros(256, dtype=bool)
    edges[list(b'"\r\n' + delimiter.encode())] = True
    before, after = places[::2] - 1, places[1::2] + 1
    opens = edges[values[before]] | (before < 0) | (data.startswith(_MARK) & (before == 2))
    # before the first byte is read as the last one, and so is what follows the last one
    closes = edges[values[np.minimum(after, len(values) - 1)]]
    return bool(opens.all() and closes.all())


def check_quotes(
    data: bytes, source: Path | str, delimiter: str, headed: bool, before: Place = START
) -> None:
    """Check the quotes of delimited text.

    Args:
        data: see :func:`csv_table`; whole rows.
        source: see :func:`csv_table`.
        delimiter: see :func:`csv_table`.
        headed: whether there is a header line.
        before: what comes before ``data`` in its file.

    Raises:
        UserError: a quoted field does not end where a field ends; names the first.
    """
    if b'"' not in data or _well_quoted(data, delimiter):
        return
    for field in _pattern(delimiter).finditer(data):
        if field[1] is not None:
            line = before.lines + line_count(data[: field.end()])
            problem = (
                f"is followed by more text where it closes (line {line})"
                if field[1]
                else "is never closed, and takes in all lines to the end"
            )
            where = _row_at(data, field.start(), delimiter, headed, before)
            raise UserError(
                f"the quote that opens in {where} of {source} {problem}: remove it, or put quotes"
                " around the whole field and double the quotes inside"
            )


def check_for_rows(
    data: bytes,
    source: Path | str,
    delimiter: str,
    headed: bool,
    names: Sequence[str],
    label: str,
    known: set[bytes],
    before: Place = START,
) -> None:
    """Check that no quoted field takes in rows, since the quote that closes it opens another field.

    Its lines are rows if each has as many fields as the table, and one has a known label. Two such
    lines are needed: a text may hold one by chance.

    Args:
        data: see :func:`csv_table`.
        source: see :func:`csv_table`.
        delimiter: see :func:`csv_table`.
        headed: whether there is a header line.
        names: of all columns.
        label: the column of the class names.
        known: the class names.
        before: what comes before ``data`` in its file.

    Raises:
        UserError: a field takes in rows; names the first.
    """
    separator, place = delimiter.encode(), names.index(label)
    for field in _pattern(delimiter).finditer(data):
        lines = field[0][1:-1].split(b"\n")
        if field.start() and data[field.start() - 1 : field.start()] not in b"\r\n":
            del lines[0]  # the rest of a row, which starts before the field
        rows = [line.rstrip(b"\r").split(separator) for line in lines[:-1] if line.strip()]
        if (
            len(rows) > 1
            and all(len(row) == len(names) for row in rows)
            and any(row[place] in known for row in rows)
        ):
            last = before.lines + line_count(data[: field.end()])
            where = _row_at(data, field.start(), delimiter, headed, before)
            raise UserError(
                f"the quote that opens in {where} of {source} is closed in line {last} only, and"
                f" takes in {len(rows)} rows: remove it, or put quotes around the whole field and"
                " double the quotes inside"
            )


def _row_at(data: bytes, position: int, delimiter: str, headed: bool, before: Place) -> str:
    """The row, not counting a header, and the line at a place in a text, for messages."""
    start = data[:position].removeprefix(_MARK)  # all of its quoted fields end well
    flat = _pattern(delimiter).sub(b"x", start) + b"x"
    row = before.rows + len(re.findall(rb"[^\r\n]+", flat)) - headed  # blank lines are no rows
    line = before.lines + line_count(start + b"x")
    return f"row {row} (line {line})" if row else f"the header (line {line})"

"""Delimited text: csv and tsv, read strictly, so that no row is lost without an error."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textmetric.corpora.encodings import decoded, likely
from textmetric.corpora.wording import MAPPING, Wording
from textmetric.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

Bytes = npt.NDArray[np.uint8]

_BLOCK = 1 << 30  # bytes of csv that are parsed at a time; no row may be longer
_PART = 1 << 20  # bytes that are compared at a time
_HEAD = 1 << 16  # bytes in which the header line ends
_DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
_MARK = "\ufeff".encode()


def csv_table(
    data: bytes,
    source: Path | str,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
    label: str | None = None,
) -> pa.Table:
    """Parse delimited text: quoted fields may hold line breaks, and every value is a string.

    Words such as ``NA`` or ``null`` are text like any other. A quoted field ends with a quote
    before a delimiter, a line break or the end; quotes inside are doubled (RFC 4180). In a field
    that starts with another character, a quote is a character like any other. In a file over 1 GB,
    the line feed after a carriage return inside quotes may be lost where two blocks meet.

    Args:
        data: UTF-8, with or without a byte order mark.
        source: what to call it in messages.
        columns: the columns to keep, in this order.
        delimiter: one ASCII character.
        header: the column names of a file without a header line.
        label: the column of the class names, by which rows inside a quoted field are recognised.

    Raises:
        UserError: not UTF-8, an open quote, rows of different lengths, or a column that is missing
            or there twice.
    """
    import pyarrow as pa
    import pyarrow.csv

    names = column_names(data, source, columns, delimiter) if header is None else list(header)
    read = pyarrow.csv.ReadOptions(
        use_threads=False,  # so that errors name the row
        block_size=_BLOCK,
        column_names=None if header is None else names,
    )
    # Without newlines_in_values a block may end at a line break inside quotes, without an error.
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=False,
    )
    check_quotes(data, source, delimiter, header is None)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data), read_options=read, parse_options=parse, convert_options=convert
        )
    except pa.ArrowInvalid as error:
        decoded(data, source)
        if "Empty CSV" in str(error):  # the header alone, without a line end
            return pa.table([pa.array([], pa.string()) for _ in columns], names=list(columns))
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        where = (
            f"row {int(found[1]) - (header is None)}"
            if found
            else f"the table ({' '.join(str(error).split())})"
        )
        fields = f" has {found[3]} fields where {found[2]} are expected" if found else ""
        raise UserError(
            f"{where} of {source}{fields or ' cannot be parsed'}: {quoting(delimiter)}"
        ) from None
    # There are blank lines, or fields with line breaks.
    if label is not None and line_count(data) > table.num_rows + (header is None):
        known = {name.encode() for name in table[label].unique().to_pylist() if name}
        check_for_rows(data, source, delimiter, header is None, names, label, known)
    return table


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


def _well_quoted(data: bytes, delimiter: str) -> bool:
    """Whether every quote of a text opens or closes a quoted field, or is doubled in one.

    Then the quotes open and close by turns, where a doubled one closes and opens at once.
    """
    values = np.frombuffer(data, np.uint8)
    places = np.concatenate(
        [np.flatnonzero(part == ord('"')) + start for start, part in _parts(values)]
    )
    if len(places) % 2:
        return False
    edges = np.zeros(256, dtype=bool)
    edges[list(b'"\r\n' + delimiter.encode())] = True
    before, after = places[::2] - 1, places[1::2] + 1
    opens = edges[values[before]] | (before < 0) | (data.startswith(_MARK) & (before == 2))
    # before the first byte is read as the last one, and so is what follows the last one
    closes = edges[values[np.minimum(after, len(values) - 1)]]
    return bool(opens.all() and closes.all())


def check_quotes(data: bytes, source: Path | str, delimiter: str, headed: bool) -> None:
    """Check the quotes of delimited text.

    Raises:
        UserError: a quoted field does not end where a field ends; names the first.
    """
    if b'"' not in data or _well_quoted(data, delimiter):
        return
    for field in _pattern(delimiter).finditer(data):
        if field[1] is not None:
            line = line_count(data[: field.end()])
            problem = (
                f"is followed by more text where it closes (line {line})"
                if field[1]
                else "is never closed, and takes in all lines to the end"
            )
            raise UserError(
                f"the quote that opens in {_row_at(data, field.start(), delimiter, headed)} of"
                f" {source} {problem}: remove it, or put quotes around the whole field and double"
                " the quotes inside"
            )


def check_for_rows(
    data: bytes,
    source: Path | str,
    delimiter: str,
    headed: bool,
    names: Sequence[str],
    label: str,
    known: set[bytes],
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
            last = line_count(data[: field.end()])
            raise UserError(
                f"the quote that opens in {_row_at(data, field.start(), delimiter, headed)} of"
                f" {source} is closed in line {last} only, and takes in {len(rows)} rows: remove"
                " it, or put quotes around the whole field and double the quotes inside"
            )


def _row_at(data: bytes, position: int, delimiter: str, headed: bool) -> str:
    """The row, not counting a header, and the line at a place in a text, for messages."""
    before = data[:position].removeprefix(_MARK)  # all of its quoted fields end well
    flat = _pattern(delimiter).sub(b"x", before) + b"x"
    row = len(re.findall(rb"[^\r\n]+", flat)) - headed  # blank lines are no rows
    line = line_count(before + b"x")
    return f"row {row} (line {line})" if row else f"the header (line {line})"

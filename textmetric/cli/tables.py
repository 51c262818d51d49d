"""Tables of texts, read strictly with numpy and the standard library; parquet with pyarrow."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from textmetric.cli.options import STREAM, TABLES, Source, note
from textmetric.corpora import readers
from textmetric.corpora.delimited import (
    check_for_rows,
    check_quotes,
    column_names,
    line_count,
    listed_columns,
    quoting,
)
from textmetric.corpora.encodings import as_utf8, decoded, likely
from textmetric.corpora.wording import OPTIONS
from textmetric.errors import UserError, missing_package
from textmetric.labels import MISSING
from textmetric.types import Int64

_BLANK = frozenset(("", *MISSING))
_DELIMITERS = ",\t;|"


@dataclass(frozen=True)
class Table:
    """Texts of a table.

    Attributes:
        source: what to call the table in messages.
        column: of the texts.
        texts: n texts.
        labels: n labels without white space around them, "" where there is none; None if none
            were asked for.
        rows: (n,) int64, the row of each text, from 1, not counting a header.
        dropped: the number of rows that were left out.
    """

    source: str
    column: str
    texts: list[str]
    labels: list[str] | None
    rows: Int64
    dropped: int


def read_table(source: Source, *, unlabelled: bool = False) -> Table:
    """Read the texts, and the labels if they are asked for, of a table.

    Args:
        source: the table.
        unlabelled: rows may lack a label.

    Raises:
        UserError: the table is missing, of no known kind, damaged or not UTF-8; a column is
            missing; a text or label is empty, unless the source allows it; a label is a list.
    """
    kind = _kind(source)
    name, data = _content(source.path)
    for option, value, kinds in (
        ("--delimiter", source.delimiter, ("csv", "tsv")),
        ("--encoding", source.encoding, ("csv", "tsv", "jsonl", "txt")),
    ):
        if value is not None and kind not in kinds:
            raise UserError(f"{option} is given, but {name} is {kind}: leave it out")
    if kind != "parquet":
        readers.refuse_other(data, name)
        data = as_utf8(data, name, source.encoding, words=OPTIONS)
        _refuse_null(data, name)
    column, texts, written = _READERS[kind](data, name, source)
    labels = None if written is None else [_bare(label) for label in written]
    if labels is not None:
        _refuse_lists(labels, name, str(source.label))
    return _without_empty(source, name, column, texts, labels, unlabelled)


def _bare(label: str | None) -> str:
    bare = (label or "").strip()
    return "" if bare in _BLANK else bare


def _kind(source: Source) -> str:
    if source.kind:
        return source.kind
    if source.path == STREAM:
        return "csv" if source.text or source.label else "txt"
    kind = readers.suffix_of(Path(source.path)).lstrip(".")
    if kind not in TABLES:
        raise UserError(
            f"the name of {source.path} does not say what it is: give --from {', '.join(TABLES)}"
        )
    return kind


def _content(path: str) -> tuple[str, bytes]:
    """What to call a table, and its content."""
    if path != STREAM:
        return path, readers.read_bytes(Path(path))
    data = sys.stdin.buffer.read()
    if not data:
        raise UserError("the standard input is empty: give a table, or a text in each line")
    return "the standard input", data


def _refuse_null(data: bytes, name: str) -> None:
    place = data.find(b"\0")
    if place >= 0:
        seems = likely(data)
        guess = f", and seems to be {seems}: {OPTIONS.encoding.format(seems)}" if seems else (
            ": remove it, since no text has one"
        )  # fmt: skip
        raise UserError(f"line {line_count(data[: place + 1])} of {name} has a null byte{guess}")


Columns = tuple[str, Sequence[str | None], Sequence[str | None] | None]
"""The name of the column of texts, the texts and the labels; None where a value is missing."""


def _delimited(data: bytes, name: str, source: Source) -> Columns:
    delimiter = source.delimiter or ("\t" if _kind(source) == "tsv" else ",")
    wanted = [column for column in (source.text, source.label) if column is not None]
    names = column_names(data, name, wanted, delimiter, OPTIONS)
    text = source.text or _only_column(names, name, source.label, delimiter)
    check_quotes(data, name, delimiter, True)
    place, width = names.index(text), len(names)
    texts: list[str] = []
    labels: list[str] = []
    label_place = None if source.label is None else names.index(source.label)
    content = io.StringIO(decoded(data, name, words=OPTIONS), newline="")
    with _long_fields():
        rows = (row for row in csv.reader(content, delimiter=delimiter, strict=True) if row)
        next(rows)
        for row in rows:
            if len(row) != width:
                raise UserError(
                    f"row {len(texts) + 1} of {name} has {len(row)} fields where {width} are "
                    f"expected: {quoting(delimiter)}"
                )
            texts.append(row[place])
            if label_place is not None:
                labels.append(row[label_place])
    if source.label is None:
        return text, texts, None
    if line_count(data) > len(texts) + 1:
        known = {label.encode() for label in labels if label}
        check_for_rows(data, name, delimiter, True, names, source.label, known)
    return text, texts, labels


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _only_column(
    names: Sequence[str], name: str, label: str | None, delimiter: str | None = None
) -> str:
    """The column of the texts: the only one, or the other one than the label's."""
    others = [column for column in names if column != label]
    if len(others) == 1 and delimiter and label is None:
        for other in _DELIMITERS.replace(delimiter, ""):
            if other in others[0]:
                shown = OPTIONS.tab if other == "\t" else repr(other)
                raise UserError(
                    f"{name} has the single column {others[0]!r}, and the delimiter seems to be "
                    f"{shown}: {OPTIONS.delimiter.format(shown)}, or name the column with --text"
                )
    if len(others) != 1:
        raise UserError(
            f"{name} has the columns {listed_columns(names)}: name that of the texts with --text"
        )
    return others[0]


def _json_lines(data: bytes, name: str, source: Source) -> Columns:
    first = next(readers.json_rows(data, name, words=OPTIONS), None)
    text = source.text or _only_column(list(first[1]) if first else [], name, source.label)
    columns = [text] if source.label is None else [text, source.label]
    found = readers.json_columns(data, name, columns, label=source.label, words=OPTIONS)
    return text, found[0], None if source.label is None else found[1]


def _parquet(data: bytes, name: str, source: Source) -> Columns:
    if not find_spec("pyarrow"):
        raise missing_package("pyarrow", f"reading {name}")
    text = source.text or _only_column(readers.parquet_names(data, name), name, source.label)
    columns = [text] if source.label is None else [text, source.label]
    table = readers.parquet_strings(data, name, columns, OPTIONS)
    labels = None if source.label is None else table.column(1).to_pylist()
    return text, table.column(0).to_pylist(), labels


def _lines(data: bytes, name: str, source: Source) -> Columns:
    for option, column in (("--text", source.text), ("--label", source.label)):
        if column is not None:
            raise UserError(
                f"{name} is read as lines of text, which have no column {column!r}: give --from "
                f"csv if it is a table, or leave {option} out"
            )
    lines = decoded(data, name, words=OPTIONS).replace("\r\n", "\n").split("\n")
    return "text", lines[:-1] if not lines[-1] else lines, None


_READERS: dict[str, Callable[[bytes, str, Source], Columns]] = {
    "csv": _delimited,
    "tsv": _delimited,
    "jsonl": _json_lines,
    "parquet": _parquet,
    "txt": _lines,
}


def _refuse_lists(labels: Sequence[str], name: str, column: str) -> None:
    for label in sorted(set(labels)):
        if kind := readers.list_kind(label):
            raise readers.listed_label(name, labels.index(label) + 1, kind, label, column)


def _without_empty(
    source: Source,
    name: str,
    column: str,
    texts: Sequence[str | None],
    labels: list[str] | None,
    unlabelled: bool,
) -> Table:
    """The table, without the rows that lack what they need, if that is allowed.

    Raises:
        UserError: rows lack something, and that is not allowed; or no row is left.
    """
    blank = np.array([text is None or text.strip() in _BLANK for text in texts], dtype=bool)
    missing = blank.copy()
    if labels is not None and not unlabelled:
        missing |= np.array([not label for label in labels], dtype=bool)
    found = np.flatnonzero(missing)
    if len(found) and not source.allowed:
        what = column if blank[found[0]] else source.label
        others = f" (and {len(found) - 1} other rows)" if len(found) > 1 else ""
        counted = "" if _kind(source) == "txt" else ", not counting a header,"
        remedy = "keep such texts" if source.empty == "keep" else "leave such rows out"
        raise UserError(
            f"row {found[0] + 1}{others} of {name}{counted} has an empty {what!r}: fill it in, or "
            f"{remedy} with --{source.empty}-empty"
        )
    if source.empty == "keep":
        kept = np.arange(len(texts))
    else:
        kept = np.flatnonzero(~missing)
        if len(found):
            note(f"{len(found)} of {len(texts)} rows of {name} are left out, since they are empty")
    if not len(kept):
        full = " that are not empty" if len(found) else ""
        raise UserError(f"{name} has no rows{full}: give a table with a text in each row")
    rows = kept.tolist()
    return Table(
        name,
        column,
        [texts[row] or "" for row in rows],
        None if labels is None else [labels[row] for row in rows],
        kept + 1,
        len(texts) - len(rows),
    )

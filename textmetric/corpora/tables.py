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

from textmetric.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


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
    import pandas as pd

    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is no table that can be read: expected a name that ends in"
            f" {', '.join(SUFFIXES)}, plain or with .gz"
        )
    data = read_bytes(path)
    if suffix == ".parquet":
        table = _parquet(data, path, [text, label])
    elif suffix == ".jsonl":
        table = _json_lines(data, path, [text, label])
    else:
        table = csv_table(data, path, [text, label], delimiter="\t" if suffix == ".tsv" else ",")
    frame = pd.DataFrame(
        {"text": table.column(0).to_pandas(), "label": table.column(1).to_pandas()}
    )
    if frame.empty:
        raise UserError(f"{path} has no rows: give a table with a text and a label in each row")
    frame["label"] = frame["label"].str.strip()
    for column, name in (("text", text), ("label", label)):
        empty = frame[column].isna() | (frame[column].str.strip() == "")
        if empty.any():
            count = int(empty.sum())
            more = f" (and {count - 1} other rows)" if count > 1 else ""
            raise UserError(
                f"row {int(empty.to_numpy().argmax()) + 1}{more} of {path}, not counting a"
                f" header, has an empty {name!r}: fill it in or take the row out"
            )
    return frame


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
                f"{path} cannot be unpacked ({error}): it is damaged or no gzip file; copy or"
                " pack it again"
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

    Words such as ``NA`` or ``null`` are text like any other.

    Args:
        data: UTF-8, with or without a byte order mark.
        source: what to call it in messages.
        columns: the columns to keep, in this order.
        delimiter: one character.
        header: the column names of a file without a header line.

    Raises:
        UserError: not UTF-8, rows of different lengths, or a column that is not there.
    """
    import pyarrow as pa
    import pyarrow.csv

    text = pa.string()
    read = pyarrow.csv.ReadOptions(
        # One thread, so that messages name the row; blocks that a single row does not outgrow.
        use_threads=False,
        block_size=1 << 26,
        column_names=None if header is None else list(header),
    )
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, text),
        strings_can_be_null=False,
    )
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data), read_options=read, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowInvalid, KeyError) as error:
        _decode(data, source)
        if isinstance(error, KeyError):
            with pyarrow.csv.open_csv(
                pa.BufferReader(data), read_options=read, parse_options=parse
            ) as reader:
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
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
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

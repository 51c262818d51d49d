"""Tables as bad luck makes them: each is a corpus whose rows are accounted for, or one sentence.

``TEXTMETRIC_FUZZ=20000`` tries that many new tables of each kind instead of the same few.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from textmetric import corpora
from textmetric.corpora import readers
from textmetric.errors import UserError
from textmetric.labels import MISSING

TABLES = int(os.environ.get("TEXTMETRIC_FUZZ", 0))
fuzz = settings(
    max_examples=TABLES or 80,
    derandomize=not TABLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

REASONS = ("leaked", "conflicting", "duplicate", "small_class", "crossing", "empty")
KEPT = ("train", "validation", "test", "unlabelled", "unlabelled_leaked", "unlabelled_duplicate")


def read(path: Path, **options: Any) -> list[tuple[str, str | None]] | None:
    """The rows of a table that are not empty; None if it is refused in one sentence.

    Every row that was read is in the corpus or in one of its counts.
    """
    message = ""
    try:
        frame, counts = readers.read(path, readers.Options(**options))
    except UserError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        assert path.name in message
        return None
    assert counts["rows"] == len(frame) + counts.get("empty_rows", 0)
    try:
        summary = corpora.load({"path": str(path), "min_rows": 2, **options}).summary
    except UserError as error:
        message = str(error)
    if message:
        assert "class" in message  # too few rows or classes are left
    else:
        found = {key: summary.get(f"{key}_rows", 0) for key in (*REASONS, *KEPT)}
        assert summary["rows"] == sum(found.values())  # type: ignore[arg-type]
    return [
        (text, label if isinstance(label, str) else None)
        for text, label in zip(frame["text"], frame["label"], strict=True)
    ]


def expected(rows: list[tuple[Any, Any]], unlabelled: bool) -> list[tuple[str, str | None]]:
    """Those of the rows that are not empty, labels trimmed, without one as None."""
    blank = {"", *MISSING}
    kept = [
        (text, None if label is None or label.strip() in blank else label.strip())
        for text, label in rows
        if text is not None and text.strip() not in blank
    ]
    return kept if unlabelled else [row for row in kept if row[1] is not None]


def tried(
    folder: Path, name: str, data: bytes, oracle: Callable[[], list[tuple[Any, Any]]], **more: Any
) -> None:
    """Read a table under all options; its rows are those of the oracle, or it is refused."""
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = read(path, empty="drop", **more)
    event("refused" if rows is None else "read")
    both = read(path, empty="drop", unlabelled="keep", **more)
    strict = read(path, **more)
    if rows is not None:
        assert rows == expected(oracle(), unlabelled=False)
        if strict is not None:
            assert strict == rows
    if both is not None:
        assert both == expected(oracle(), unlabelled=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


words = st.text(st.sampled_from('ab é,;|\t"\n\r\0\u2028\ufeff日'), max_size=6)
classes = st.sampled_from(["a", "b", "c", "a", "b", "", " a", "nan", "0", "日"])
plain = st.lists(st.tuples(words | st.just("a text"), classes), min_size=1, max_size=12)
odd = st.tuples(
    st.sampled_from(["[" * 300, "x" * 200_000, "a\nb,a\nc,b\nd", "<NA>", "['a', 'b']"]),
    st.sampled_from(["a", "b", '"', "['a']", "(1,)", "a\nb", "[" * 300]),
)
edits = st.tuples(
    st.sampled_from(["insert", "cut", "remove", "repeat"]),
    st.floats(0, 1),
    st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\t", b'"\n', b"\xef\xbb\xbf"]),
)


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """A file after some accidents."""
    for kind, share, inserted in changes:
        place = int(share * len(data))
        if kind == "insert":
            data = data[:place] + inserted + data[place:]
        elif kind == "cut":
            data = data[:place]
        elif kind == "remove":
            data = data[:place] + data[place + 1 :]
        else:
            data += data[place:]
    return data


@given(
    rows=st.one_of(plain, plain, st.lists(odd, max_size=3)),
    header=st.sampled_from(["text label", "label text", "text label label", "text x label"]),
    suffix=st.sampled_from([".csv", ".tsv", ".csv.gz", ".jsonl"]),
    delimiter=st.sampled_from(",\t;"),
    given_delimiter=st.sampled_from([None, None, ",", ";"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]),
    encodings=st.sampled_from(
        [("utf-8", None)] * 6
        + [("utf-8-sig", None), ("utf-16", None), ("utf-16", "utf-16"), ("cp1252", "cp1252")]
        + [("cp1252", None), ("utf-8", "ascii"), ("utf-8", "utf-7"), ("utf-8", "cp932")]
    ),
    changes=st.lists(edits, max_size=2),
)
@fuzz
def test_any_csv(
    folder: Path,
    rows: list[tuple[str, str]],
    header: str,
    suffix: str,
    delimiter: str,
    given_delimiter: str | None,
    end: str,
    quoting: Any,
    encodings: tuple[str, str | None],
    changes: list[tuple[str, float, bytes]],
) -> None:
    names = header.split()
    file = io.StringIO(newline="")
    writer = csv.writer(
        file, delimiter=delimiter, lineterminator=end, quoting=quoting, escapechar="\\"
    )
    by_name = [{"text": text, "label": label, "x": "1"} for text, label in rows]
    writer.writerows([names, *([row[name] for name in names] for row in by_name)])
    encoding, given_encoding = encodings
    data = edited(file.getvalue().encode(encoding, "replace"), changes)
    # csv of Python 3.10, the oracle, reads no NUL
    assume(sys.version_info >= (3, 11) or b"\0" not in data)

    def oracle() -> list[tuple[Any, Any]]:
        text = data.decode(given_encoding or "utf-8").removeprefix("\ufeff")
        used = given_delimiter or ("\t" if suffix == ".tsv" else ",")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=used, strict=True)
        head, *found = (line for line in lines if line)
        assert all(len(row) == len(head) for row in found)
        return [(row[head.index("text")], row[head.index("label")]) for row in found]

    csv.field_size_limit(1 << 24)
    more = {"delimiter": given_delimiter, "encoding": given_encoding}
    more = {key: value for key, value in more.items() if value}
    tried(folder, f"a{suffix}", data, oracle, **more)


scalars = st.none() | st.booleans() | st.integers() | st.floats()
values = st.recursive(
    words | scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
numbered = st.lists(st.tuples(words | scalars, st.integers(0, 3) | st.floats()), max_size=12)


@given(
    rows=plain | numbered | st.lists(odd | st.tuples(values, values), max_size=3),
    ascii_only=st.booleans(),
    junk=st.sampled_from(["", "", "", "[" * 50_000, '{"text": "x"}', "1" * 5000, "\0"]),
    changes=st.lists(edits, max_size=1),
)
@fuzz
def test_any_jsonl(
    folder: Path,
    rows: list[tuple[Any, Any]],
    ascii_only: bool,
    junk: str,
    changes: list[tuple[str, float, bytes]],
) -> None:
    lines = [
        json.dumps({"text": text, "label": label, "x": [1]}, ensure_ascii=ascii_only)
        for text, label in rows
    ]
    data = edited("\n".join([*lines, junk]).encode(), changes)

    def oracle() -> list[tuple[Any, Any]]:
        found = [json.loads(line) for line in data.decode("utf-8-sig").split("\n") if line.strip()]
        return [(written(row["text"]), written(row["label"])) for row in found]

    tried(folder, "a.jsonl", data, oracle)  # which asserts


def written(value: Any) -> str | None:
    """A value of JSON as a string."""
    if value is None or value != value:
        return None
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value) if whole else value)


STRINGS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(),
    pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip
OTHERS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1, None, 2]),
    (pa.uint8(), [1, 2]),
    (pa.float32(), [1.0, float("nan"), 2.5, None]),
    (pa.float64(), [1.0, float("inf"), float("nan")]),
    (pa.bool_(), [True, False, None]),
    (pa.null(), [None]),
    (pa.date32(), [dt.date(2020, 1, 1), None]),
    (pa.timestamp("ns", "UTC"), [dt.datetime(2020, 1, 1)]),
    (pa.duration("s"), [dt.timedelta(1)]),
    (pa.decimal128(5, 2), [Decimal("1.50"), Decimal(2)]),
    (pa.list_(pa.string()), [["a"], []]),
    (pa.list_(pa.float32(), 2), [[1.0, 2.0]]),
    (pa.struct([("a", pa.string())]), [{"a": "b"}]),
    (pa.map_(pa.string(), pa.string()), [[("a", "b")]]),
]
columns = st.sampled_from([*((kind, None) for kind in STRINGS * 3), *OTHERS])


@given(
    rows=plain,
    kinds=st.tuples(columns, columns),
    names=st.sampled_from([["text", "label"]] * 5 + [["text", "text"], ["text", "a.label"]]),
    groups=st.integers(1, 5),
    changes=st.lists(edits, max_size=1),
    suffix=st.sampled_from([".parquet", ".parquet", ".parquet.gz", ".csv", ".jsonl"]),
)
@fuzz
def test_any_parquet(
    folder: Path,
    rows: list[tuple[str, str]],
    kinds: tuple[tuple[pa.DataType, list[Any] | None], ...],
    names: list[str],
    groups: int,
    changes: list[tuple[str, float, bytes]],
    suffix: str,
) -> None:
    cells = [
        pa.array([row[place] for row in rows] if some is None else (some * 12)[: len(rows)], kind)
        for place, (kind, some) in enumerate(kinds)
    ]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(cells, names=names), sink, row_group_size=groups)
    data = edited(sink.getvalue(), changes)

    def oracle() -> list[tuple[Any, Any]]:
        table = pyarrow.parquet.read_table(io.BytesIO(data), columns=["text", "label"])
        strings = [
            [
                None if value is None or value != value else text
                for value, text in zip(
                    values.to_pylist(), values.cast(pa.string()).to_pylist(), strict=True
                )
            ]
            for values in (table["text"], table["label"])
        ]
        return list(zip(*strings, strict=True))

    tried(folder, f"a{suffix}", data, oracle)  # which asserts


@given(st.binary(max_size=200), st.sampled_from([*readers.SUFFIXES, ".csv.gz", ".parquet.gz"]))
@fuzz
def test_any_bytes(folder: Path, data: bytes, suffix: str) -> None:
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    assert read(path) is None
    assert read(path, encoding="utf-16") is None

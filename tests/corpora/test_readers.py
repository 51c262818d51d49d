from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmetric.corpora import blocks, delimited, readers
from textmetric.errors import UserError

ROWS = [("a cat", "pets"), ('says "hi",\nthen\tleaves', "01"), ("NA", "null")]


def read(path: Path, **options: str) -> pd.DataFrame:
    return readers.read(path, readers.Options(**options))[0]


def written(folder: Path, name: str, rows: list[tuple[str, str]] = ROWS) -> Path:
    frame = pd.DataFrame(rows, columns=["text", "label"]).assign(other=1.5)
    path = folder / name
    if ".parquet" in name:
        data = frame.to_parquet()
    elif ".jsonl" in name:
        data = frame.to_json(orient="records", lines=True).encode()
    else:
        data = frame.to_csv(index=False, sep="\t" if ".tsv" in name else ",").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("suffix", readers.SUFFIXES)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str, packed: str) -> None:
    frame = read(written(tmp_path, f"toy{suffix}{packed}"))
    assert list(frame.columns) == ["text", "label", "split"]
    assert list(zip(frame["text"], frame["label"], strict=True)) == ROWS
    assert set(frame["split"]) == {"train"}


def test_columns_are_chosen_by_name_and_numbers_become_strings(tmp_path: Path) -> None:
    frame = pd.DataFrame({"stars": [5, 1], "body": ["good", "bad"], "text": ["x", "y"]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for path in tmp_path.iterdir():
        table = read(path, text="body", label="stars")
        assert table["text"].tolist() == ["good", "bad"]
        assert table["label"].tolist() == ["5", "1"]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,label\r\na b, x \r\n\r\nc,y\r\n")
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a b", "label": "x"}\r\n')
    assert read(tmp_path / "a.csv")["label"].tolist() == ["x", "y"]
    assert read(tmp_path / "a.jsonl")["text"].tolist() == ["a b"]


def test_a_folder_is_its_train_test_and_valid_files(tmp_path: Path) -> None:
    written(tmp_path, "train_sample.csv.gz")
    written(tmp_path, "test.jsonl", ROWS[:1])
    (tmp_path / "train_old").mkdir()
    (tmp_path / "train.md").write_text("notes")
    written(tmp_path, "other.csv")
    frame = read(tmp_path)
    assert frame["split"].value_counts().to_dict() == {"train": 3, "test": 1}
    for name in ("val.csv", "valid.parquet"):
        path = written(tmp_path, name, ROWS[:2])
        assert (read(tmp_path)["split"] == "validation").sum() == 2
        path.unlink()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train.csv"], "one table whose name starts with 'test'.*but has none"),
        (["test.csv"], "starts with 'train'.*but has none"),
        (["train.csv", "train_2.csv", "test.csv"], r"but has train\.csv, train_2\.csv"),
        (["train.csv", "test.csv", "val.csv", "valid.csv"], "starts with 'val'"),
    ],
)
def test_a_folder_with_other_files_is_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        written(tmp_path, name)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


CSV, JSONL = "a.csv", "a.jsonl"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (CSV, b"", r"a\.csv is empty"),
        (CSV, b"text,label\n", r"a\.csv has no rows"),
        (JSONL, b"\n\n", r"a\.jsonl has no rows"),
        (CSV, b"body,label\nx,y\n", "no column 'text'; its columns are body, label: name the"),
        (CSV, b"text,label\nx,y\nz\n", r"row 2 of .*a\.csv has 1 fields where 2 are expected"),
        (CSV, b"text,label\nx,y,z\n", "row 1 of .* has 3 fields where 2"),
        (CSV, b'text,label\nx,y\n"z,y\nx,y\n', r"opens in row 2 \(line 3\) of .* is never closed"),
        (CSV, b"text,label\nx,y\n\xff\xfez,y\n", r"is not UTF-8 \(line 3, byte 15\)"),
        (
            CSV,
            "text,label\nx,y\n".encode("utf-16"),
            "seems to be utf-16: .* add encoding: utf-16",
        ),
        (JSONL, b'{"text": "\xe9", "label": "x"}\n', "is not UTF-8"),
        (CSV, b"text,label\nx,y\n ,y\n,z\n", r"row 2 \(and 1 other rows\) .*an empty 'text'"),
        (
            CSV,
            b'text,label\nx,"  "\n',
            "row 1 of .* an empty 'label': fill it in, or leave such rows out and count them "
            "with empty: drop in the mapping, or keep them .* with unlabelled: keep$",
        ),
        (JSONL, b'{"text": "x", "label": null}\n', "row 1 of .* an empty 'label'"),
        (JSONL, b'{"text": "x", "label": "y"}\n{"text": \n', r"line 2 of .* is not a JSON object"),
        (JSONL, b'["x", "y"]\n', "line 1 of .* is not a JSON object"),
        (JSONL, b'{"text": "x", "tag": "y"}\n', "line 1 .* no column 'label'; .* text, tag"),
        (JSONL, b'{"text": ["x"], "label": "y"}\n', "line 1 of .* has a list as 'text'"),
        ("a.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("a.csv.gz", b"text,label\nx,y\n", "cannot be unpacked"),
        ("a.csv.gz", gzip.compress(b"text,label\nx,y\n")[:-9], "cannot be unpacked"),
        ("a.xlsx", b"x", r"expected a name that ends in \.csv"),
        (CSV, b"text,label", r"a\.csv has no rows: give a table"),
        (CSV, b"\xef\xbb\xbf", r"a\.csv is empty: give a table"),
        (CSV, b"\r\n\n", r"a\.csv is empty: give a table"),
        (JSONL, b"\xef\xbb\xbf", r"a\.jsonl has no rows: give a table"),
        (
            CSV,
            b"text;label\ngood, really;pos\n",
            "no column 'text' or 'label'; the delimiter seems",
        ),
        (CSV, gzip.compress(b"text,label\n"), r"packed with gzip: add \.gz to its name$"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(b"{}")), "is packed with gzip"),
        (CSV, b"PK\x03\x04..[Content_Types].xml..", "an Excel workbook: save its sheet as CSV in"),
        (CSV, b"PK\x03\x04....a.csv", "is a ZIP archive: unpack it$"),
        (CSV, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1..", "is an Excel workbook"),
        (JSONL, b"PAR1....PAR1", r"is a parquet table: rename it to end in \.parquet$"),
        (CSV, b"\n<!DOCTYPE html><p>Sign in", "is a web page: get the table itself$"),
        (
            CSV,
            "text,label\nx,y\n".encode("utf-16-le"),
            "seems to be utf-16-le: save it as UTF-8, or",
        ),
        (CSV, b"text,label\nx,nan\n", "row 1 of .* has 'nan' for an empty 'label': fill it in, or"),
        (CSV, b"text,label\nx,y\n<NA>,z\n", "row 2 of .* has '<NA>' for an empty 'text': fill it"),
        (
            CSV,
            b"text,label\nx,\"['a', 'b']\"\n",
            r"row 1 of .* the list \['a', 'b'\] as 'label': g",
        ),
        (
            CSV,
            b"text,label\nx,[a]\ny,\"{'a': 1}\"\n",
            "row 2 of .* has the dict {'a': 1} as 'label'",
        ),
        (JSONL, b'{"text": "x", "label": NaN}\n', "row 1 of .* an empty 'label'"),
        (JSONL, b'{"text": "x", "label": ["a"]}\n', "line 1 of .* a list as 'label', .* one value"),
        (JSONL, b'{"text": "x", "label": "a", "text": "y"}\n', "line 1 of .* has 2 columns 'text'"),
        (
            JSONL,
            b'{"text": "\\ud83d", "label": "a"}\n',
            "line 1 of .* half a character .* in 'text'",
        ),
        (JSONL, b'{"text": ' + b"[" * 100_000, "line 1 of .* is not a JSON object"),
        (
            JSONL,
            b'{"text": "x", "label": "1"}\n\n{"text": "y", "label": 1}\n',
            "line 3 of .* has a number as 'label', where line 1 has a string: write every label",
        ),
        (
            JSONL,
            b'{"text": "x", "label": 1}\n{"text": "y", "label": true}\n',
            "line 2 of .* has a truth value as 'label', where line 1 has a number",
        ),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_and_bad_parquet_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.csv does not exist: check the path"):
        read(tmp_path / "gone.csv")
    pd.DataFrame({"text": [["a"]], "label": [None]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no column 'tag'; its columns are text, label"):
        read(tmp_path / "a.parquet", label="tag")
    with pytest.raises(UserError, match=r"column 'text' of .* holds list"):
        read(tmp_path / "a.parquet")
    twice = pa.table([["x"], ["y"], ["z"]], names=["text", "label", "label"])
    pyarrow.parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="has 2 columns 'label': rename all but one"):
        read(tmp_path / "a.parquet")
    damaged = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")
    )
    pyarrow.parquet.write_table(
        pa.table([["x"], damaged], ["text", "label"]), tmp_path / "a.parquet"
    )
    with pytest.raises(
        UserError, match=r"cannot be read as parquet \(.*UTF.?8.*\): write it again"
    ):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["train.csv", "a.jsonl", "a.parquet", "a.csv.gz"])
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} is a pipe, not a file: give the path of a file"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match=f"{name} is a device or socket, not a file"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} cannot be read"):
        read(tmp_path / name)


MISSING: list[tuple[pa.DataType, list[object]]] = [
    (pa.float64(), [1.0, float("nan"), 2.5, None]),
    (pa.float16(), [1.0, float("nan"), 2.5, None]),
    (pa.int64(), [1, None, 2, None]),
    (pa.string(), ["1", "NaN", "2", " nan "]),
    (pa.dictionary(pa.int32(), pa.string()), ["1", None, "2", "<NA>"]),
]


@pytest.mark.parametrize(("kind", "labels"), MISSING)
def test_missing_values_of_every_type_are_no_class(
    tmp_path: Path, kind: pa.DataType, labels: list[object]
) -> None:
    table = pa.table([pa.array(["a", "b", "c", "d"]), pa.array(labels, kind)], ["text", "label"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    frame = read(tmp_path / "a.parquet", unlabelled="keep")
    assert frame["label"].isna().tolist() == [False, True, False, True]
    with pytest.raises(UserError, match=r"row 2 \(and 1 other rows\)"):
        read(tmp_path / "a.parquet")
    table.to_pandas().to_csv(tmp_path / "a.csv", index=False)
    assert read(tmp_path / "a.csv", empty="drop")["text"].tolist() == ["a", "c"]


@pytest.mark.parametrize("suffix", readers.SUFFIXES)
def test_empty_rows_are_left_out_and_counted_where_asked_for(tmp_path: Path, suffix: str) -> None:
    rows = [("a", "x"), (" ", "x"), ("b", ""), ("c", "nan"), ("", ""), ("d", "y")]
    path = written(tmp_path, f"a{suffix}", rows)
    frame, counts = readers.read(path, readers.Options(empty="drop"))
    assert frame["text"].tolist() == ["a", "d"]
    assert frame.index.tolist() == [0, 5]
    assert counts == {"rows": 6, "empty_rows": 4} | ({"lines": 6} if suffix != ".parquet" else {})
    frame, counts = readers.read(path, readers.Options(empty="drop", unlabelled="keep"))
    assert frame["text"].tolist() == ["a", "b", "c", "d"]
    assert counts["empty_rows"] == 2
    with pytest.raises(UserError, match="has no rows that are not empty: give a table"):
        read(written(tmp_path, f"b{suffix}", [("", "x"), ("y", "")]), empty="drop")


def test_a_folder_counts_all_of_its_tables(tmp_path: Path) -> None:
    written(tmp_path, "train.csv", [("a", "x"), ("b", ""), ("c", "x")])
    written(tmp_path, "test.parquet", [("d", ""), ("e", "x"), ("f", "x")])
    frame, counts = readers.read(tmp_path, readers.Options(empty="drop", unlabelled="keep"))
    assert counts == {"lines": 3, "rows": 6, "empty_rows": 1}
    assert frame.index.tolist() == [0, 1, 2, 4, 5]
    assert frame["label"].isna().tolist() == [False, True, False, False, False]


def test_options_for_other_formats_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl")
    with pytest.raises(UserError, match=r"delimiter is given for .*a\.jsonl, but it is no csv"):
        read(path, delimiter=";")
    assert len(read(path, encoding="utf-8")) == 3
    with pytest.raises(UserError, match=r"encoding is given for .*a\.parquet, but it is no text"):
        read(written(tmp_path, "a.parquet"), encoding="utf-8")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.parquet.gz"])
def test_only_a_packed_parquet_table_must_fit_into_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, name, ROWS * 500)
    whole, frame = readers.read_bytes(path), read(path)
    monkeypatch.setattr(blocks, "SIZE", 1000)
    assert readers.read_bytes(path) == whole
    monkeypatch.setattr(readers, "_LARGEST", len(whole) - 1)
    with pytest.raises(UserError, match=f"{name} takes more than half of the memory: give"):
        readers.read_bytes(path)
    if name == "a.parquet.gz":
        with pytest.raises(UserError, match=f"{name} takes more than half of the memory: give"):
            read(path)
    else:
        pd.testing.assert_frame_equal(read(path), frame)


def test_a_file_without_read_permission(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv")
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"):
            read(path)
    else:  # the superuser reads everything; a name too long fails for anybody
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path / ("x" * 300 + ".csv"))


def test_csv_reads_as_pandas_does(datasets: Path) -> None:
    path = datasets / "dbpedia_classes" / "train_sample.csv.gz"
    ours = read(path, label="l3")
    theirs = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert ours["text"].tolist() == theirs["text"].tolist()
    assert ours["label"].tolist() == theirs["l3"].tolist()


fields = st.text(st.sampled_from('ab ,"\n\r'), max_size=12)


@given(
    st.lists(st.tuples(fields, fields), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 120),
)
@example([("", 'aaa""\n,')], "\n", csv.QUOTE_MINIMAL, 60)
@settings(max_examples=300, deadline=None)
def test_blocks_of_any_size_give_the_rows_that_were_written(
    rows: list[tuple[str, str]], end: str, quoting: int, block: int
) -> None:
    if any("\r" in field for row in rows for field in row):
        quoting = csv.QUOTE_ALL  # Python's writer leaves a lone carriage return bare
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SIZE", block)
        table = delimited.csv_table(file.getvalue().encode(), "toy", ["text", "label"])
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == rows


@given(st.text(st.sampled_from('a,"\n\r\ufeff'), max_size=40), st.integers(1, 20))
@example('\n\ufeff",', 3)
@example('\ufeff","a"', 1)
@example("a,a\n\ufeffa,a\n", 1)
@settings(max_examples=300, deadline=None)
def test_blocks_accept_and_give_what_the_whole_gives(text: str, size: int) -> None:
    data = f"text,label\n{text}".encode()

    def rows(size: int) -> list[dict[str, str]] | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "SIZE", size)
            try:
                found = delimited.csv_table(data, "toy", ["text", "label"], label="label")
            except UserError:
                return None
            return found.to_pylist()

    assert rows(size) == rows(1000)


def test_line_breaks_in_quotes_at_every_edge_of_a_block(tmp_path: Path) -> None:
    rows = [(f"{number}\n\n{'x' * (number % 7)},\n", "a") for number in range(60)]
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    for block in range(20, 130, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "SIZE", block)
            assert read(path)["text"].tolist() == [text for text, _ in rows]


def test_json_numbers_and_truths_are_strings(tmp_path: Path) -> None:
    lines = [{"text": 1, "label": 1.0}, {"text": "b", "label": 2.5}, {"text": True, "label": 1}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    frame = read(tmp_path / "a.jsonl")
    assert frame["text"].tolist() == ["1", "b", "True"]
    assert frame["label"].tolist() == ["1", "2.5", "1"]


@given(
    st.lists(st.none() | st.text("a \t\u00a0\u3000\x00é", max_size=3), min_size=1, max_size=30),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_blank_rows_are_the_null_the_empty_and_the_white(
    values: list[str | None], kind: pa.DataType
) -> None:
    column = pa.chunked_array([pa.array(values, kind), pa.array(values[:1], kind)])
    texts = column.to_pylist()
    expected = [row for row, text in enumerate(texts) if text is None or not text.strip()]
    assert readers._blank_rows(column).tolist() == expected


@pytest.mark.parametrize("suffix", readers.SUFFIXES)
def test_rows_without_a_label_are_kept_where_asked_for(tmp_path: Path, suffix: str) -> None:
    rows = [("a cat", "pets"), ("no label", ""), ("white", " "), ("NA", "null")]
    frame = read(written(tmp_path, f"a{suffix}", rows), unlabelled="keep")
    assert frame["text"].tolist() == [text for text, _ in rows]
    assert frame["label"].isna().tolist() == [False, True, True, False]
    assert frame["label"].dropna().tolist() == ["pets", "null"]
    whole = read(written(tmp_path, f"b{suffix}"), unlabelled="keep")
    assert list(zip(whole["text"], whole["label"], strict=True)) == ROWS


def test_null_in_json_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": null}\n{"text": "y", "label": 3}\n')
    frame = read(tmp_path / "a.jsonl", unlabelled="keep")
    assert frame["label"].isna().tolist() == [True, False]


@pytest.mark.parametrize("part", ["test", "valid"])
def test_only_train_rows_may_lack_a_label(tmp_path: Path, part: str) -> None:
    none = [("a", "x"), ("b", "")]
    written(tmp_path, "train.csv", none)
    written(tmp_path, "test.csv", [("c", "x")])
    written(tmp_path, f"{part}.csv", none)
    with pytest.raises(UserError, match=f"row 2 of .*{part}.csv.*since only train rows may lack"):
        read(tmp_path, unlabelled="keep")
    with pytest.raises(UserError, match=r"an empty 'text': fill it in, .* in the mapping$"):
        read(written(tmp_path, "a.csv", [("", "x")]), unlabelled="keep")
    written(tmp_path, "train.csv", [("a", "x")])
    with pytest.raises(
        UserError, match=f"{part}.csv.* an empty 'label': .*empty: drop in the mapping$"
    ):
        read(tmp_path)

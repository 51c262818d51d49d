"""Tables are read strictly, and a mistake is one sentence in the words of the command line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli import toy
from tests.cli.runs import error, run
from textmetric.cli.options import Source
from textmetric.corpora import readers

EMPTY_ROW = "fill it in, or keep such texts with --keep-empty"
QUOTES = (
    "put quotes around fields that hold a comma, a line break or a quote, and double the quotes "
    "inside"
)

MISTAKES = {
    "a.csv has no column 'txt'; its columns are body, stars: name the right ones with --text and "
    "--label": (b"body,stars\na,b\n", "--text", "txt"),
    "a.csv has the columns body, stars: name that of the texts with --text": (
        b"body,stars\na,b\n",
    ),
    "a.csv has 2 columns 'body': rename all but one": (b"body,body\na,b\n", "--text", "body"),
    "a.csv has no column 'body'; the delimiter seems to be ';': give --delimiter ';'": (
        b"body;stars\na;b\n", "--text", "body",
    ),
    "a.csv has no column 'body'; the delimiter seems to be tab: give --delimiter tab": (
        b"body\tstars\na\tb\n", "--text", "body",
    ),
    "a.csv has the single column 'body;stars', and the delimiter seems to be ';': give --delimiter "
    "';', or name the column with --text": (b"body;stars\na;b\n",),
    "the quote that opens in row 2 (line 3) of a.csv is never closed, and takes in all lines to "
    "the end: remove it, or put quotes around the whole field and double the quotes inside": (
        b'body,stars\na,b\n"c,d\ne,f\n', "--text", "body",
    ),
    f"row 2 of a.csv has 3 fields where 2 are expected: {QUOTES}": (
        b"body,stars\na,b\nc,d,e\n", "--text", "body",
    ),
    f"row 1 of a.csv has 1 fields where 2 are expected: {QUOTES}": (
        b"body,stars\na\n", "--text", "body",
    ),
    f"row 2 (and 1 other rows) of a.csv, not counting a header, has an empty 'body': {EMPTY_ROW}": (
        b'body,stars\na,b\n" ",b\nnan,b\n', "--text", "body",
    ),
    "a.csv has no rows: give a table with a text in each row": (b"body\n",),
    "a.csv is empty: give a table with a text in each row": (b"",),
    "line 3 of a.csv has a null byte: remove it, since no text has one": (b"body\na\nb\0\n",),
    "line 1 of a.csv has a null byte, and seems to be utf-16: give --encoding utf-16": (
        "body\na\n".encode("utf-16"),
    ),
    "a.csv is not UTF-8 (line 2, byte 8), but seems to be cp1252: save it as UTF-8, or give "
    "--encoding cp1252": ("body\nné à la crème, déjà\n".replace("n", "caf", 1).encode("cp1252"),),
    "a.csv is packed with gzip: add .gz to its name": (gzip.compress(b"body\na\n"),),
}  # fmt: skip


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_in_a_table_is_this_sentence(said: str, here: Path) -> None:
    content, *options = MISTAKES[said]
    (here / "a.csv").write_bytes(content)
    assert error("embed", "my-model", "a.csv", "--out", "v.npy", *options) == said
    assert not (here / "v.npy").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no.csv",), "no.csv does not exist: check the path (relative paths start at {here})"),
        (
            ("texts.dat",),
            "the name of texts.dat does not say what it is: give --from csv, tsv, jsonl, txt, "
            "parquet",
        ),
        (
            ("texts.csv", "--from", "txt", "--text", "body"),
            "texts.csv is read as lines of text, which have no column 'body': give --from csv if "
            "it is a table, or leave --text out",
        ),
        (
            ("texts.csv", "--from", "txt", "--delimiter", ";"),
            "--delimiter is given, but texts.csv is txt: leave it out",
        ),
        (
            ("texts.csv", "--delimiter", "ab"),
            "invalid value for '--delimiter': 'ab' is not one character: give ';', '|' or tab: see "
            "textmetric embed --help",
        ),
        (
            ("texts.csv", "--encoding", "klingon"),
            "invalid value for '--encoding': Python knows no encoding 'klingon': give cp1252 "
            "or utf-16: see textmetric embed --help",
        ),
        (
            ("texts.csv", "--encodin", "x"),
            "no such option '--encodin'. Did you mean '--encoding'?: see textmetric embed --help",
        ),
        ((), "missing argument 'TABLE': see textmetric embed --help"),
        (
            ("texts.csv", "--out", "v.txt"),
            "--out v.txt does not end in .npy or .csv or .parquet: name a file that does, or give "
            "--to",
        ),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_this_sentence(
    words: tuple[str, ...], said: str, here: Path
) -> None:
    (here / "texts.dat").write_text("a")
    assert error("embed", "my-model", *words) == said.replace("{here}", str(here))


def test_a_quote_that_takes_in_rows_is_an_error_where_labels_show_it(here: Path) -> None:
    lines = [f"text {row} here,{'ab'[row % 2]}" for row in range(12)]
    lines[3] = f'"{lines[3]}'
    lines[8] = lines[8].replace("here", 'here"')
    (here / "a.csv").write_text("\n".join(["body,stars", *lines]) + "\n")
    said = error("evaluate", "my-model", "a.csv", "--text", "body", "--label", "stars")
    assert "opens in row 4 (line 5) of a.csv is closed in line 10 only, and takes in 5 rows" in said


def written(kind: str, rows: list[dict[str, str]]) -> bytes:
    if kind == "jsonl":
        return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    if kind == "txt":
        return "".join(f"{row['body']}\n" for row in rows).encode()
    if kind == "parquet":
        stream = io.BytesIO()
        pd.DataFrame(rows).to_parquet(stream)
        return stream.getvalue()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()  # a byte order mark, as Excel writes it


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "txt", "parquet"])
def test_every_kind_of_table_has_the_same_texts(kind: str, packed: bool, here: Path) -> None:
    texts = ["a, b", 'say "ü"', "tab\there", "naïve ☃", "x" * 200_000]
    if kind != "txt":
        texts.append("two\nlines\r\nor three")
    rows = [{"stars": "1", "body": text} for text in texts]
    content = written(kind, rows)
    path = here / f"a.{kind}{'.gz' * packed}"
    path.write_bytes(gzip.compress(content) if packed else content)
    column = None if kind == "txt" else "body"
    table = Source(str(path), text=column).read()
    assert table.texts == texts
    assert table.rows.tolist() == list(range(1, len(texts) + 1))


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_texts_and_labels_are_those_that_the_pipeline_reads(kind: str, here: Path) -> None:
    rows = [
        {"stars": label, "id": str(place), "body": text}
        for place, (text, label) in enumerate(
            zip(toy.TEXTS, [" 1", "02", "NA", "x "] * 2, strict=True)
        )
    ]
    path = here / f"a.{kind}"
    path.write_bytes(written(kind, rows))
    frame, _ = readers.read(path, readers.Options(text="body", label="stars"))
    table = Source(str(path), text="body", label="stars").read()
    assert table.texts == frame["text"].tolist()
    assert table.labels == frame["label"].tolist() == ["1", "02", "NA", "x"] * 2


def test_the_only_column_needs_no_name_nor_the_only_one_next_to_the_label(here: Path) -> None:
    (here / "one.csv").write_text("anything\na text\n")
    (here / "two.jsonl").write_text('{"stars": 3, "anything": "a text"}\n')
    assert Source("one.csv").read().texts == ["a text"]
    table = Source("two.jsonl", label="stars").read()
    assert (table.texts, table.labels) == (["a text"], ["3"])


def test_another_encoding_and_delimiter_are_read_if_they_are_named(here: Path) -> None:
    (here / "a.csv").write_bytes("körper;note\nein Äpfel;1\n".encode("cp1252"))
    options = {"text": "körper", "delimiter": ";", "encoding": "cp1252"}
    assert Source("a.csv", **options).read().texts == ["ein Äpfel"]  # type: ignore[arg-type]


def test_empty_rows_are_kept_or_left_out_and_the_rows_keep_their_numbers(here: Path) -> None:
    (here / "a.csv").write_text("body,stars\na,x\n,x\nb,\nc,y\n")
    kept = Source("a.csv", text="body", empty="keep", allowed=True).read()
    assert (kept.texts, kept.rows.tolist(), kept.dropped) == (["a", "", "b", "c"], [1, 2, 3, 4], 0)
    left = Source("a.csv", text="body", label="stars", allowed=True).read()
    assert (left.texts, left.labels, left.rows.tolist(), left.dropped) == (
        ["a", "c"], ["x", "y"], [1, 4], 2,
    )  # fmt: skip
    part = Source("a.csv", text="body", label="stars", allowed=True).read(unlabelled=True)
    assert (part.texts, part.labels, part.dropped) == (["a", "b", "c"], ["x", "", "y"], 1)
    said = error("evaluate", "my-model", "a.csv", "--text", "body", "--label", "stars")
    assert said == (
        "row 2 (and 1 other rows) of a.csv, not counting a header, has an empty 'body': fill it "
        "in, or leave such rows out with --drop-empty"
    )


def test_a_list_is_no_label(here: Path) -> None:
    (here / "a.csv").write_text("body,stars\na,x\nb,\"['x', 'y']\"\n")
    said = error("evaluate", "my-model", "a.csv", "--label", "stars")
    assert said.startswith("row 2 of a.csv, not counting a header, has the list ['x', 'y'] as 'sta")


@pytest.mark.parametrize(
    ("given", "options", "texts"),
    [
        ("a text\nanother, one\n", (), ["a text", "another, one"]),
        ("a text\r\nanother", (), ["a text", "another"]),
        ("body,stars\na text,1\n", ("--text", "body"), ["a text"]),
        ('{"body": "a text"}\n', ("--from", "jsonl"), ["a text"]),
    ],
)
def test_the_standard_input_is_lines_or_csv_if_a_column_is_named(
    given: str, options: tuple[str, ...], texts: list[str], here: Path
) -> None:
    result = run("classify", "my-model", "-", "--json", *options, given=given)
    assert [row["text"] for row in json.loads(result.stdout)] == texts


def test_an_empty_standard_input_is_an_error(here: Path) -> None:
    assert error("embed", "my-model", "-", given="") == (
        "the standard input is empty: give a table, or a text in each line"
    )


def test_parquet_without_pyarrow_is_one_sentence(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.parquet").write_bytes(b"PAR1")
    for module in ("tables", "options"):
        monkeypatch.setattr(f"textmetric.cli.{module}.find_spec", lambda name: None)
    assert "reading a.parquet needs the package pyarrow" in error("embed", "my-model", "a.parquet")
    said = error("embed", "my-model", "texts.csv", "--out", "v.parquet")
    assert "writing parquet needs the package pyarrow" in said

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.corpora import blocks, delimited, readers
from textmetric.errors import UserError


@pytest.fixture(params=[blocks.SIZE, 300, 60])
def bytes_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is read whole and by blocks: messages name the same rows and lines."""
    monkeypatch.setattr(blocks, "SIZE", request.param)


by_blocks = pytest.mark.usefixtures("bytes_at_once")


def table(rows: int = 40, *, delimiter: str = ",", columns: str = "text label") -> list[str]:
    """A header and plain rows, as lines."""
    lines = [f"text {row} here{delimiter}{'ab'[row % 2]}" for row in range(rows)]
    if columns.startswith("id"):
        lines = [f"{row}{delimiter}{line}" for row, line in enumerate(lines)]
    return [columns.replace(" ", delimiter), *lines]


def read(path: Path, lines: list[str], **options: str) -> tuple[int, dict[str, int]]:
    """The number of rows that a table of these lines gives, and the counts."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    frame, counts = readers.read(path, readers.Options(**options))
    return len(frame), counts


@by_blocks
@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
@pytest.mark.parametrize("columns", ["text label", "id text label"])
@pytest.mark.parametrize("last", [False, True])
def test_an_open_quote_is_an_error_that_names_its_row(
    tmp_path: Path, name: str, delimiter: str, columns: str, last: bool
) -> None:
    lines = table(delimiter=delimiter, columns=columns)
    row = 40 if last else 21
    lines[row] = lines[row].replace("text", '"text')
    with pytest.raises(UserError, match=rf"opens in row {row} \(line {row + 1}\) of .*never clos"):
        read(tmp_path / name, lines)


@by_blocks
@pytest.mark.parametrize("columns", ["text label", "id text label"])
def test_a_quote_that_another_row_closes_is_an_error(tmp_path: Path, columns: str) -> None:
    lines = table(columns=columns)
    lines[5] = lines[5].replace("text", '"text')
    opened = list(lines)
    opened[9] = opened[9].replace("text", '"text')  # closes it, and more text follows
    with pytest.raises(UserError, match=r"opens in row 5 \(line 6\).* more text where it closes "):
        read(tmp_path / "a.csv", opened)
    lines[9] = lines[9].replace("here", 'here"')  # closes it in the right place
    with pytest.raises(UserError, match=r"row 5 .* closed in line 10 only, and takes in [34] rows"):
        read(tmp_path / "a.csv", lines)


@by_blocks
def test_a_quote_that_opens_in_a_label_or_another_column_is_an_error_too(tmp_path: Path) -> None:
    lines = table()
    lines[7] = lines[7].replace(",", ',"')
    lines[30] += '"'
    with pytest.raises(UserError, match=r"opens in row 7 \(line 8\) of .* takes in 22 rows"):
        read(tmp_path / "a.csv", lines)
    lines = table(columns="id text label")
    lines[3] = f'"{lines[3]}'
    lines[9] = lines[9].replace(",", '",', 1)
    with pytest.raises(UserError, match=r"opens in row 3 \(line 4\) of .* takes in 6 rows"):
        read(tmp_path / "a.csv", lines)


@by_blocks
def test_texts_of_several_lines_are_fields_and_the_counts_show_them(tmp_path: Path) -> None:
    lines = table()
    lines[5] = '"a text, of\n\nthree\nlines",a'
    lines[6] = '"one line that looks like a row,a\nof this table",b'
    lines[8] = '"two lines, as of\nrows, but not\nwith a label",b'
    lines[7] = 'a 5" pipe, "quoted""'.replace(",", "") + ",a"
    assert read(tmp_path / "a.csv", [*lines, "", ""]) == (40, {"lines": 48, "rows": 40})


@by_blocks
def test_rows_are_counted_without_blank_lines_and_those_in_quotes(tmp_path: Path) -> None:
    lines = ["", *table(4), "", '"two\nlines",b', '"open,a']
    with pytest.raises(UserError, match=r"opens in row 6 \(line 10\) of"):
        read(tmp_path / "a.csv", lines)
    with pytest.raises(UserError, match=r"opens in the header \(line 1\) of"):
        read(tmp_path / "a.csv", ['text,"label', *table(3)])


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_another_delimiter_is_recognised_and_may_be_given(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    lines = table(delimiter=delimiter)
    lines[1] = f'"good,\treally; |"{delimiter}a'
    assert read(tmp_path / name, lines, delimiter=delimiter)[0] == 40
    if delimiter == {".csv": ",", ".tsv": "\t"}[Path(name).suffix]:
        return
    shown = {"\t": '"\\\\t"'}.get(delimiter, f"'[{delimiter}]'")
    with pytest.raises(
        UserError,
        match=rf"no column 'text' or 'label'; the delimiter seems to be {shown}: add "
        rf"delimiter: {shown} to the corpus mapping$",
    ):
        read(tmp_path / name, lines)
    with pytest.raises(UserError, match=rf"no column 'body' .* seems to be {shown}"):
        read(tmp_path / name, lines, text="body")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 2 columns 'label': rename all but one"):
        read(tmp_path / "a.csv", ["text,label,label", "a,b,c"])
    assert read(tmp_path / "a.csv", ["text,label,x,x", "a,b,c,d"])[0] == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_for_every_line_end(end: str) -> None:
    for text, count in (("a", 1), ("a\n", 1), ("a\n\nb", 3)):
        assert delimited.line_count(text.replace("\n", end).encode()) == count


@given(st.text(st.sampled_from('a,"\n\r'), max_size=14), st.booleans())
@settings(max_examples=2000, deadline=None)
def test_quotes_are_right_where_python_finds_them_right(text: str, mark: bool) -> None:
    data = ("\ufeff" * mark + text).encode()
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        with pytest.raises(UserError, match="the quote that opens in"):
            delimited.check_quotes(data, "toy", ",", headed=False)
    else:
        delimited.check_quotes(data, "toy", ",", headed=False)


@by_blocks
def test_a_row_of_another_length_is_named_in_any_block(tmp_path: Path) -> None:
    lines = table(200)
    lines[150] += ",more"
    with pytest.raises(UserError, match=r"^row 150 of .*a\.csv has 3 fields where 2 are expected"):
        read(tmp_path / "a.csv", ["", *lines])


@by_blocks
def test_bytes_that_are_no_text_are_named_in_any_block(tmp_path: Path) -> None:
    data = "\n".join(table(200)).encode()
    place = data.index(b"text 150")
    (tmp_path / "a.csv").write_bytes(data[:place] + b"\xff" + data[place:])
    with pytest.raises(UserError, match=rf"is not UTF-8 \(line 152, byte {place}\)"):
        readers.read(tmp_path / "a.csv")

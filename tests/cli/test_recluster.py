from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.runs import error, run
from tests.reclustering.made import CLUSTERS, SAID, TEXTS
from textmetric.cli.commands import textmetric

WORDS = ("recluster", "texts.csv", "--text", "body", "--cluster", "topic", "--corrected", "fix")


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = zip(TEXTS, CLUSTERS, SAID, strict=True)
    lines = ["body,topic,fix", *(f"{text},{topic},{fix or ''}" for text, topic, fix in rows)]
    Path("texts.csv").write_text("\n".join(lines) + "\n")


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_row_gets_its_cluster_and_whether_it_moved() -> None:
    result = run(*WORDS, "--k", "keep", "--out", "new.csv")
    found = read("new.csv")
    assert [row["cluster"] for row in found] == ["apple"] * 10 + ["pear"] * 10 + ["3"] * 10
    assert [row["before"] for row in found] == CLUSTERS
    assert [row["row"] for row in found if row["moved"] == "true"] == ["9", "10"]
    assert [row["row"] for row in found] == [str(number) for number in range(1, 31)]
    assert found[0]["confidence"] == "1.0"
    assert "turn 1: 2 of 30 rows moved" in result.stderr
    assert "2 renamed: 1 → apple, 2 → pear" in result.stderr


def test_what_is_not_wanted_is_left_out_and_not_spoken_of() -> None:
    plain = run(*WORDS, "--k", "keep", "--out", "new.csv")
    assert "too few corrections to hide some" in plain.stderr
    quick = run(*WORDS, "--k", "keep", "--no-hold-out", "--objective", "none", "--out", "quick.csv")
    assert "hide" not in quick.stderr
    assert [row["cluster"] for row in read("quick.csv")] == [
        row["cluster"] for row in read("new.csv")
    ]


def test_a_second_turn_goes_on_without_the_clusters() -> None:
    run(*WORDS, "--turn", "turns", "--k", "keep", "--out", "new.csv")
    Path("pairs.csv").write_text("row,other,link\n30,29,must\n1,30,cannot\n")
    result = run("recluster", "texts.csv", "--text", "body", "--turn", "turns", "--links",
                 "pairs.csv", "--right", "3", "--ask", "ask.csv", "--json", "--out",
                 "again.csv")  # fmt: skip
    assert json.loads(result.stdout)["turn"] == 2
    assert [row["cluster"] for row in read("again.csv")[20:]] == ["3"] * 10
    questions = read("ask.csv")
    assert questions
    for row in questions:
        assert row["text"] == TEXTS[int(row["row"]) - 1]


def test_empty_rows_keep_their_numbers_in_links_and_messages() -> None:
    lines = Path("texts.csv").read_text().splitlines()
    Path("texts.csv").write_text("\n".join([lines[0], ",1,", *lines[1:]]) + "\n")
    Path("pairs.csv").write_text("row,other,link\n2,12,must\n")
    words = [*WORDS, "--drop-empty", "--links", "pairs.csv", "--out", "new.csv"]
    result = CliRunner().invoke(textmetric, words)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[1:] == [
        "error: row 2 is corrected to 'apple' and row 12 to 'pear', but must-links join 2–12: take "
        "one of these corrections back"
    ]


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ("row,other,link\n1,2,maybe\n", "row 1 of pairs.csv has the link 'maybe'"),
        ("row,other,link\n1,99,must\n", "row 1 of pairs.csv names the row '99'"),
        ("row,link\n1,must\n", "other"),
    ],
)
def test_links_that_cannot_be_are_refused(pairs: str, sentence: str) -> None:
    Path("pairs.csv").write_text(pairs)
    assert sentence in error(*WORDS, "--links", "pairs.csv", "--out", "new.csv")


@pytest.mark.parametrize("words", [("--ask", "ask.xyz"), ("--export", "said.xyz")])
def test_a_wrong_output_is_named_before_the_turn_is_saved(words: tuple[str, str]) -> None:
    assert words[1] in error(*WORDS, "--turn", "turns", "--out", "new.csv", *words)
    assert not Path("turns").exists()


def test_the_first_turn_needs_the_clusters() -> None:
    assert "--cluster is missing" in error("recluster", "texts.csv", "--text", "body")


def test_a_table_is_a_file() -> None:
    said = error(
        "recluster", "-", "--text", "body", "--cluster", "topic", given="body,topic\na,1\n"
    )
    assert "name a file" in said

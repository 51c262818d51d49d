from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.compare.made import FOUR, comparison_of
from textmetric import compare as compared
from textmetric.cli.commands import textmetric
from textmetric.cli.compare import PURPOSES as CHOICES
from textmetric.compare import PURPOSES

TABLE = "id,body,stars\n1,a good book,5\n2,a bad book,1\n3,no label,\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs the command on a small table; what would train gives a result that is made up."""
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text(TABLE)
    given: list[tuple[object, ...]] = []

    def made_up(texts: list[str], labels: list[str], purpose: str, **options: object) -> object:
        given.append((texts, labels, purpose))
        low, high = [0.6, 0.61, 0.6, 0.61, 0.6], [0.7, 0.71, 0.72, 0.7, 0.71]
        return comparison_of(dict(zip(FOUR, (low, low, high, high), strict=True)))

    monkeypatch.setattr(compared, "compare", made_up)

    def call(*words: str) -> tuple[Result, list[tuple[object, ...]]]:
        return CliRunner().invoke(textmetric, ["compare", *words]), given

    return call


def test_it_names_every_purpose() -> None:
    assert [purpose.name for purpose in PURPOSES] == list(CHOICES)


def test_the_table_is_compared_by_its_columns(run) -> None:  # type: ignore[no-untyped-def]
    result, given = run("reviews.csv", "--text", "body", "--label", "stars", "--for", "retrieval")
    assert result.exit_code == 0, result.output
    assert given == [(["a good book", "a bad book", "no label"], ["5", "1", ""], "retrieval")]
    assert "For classifying: metric better." in result.output


def test_json_is_one_document(run) -> None:  # type: ignore[no-untyped-def]
    result, given = run("reviews.csv", "--text", "body", "--label", "stars", "--json")
    assert json.loads(result.stdout)["verdict"] == "first"
    assert given[0][2] == "classify"


def test_out_is_a_folder_with_the_report(run) -> None:  # type: ignore[no-untyped-def]
    result, _ = run("reviews.csv", "--text", "body", "--label", "stars", "--out", "report")
    assert result.exit_code == 0, result.output
    assert "on reviews.csv?" in Path("report/report.html").read_text(encoding="utf-8")


def test_a_folder_of_the_users_is_refused_before_the_work(run) -> None:  # type: ignore[no-untyped-def]
    result, given = run("reviews.csv", "--text", "body", "--label", "stars", "--out", ".")
    assert result.exit_code == 2
    assert "holds no report of a comparison" in result.output
    assert given == []

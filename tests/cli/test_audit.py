from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.runs import run
from textmetric import audit as audits
from textmetric.audit import Audit


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The table ``reviews.csv``, and what the audit was asked; its result is made up."""
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("body,stars\ngood,5\n,5\nbad,5\nawful,1\nso so,\n")
    asked: list[Any] = []

    def made_up(texts: list[str], labels: list[str], **options: Any) -> Audit:
        asked.append((texts, labels, options["seed"]))
        places, names = np.arange(3), np.array(["5", "5", "1"])
        other = np.array(["1", "1", "5"])
        return Audit(places, names, other, np.array([0.5, 8.0, 2.0]), names[:2], np.eye(3), 2)

    monkeypatch.setattr(audits, "audit", made_up)
    return asked


def test_suspects_are_written_with_their_rows_in_the_table(table: list[Any]) -> None:
    words = ("audit", "reviews.csv", "--text", "body", "--label", "stars", "--drop-empty")
    result = run(*words, "--out", "suspects.csv")
    assert table == [(["good", "bad", "awful", "so so"], ["5", "5", "1", ""], 0)]
    with Path("suspects.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {"row": "3", "label": "5", "proposed": "1", "score": "8.0", "text": "bad"},
            {"row": "4", "label": "1", "proposed": "5", "score": "2.0", "text": "awful"},
        ]
    assert "2 of 3 labels look wrong" in result.stderr
    assert "2 rows could not be judged" in result.stderr


def test_json_is_one_document_of_at_most_so_many(table: list[Any]) -> None:
    words = ("audit", "reviews.csv", "--text", "body", "--label", "stars", "--drop-empty")
    result = run(*words, "--json", "--top", "1", "--seed", "7")
    assert table[0][2] == 7
    assert json.loads(result.stdout) == [
        {"row": 3, "label": "5", "proposed": "1", "score": 8.0, "text": "bad"}
    ]

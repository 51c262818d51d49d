from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.runs import error, run
from textmetric.errors import UserError
from textmetric.reclustering.actions import Action, as_corrections
from textmetric.reclustering.exchange import FORMATS, Annotated, Format, exported, imported

HOSTILE = '<b onclick="x()">&amp; "quoted", é\u2028 \u202e=1+1</b>'
FOUND = Annotated(
    ["one", 'two, with\n"quotes"', HOSTILE, "four", "five", "six"],
    [1, 2, 4, 7, 8, 9],
    ["a", "a", HOSTILE, "b", "b", ""],
    ["", HOSTILE, "", "new", "b", ""],
    [(0, "a"), (2, "b"), (2, "a")],
    [(0, 1)],
    [(1, 3), (3, 5)],
    [5, 3],
)


def write(folder: Path, found: Annotated, form: Format) -> list[Path]:
    paths = []
    for end, content in exported(found, form).items():
        path = folder / f"said{end}"
        path.write_bytes(content)
        if end != ".xml":
            paths.append(path)
    return paths


def read(path: Path, content: Any) -> list[Action]:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return imported(path, FOUND.texts, FOUND.numbers)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_is_imported(tmp_path: Path, form: Format) -> None:
    actions = [
        action
        for path in write(tmp_path, FOUND, form)
        for action in imported(path, FOUND.texts, FOUND.numbers)
    ]
    again = as_corrections(actions, len(FOUND.texts))
    assert [label or "" for label in again.labels or ()] == FOUND.labels
    assert sorted(again.not_here) == sorted(FOUND.not_here)
    if form == "csv":
        assert (again.must, again.cannot) == (FOUND.must, FOUND.cannot)


def test_annotators_get_what_was_said_and_what_is_asked(tmp_path: Path) -> None:
    tasks = json.loads(exported(FOUND, "label-studio")[".json"])
    assert [task["data"]["row"] for task in tasks] == [1, 2, 4, 7, 8, 9]
    assert "annotations" not in tasks[-1]
    assert "predictions" not in tasks[-1]  # it is in no cluster
    assert tasks[3]["predictions"][0]["result"][0]["value"] == {"choices": ["b"]}
    records = json.loads(exported(FOUND, "argilla")[".json"])
    assert [record["metadata"]["row"] for record in records] == [1, 2, 4, 7, 8, 9]
    assert records[3]["suggestions"]["cluster"]["value"] == "new"
    assert records[-1] == {
        "id": "9", "fields": {"text": "six"}, "metadata": {"row": 9}, "suggestions": {},
        "responses": {}, "vectors": {},
    }  # fmt: skip


def test_the_configuration_of_label_studio_names_each_cluster(tmp_path: Path) -> None:
    root = ElementTree.fromstring(exported(FOUND, "label-studio")[".xml"])
    for name in ("cluster", "not_here"):
        choices = root.find(f"Choices[@name='{name}']")
        assert choices is not None
        # an attribute of XML has no line ends
        assert [choice.get("value") for choice in choices] == [HOSTILE, "a", "b", "new"]


def test_csv_has_the_columns_of_the_command(tmp_path: Path) -> None:
    files = exported(FOUND, "csv")
    rows = list(csv.DictReader(files[".csv"].decode().splitlines(keepends=True)))
    assert list(rows[0]) == ["row", "text", "cluster", "corrected", "not_here", "not_here_2"]
    assert [row["not_here_2"] for row in rows] == ["", "", "a", "", "", ""]
    assert files["-links.csv"].decode().splitlines() == [
        "row,other,link", "1,2,must", "2,7,cannot", "7,9,cannot",
    ]  # fmt: skip


def task(row: Any = 2, result: Any = (), **other: Any) -> dict[str, Any]:
    return {"data": {"row": row}, "annotations": [{"result": list(result), **other}]}


def choice(*names: str, question: str = "cluster") -> dict[str, Any]:
    return {"from_name": question, "type": "choices", "value": {"choices": list(names)}}


def test_label_studio_annotations_are_read_as_it_writes_them(tmp_path: Path) -> None:
    new = {"from_name": "new_cluster", "type": "textarea", "value": {"text": ["mine"]}}
    other = {"from_name": "mood", "type": "choices", "value": {"choices": ["happy"]}}
    content = [
        {"id": 12, "inner_id": 1, "project": 3, "drafts": [], **task(1, [choice("a"), other])},
        task(2, [choice("a")], was_cancelled=True),
        task(4, [new, choice("b", "a", question="not_here")]),
        {"data": {"row": 7, "text": "four"}, "annotations": []},
        {"data": {"row": 8}, "annotations": [{"result": [choice("a")]}, {"result": [choice("a")]}]},
    ]
    assert read(tmp_path / "a.json", content) == [
        Action("move", (0,), ("a",)),
        Action("move", (2,), ("mine",)),
        Action("not here", (2,), ("a",)),
        Action("not here", (2,), ("b",)),
        Action("move", (4,), ("a",)),
    ]


def record(row: Any, responses: Any = None, suggestions: Any = None) -> dict[str, Any]:
    return {"id": "x", "fields": {"text": FOUND.texts[0]}, "metadata": {"row": row},
            "responses": responses or {}, "suggestions": suggestions or {}}  # fmt: skip


def test_argilla_responses_count_more_than_suggestions(tmp_path: Path) -> None:
    user = {"user_id": "3b9e6ad6-6f8d-4f0c-9d5c-0c8f0c1b2a3d"}
    said = {"cluster": {"value": "b", "score": None, "agent": "corrected"}}
    answer = {"cluster": [{"value": "a", **user}]}
    assert read(tmp_path / "a.json", [record(1, answer, said)]) == [Action("move", (0,), ("a",))]
    assert read(tmp_path / "a.json", [record(1, None, said)]) == [Action("move", (0,), ("b",))]
    draft = {"cluster": [{"value": "a", "status": "draft", **user}]}
    by_model = {"cluster": {"value": "b", "score": 0.9, "agent": "textmetric"}}
    assert read(tmp_path / "a.json", [record(1, draft, by_model)]) == []
    wrong = {"not_here": [{"value": ["a", "b"], **user}]}
    assert [action.kind for action in read(tmp_path / "a.json", [record(1, wrong)])] == [
        "not here", "not here",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ({}, "expected a list"),
        ([1], "entry 1 of .* neither a task"),
        ([{}], "neither a task"),
        ([{"data": []}], "neither a task"),
        ([task("2")], "has '2' for a row"),
        ([task(True)], "has True for a row"),
        ([task(2.0)], "has 2.0 for a row"),
        ([task(3)], "names the row 3"),
        ([{"data": {}}], "has None for a row"),
        ([{"data": {"row": 2, "text": "another"}}], "another text for row 2"),
        ([{"data": {"row": 2}, "annotations": 5}], "has 5 in annotations"),
        ([{"data": {"row": 2}, "annotations": [5]}], "has 5 in annotations"),
        ([{"data": {"row": 2}, "annotations": [{"result": {}}]}], None),
        ([{"data": {"row": 2}, "annotations": [{"result": "x"}]}], "has 'x' in result"),
        ([task(2, ["x"])], "has 'x' in result"),
        ([task(2, [choice("a"), choice("b")])], "two answers, 'a' and 'b'"),
        ([task(2, [{"from_name": "cluster", "value": {"choices": [1]}}])], "has 1 in cluster"),
        ([task(2, [{"from_name": "cluster", "value": {"choices": 1}}])], "has 1 in cluster"),
        ([record(1, [])], None),
        ([record(1, [1])], r"has \[1\] in responses"),
        ([record(1, {"cluster": 1})], "has 1 in responses"),
        ([record(1, {"cluster": [1]})], "has 1 in responses"),
        ([record(1, {"cluster": [{"value": {"a": 1}}]})], "in cluster"),
        ([record("1", {})], "has '1' for a row"),
    ],
)
def test_a_strange_file_of_a_tool_is_one_sentence(
    tmp_path: Path, content: Any, words: str | None
) -> None:
    path = tmp_path / "a.json"
    if words is None:
        assert read(path, content) == []
        return
    with pytest.raises(UserError, match=words) as caught:
        read(path, content)
    assert "a.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has the columns"),
        ("row,topic\n1,a\n", "expected row, corrected and not_here"),
        ("corrected\na\n", "expected row"),
        ("row,row,corrected\n1,1,a\n", "has the columns row, row"),
        ("row,corrected\n1\n", "row 1 of .* has 1 fields where 2"),
        ("row,corrected\nx,a\n", "has 'x' for a row"),
        ("row,corrected\n3,a\n", "names the row 3"),
        ("row,corrected\n" + "9" * 5000 + ",a\n", "for a row"),
        ("row,text,corrected\n1,another,a\n", "another text"),
        ('row,corrected\n1,"a\n', "cannot be read as csv"),
        ("row,other,link\n1,2,maybe\n", "has the link 'maybe'"),
        ("row,other,link\n1,3,must\n", "names the row 3"),
    ],
)
def test_a_strange_csv_is_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path / "a.csv", content)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    for name in ("a.json", "a.csv"):
        with pytest.raises(UserError, match="missing"):
            imported(tmp_path / name, FOUND.texts, FOUND.numbers)


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_imports_what_it_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [f"{fruit} {sign}" for fruit in ("apple", "pear") for sign in "abcdefgh"]
    lines = [f"{text},{1 + (row > 9)},{'x' * (row == 3)}" for row, text in enumerate(texts)]
    Path("texts.csv").write_text("\n".join(["body,topic,fix", *lines]) + "\n")
    words = ["recluster", "texts.csv", "--text", "body", "--cluster", "topic"]
    end = "csv" if form == "csv" else "json"
    run(*words, "--corrected", "fix", "--export", f"a.{end}", "--export-to", form, "--out", "1.csv")
    result = run(*words, "--import", f"a.{end}", "--json", "--out", "2.csv")
    assert Path("1.csv").read_text() == Path("2.csv").read_text()
    assert json.loads(result.stdout)["new"] == ["x"]


def test_the_command_says_what_it_cannot_export_or_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text("body,topic\na,1\nb,2\n")
    words = ["recluster", "texts.csv", "--text", "body", "--cluster", "topic"]
    assert "give --export-to" in error(*words, "--export", "a.json")
    assert "--turn is missing" in error(*words, "--serve")
    for name in ("page", "serve"):
        monkeypatch.delitem(sys.modules, f"textmetric.reclustering.app.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "nicegui", None)
    said = error(*words, "--serve", "--turn", "t")
    assert said.startswith("the page to correct on needs the package nicegui: install it with pip")
    assert said.endswith("[app]'")
    assert not Path("t").exists()
    assert "--ask is not for the page" in error(*words, "--serve", "--turn", "t", "--ask", "a.csv")

"""The commands that use a saved model."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import textmetric
from tests.cli import toy
from tests.cli.runs import error, run
from textmetric.measures import evaluate
from textmetric.runtime import Model

TABLE = ("my-model", "texts.csv", "--text", "body")


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of texts of each call that embeds."""
    calls: list[int] = []
    embed = Model.embed

    def noted(self: Model, texts: list[str]) -> object:
        calls.append(len(texts))
        return embed(self, texts)

    monkeypatch.setattr(Model, "embed", noted)
    return calls


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet"])
def test_embeddings_are_those_of_transform_bit_for_bit(kind: str, here: Path) -> None:
    run("embed", *TABLE, "--out", f"v.{kind}")
    expected = textmetric.load("my-model").transform(toy.TEXTS)
    if kind == "npy":
        found = np.load("v.npy")
        np.save("again.npy", expected)
        assert Path("v.npy").read_bytes() == Path("again.npy").read_bytes()
    elif kind == "csv":
        table = pd.read_csv("v.csv", dtype=np.float32)
        assert list(table.columns) == ["x0", "x1", "x2", "x3"]
        found = table.to_numpy()
    else:
        found = np.stack(pd.read_parquet("v.parquet")["vector"].to_list())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert sorted(path.name for path in here.iterdir() if path.suffix != ".npy") == sorted(
        {"my-model", "texts.csv", f"v.{kind}"} - {"v.npy"}
    )


def test_embeddings_go_to_the_standard_output(here: Path) -> None:
    result = run("embed", "my-model", "-", given="an apple\n")
    found = np.load(io.BytesIO(result.stdout_bytes))
    np.testing.assert_array_equal(found, textmetric.load("my-model").transform(["an apple"]))
    assert run("embed", "my-model", "-", "--to", "csv", given="a\n").stdout.startswith("x0,x1,")


def test_labels_are_a_table_or_one_document(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    rows = list(csv.DictReader(io.StringIO(run("classify", *TABLE, "--probabilities").stdout)))
    assert calls == [8]
    assert [row["text"] for row in rows] == toy.TEXTS
    assert [row["label"] for row in rows] == toy.LABELS
    chances = textmetric.load("my-model").predict_proba(toy.TEXTS)
    np.testing.assert_allclose([float(row["p(road)"]) for row in rows], chances[:, 1], atol=1e-6)
    documents = json.loads(run("classify", *TABLE, "--probabilities", "--json").stdout)
    assert documents[0]["label"] == "food"
    assert documents[0]["probabilities"] == pytest.approx(
        dict(zip(["food", "road"], chances[0], strict=True)), abs=1e-6
    )
    run("classify", *TABLE, "--out", "a.jsonl")
    lines = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert lines == [{"text": t, "label": y} for t, y in zip(toy.TEXTS, toy.LABELS, strict=True)]
    run("classify", *TABLE, "--out", "a.json")
    assert json.loads(Path("a.json").read_text()) == lines


def test_a_text_without_a_known_word_is_never_classified_in_silence(here: Path) -> None:
    given = "an apple\nxyzzy\n"
    result = run("classify", "my-model", "-", "--json", given=given)
    assert [row["label"] for row in json.loads(result.stdout)] == ["food", "food"]
    assert result.stderr == (
        "note: 1 of 2 texts have no known word, so they get the most frequent class 'food': "
        "--reject gives them a label of its own\n"
    )
    result = run("classify", "my-model", "-", "--json", "--reject", "none", given=given)
    assert [row["label"] for row in json.loads(result.stdout)] == ["food", "none"]
    assert result.stderr == ""
    assert run("embed", "my-model", "-", given=given).stderr == (
        "note: 1 of 2 texts have no known word\n"
    )


def test_probabilities_need_a_temperature(here: Path) -> None:
    toy.saved(temperature=None).write("my-model")
    assert error("classify", *TABLE, "--probabilities").startswith("my-model has no probabilities")
    run("classify", *TABLE)


def test_neighbours_are_those_of_the_index(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    query = ("--query", "a fast car", "--query", "pie", "-k", "2")
    documents = json.loads(run("neighbors", *TABLE, *query, "--json").stdout)
    assert sorted(calls) == [2, 8]
    model = textmetric.load("my-model")
    found = model.index(toy.TEXTS).neighbors(["a fast car", "pie"], 2)
    assert [document["query"] for document in documents] == ["a fast car", "pie"]
    for document, rows, cosines in zip(documents, *found, strict=True):
        assert [near["row"] for near in document["neighbors"]] == (rows + 1).tolist()
        assert [near["text"] for near in document["neighbors"]] == [toy.TEXTS[r] for r in rows]
        near = [near["cosine"] for near in document["neighbors"]]
        np.testing.assert_allclose(near, cosines, atol=1e-6)
    table = list(csv.DictReader(io.StringIO(run("neighbors", *TABLE, *query).stdout)))
    assert [(row["query"], row["rank"], row["row"], row["text"]) for row in table] == [
        (document["query"], str(rank), str(near["row"]), near["text"])
        for document in documents
        for rank, near in enumerate(document["neighbors"], start=1)
    ]


def test_rows_of_neighbours_count_rows_that_were_left_out(here: Path) -> None:
    Path("gaps.csv").write_text("body,n\n,1\ngreen apple,2\n,3\nfast car,4\n")
    words = ("neighbors", "my-model", "gaps.csv", "--text", "body", "--query", "car", "--json")
    result = run(*words, "--drop-empty")
    assert [near["row"] for near in json.loads(result.stdout)[0]["neighbors"]] == [4, 2]
    assert "2 of 4 rows of gaps.csv are left out" in result.stderr


def test_queries_come_from_a_file_or_the_standard_input(here: Path) -> None:
    Path("queries.txt").write_text("a fast car\npie\n")
    from_file = run("neighbors", *TABLE, "--queries", "queries.txt", "--json").stdout
    given = run("neighbors", *TABLE, "--queries", "-", "--json", given="a fast car\npie\n").stdout
    assert from_file == given
    assert [row["query"] for row in json.loads(given)] == ["a fast car", "pie"]
    assert "one standard input" in error("neighbors", "my-model", "-", "--queries", "-", given="a")
    assert error("neighbors", *TABLE) == ("there is no query: give --query TEXT or --queries FILE")


def test_a_query_without_a_known_word_has_no_neighbours(here: Path) -> None:
    result = run("neighbors", *TABLE, "--query", "xyzzy", "--query", "car", "--json")
    assert [len(row["neighbors"]) for row in json.loads(result.stdout)] == [0, 5]
    assert result.stderr == "note: 1 of 2 queries have no known word, so no neighbours\n"


def test_measures_are_those_of_evaluate(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Path("texts.csv").read_text().replace("fast red car,road", "fast red car,food")
    Path("texts.csv").write_text(lines)
    calls = counted(monkeypatch)
    document = json.loads(run("evaluate", *TABLE, "--label", "stars", "--json").stdout)
    assert calls == [8]
    model = textmetric.load("my-model")
    labels = np.array([0] * 5 + [1] * 3)
    expected = evaluate(model.transform(toy.TEXTS), labels, classes=2).flat
    measures = document["measures"]
    assert measures["accuracy"]["value"] == 7 / 8
    assert measures["accuracy"]["low"] < 7 / 8 < measures["accuracy"]["high"]
    assert measures["map_at_r"]["low"] < expected["map_at_r"] < measures["map_at_r"]["high"]
    assert {name: measures[name]["value"] for name in measures if name != "accuracy"} == {
        name: pytest.approx(expected[name]) for name in measures if name != "accuracy"
    }
    assert (document["rows"], document["classes"]) == (8, ["food", "road"])
    assert document["per_class"]["accuracy"] == [0.8, 1.0]
    assert document["confused"] == [
        {"first": "food", "second": "road", "confused": 1, "share": 1 / 8}
    ]
    shown = run("evaluate", *TABLE, "--label", "stars").stdout
    assert "accuracy              0.875  [0.529, 0.978]\n" in shown
    assert "       1  12.5%  food / road\n" in shown


def test_a_note_says_of_how_many_texts_a_sample_is(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(run("evaluate", *TABLE, "--label", "stars", "--json").stdout)
    monkeypatch.setattr(sys.modules["textmetric.measures.retrieval"], "MEASURED_WHOLE", 7)
    result = run("evaluate", *TABLE, "--label", "stars", "--json")
    assert result.stderr == (
        "note: Recall@1 is of a sample of 8 texts and MAP@R of 8, each among all; their intervals "
        "are of the sampling\n"
    )
    for name in ("recall_at_1", "map_at_r"):  # all 8 texts are in the sample: there is no error
        value = json.loads(result.stdout)["measures"][name]
        assert value["low"] == value["value"] == value["high"]
        assert value["value"] == pytest.approx(whole["measures"][name]["value"])


def test_labels_that_the_model_does_not_know_are_named(here: Path) -> None:
    Path("texts.csv").write_text(Path("texts.csv").read_text().replace(",road", ",street"))
    result = run("evaluate", *TABLE, "--label", "stars", "--json")
    assert result.stderr == "note: the model does not know the labels 'street'\n"
    document = json.loads(result.stdout)
    assert document["unknown_classes"] == ["street"]
    assert document["measures"]["accuracy"]["value"] == 0.5


def test_labels_that_were_numbers_are_known_however_they_are_written(here: Path) -> None:
    toy.saved(label_names=["1.0", "2.0"], label_type="float").write("my-model")
    text = Path("texts.csv").read_text().replace(",food", ",1").replace(",road", ",2.00")
    Path("texts.csv").write_text(text)
    document = json.loads(run("evaluate", *TABLE, "--label", "stars", "--json").stdout)
    assert document["measures"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize("command", ["embed", "classify"])
def test_a_folder_that_is_no_model_is_one_sentence(command: str, here: Path) -> None:
    assert error(command, "nowhere", "texts.csv") == (
        "there is no folder nowhere: name one that textmetric train or TextEmbedder.save wrote"
    )
    (here / "empty").mkdir()
    assert error(command, "empty", "texts.csv").startswith("empty holds no model.json")


def test_a_model_of_given_vectors_is_refused(here: Path) -> None:
    made = toy.saved()
    recipe = {**made.recipe, "model": {"encoder": "frozen", "layer": "linear", "dim": 4}}
    layer = {"projection.weight": np.eye(4), "projection.bias": np.zeros(4)}
    encoder = {name: array.astype(np.float32) for name, array in layer.items()}
    toy.saved(recipe=recipe, encoder=encoder).write("my-model")
    assert error("embed", *TABLE).startswith("my-model embeds the vectors of a sentence encoder, ")

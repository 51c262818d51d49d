"""The model card of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from tests.export.examples import model
from textmetric.errors import UserError
from textmetric.export import export_model2vec
from textmetric.measures import evaluate


def written(folder: Path, machine: Any = None, measures: Any = None) -> str:
    export_model2vec(machine or model("bag"), folder, measures=measures)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_front_matter_is_yaml_that_names_the_library(tmp_path: Path) -> None:
    text = written(tmp_path / "out")
    _, header, _ = text.split("---\n", 2)
    found = YAML(typ="safe").load(header)
    assert found["library_name"] == "model2vec"
    assert found["pipeline_tag"] == "sentence-similarity"
    assert found["tags"][0] == "textmetric"


def test_the_hub_reads_the_front_matter(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the package huggingface_hub is missing")
    written(tmp_path / "out")
    found = hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert (found.data.library_name, found.data.tags[0]) == ("model2vec", "textmetric")


def test_it_says_data_objective_tokenizer_and_limits(tmp_path: Path) -> None:
    text = written(tmp_path / "my model")
    assert "# my model\n" in text
    assert "6 dimensions" in text
    assert "on 2,400 labelled texts with 2 classes" in text
    assert "embeds 12 tokens" in text
    assert "| objective | triplet (margin 0.2, mining semi_hard) |" in text
    assert "| tokenizer | `basic_english` |" in text
    assert "| seed | 7 |" in text
    assert "| food | 1,200 |" in text
    assert "## Measures\n\nNot given." in text
    assert "**The order of words.**" in text


def test_counts_that_were_not_saved_are_no_numbers(tmp_path: Path) -> None:
    text = written(tmp_path / "out", model("bag", counts=None))
    assert "texts, whose number was not saved," in text
    assert "| food | – |" in text


def test_measures_are_shown_with_their_intervals(tmp_path: Path) -> None:
    evaluation = evaluate(np.eye(4), np.array([0, 0, 1, 1]), classes=2)
    measures = {"120 news": {"map_at_r": (0.5, 0.4, 0.6), "gap": 0.25}, "queries": evaluation}
    text = written(tmp_path / "out", measures=measures)
    assert "On 120 news:\n\n| measure | value | 95 % interval |" in text
    assert "| map\\_at\\_r | 0.500 | 0.400 to 0.600 |" in text
    assert "| gap | 0.250 | – |" in text
    assert f"| cohesion | {evaluation.flat['cohesion']:.3f} | – |" in text
    for wrong in ("high", (0.5, 0.4), None, ("a", "b", "c")):
        with pytest.raises(UserError, match=r"the measure gap is .*expected a number"):
            written(tmp_path / "out", measures={"x": {"gap": wrong}})


HOSTILE = ["<script>alert(1)</script>", "a|b", "](http://x.y)", "---\nlicense: mit", "", "\u202e"]


def test_names_are_text_and_no_markup(tmp_path: Path) -> None:
    machine = model("bag", label_names=HOSTILE)
    measures = {"<b>set</b>": {"*x*": 0.5}}
    text = written(tmp_path / "<i>__a__", machine, measures)
    page = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("---\n", 2)[2])
    )
    for tag in ("<script", "<b>", "<i>", "<em>", "<a ", "<strong>a"):
        assert tag not in page
    assert page.count("<td>1,200</td>") + page.count('<td style="text-align:right">1,200</td>') == 6
    assert "\u202e" not in text
    assert "license" not in text.split("---\n", 2)[1]

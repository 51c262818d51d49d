"""``textmetric export``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.export.examples import model
from textmetric.cli.commands import textmetric


def run(*arguments: object) -> Result:
    return CliRunner().invoke(textmetric, ["export", *map(str, arguments)])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model("linear").saved.write(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("model2vec", "model.safetensors"),
        ("sentence-transformers", "0_TokenVectors/model.safetensors"),
        ("onnx", "model.onnx"),
    ],
)
def test_it_writes_each_format(kind: str, file: str, saved: Path, tmp_path: Path) -> None:
    if kind == "onnx":
        pytest.importorskip("onnx", reason="the package onnx is missing")
    for _ in range(2):  # an earlier export is replaced
        result = run(saved, "--to", kind, "--out", tmp_path / "out")
        assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "out" / file).is_file()
    assert (tmp_path / "out" / "README.md").is_file()


def test_parquet_takes_a_table(saved: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    (tmp_path / "texts.csv").write_text("body,topic\na red car,road\napple pie,\n")
    out = tmp_path / "out"
    table = saved, tmp_path / "texts.csv", "--text", "body"
    result = run(*table, "--label", "topic", "--to", "parquet", "--out", out)
    assert (result.exit_code, result.output) == (0, "")
    found = parquet.read_table(out / "texts.parquet")
    assert found["text"].to_pylist() == ["a red car", "apple pie"]
    assert found["label"].to_pylist() == ["road", None]
    assert run(*table, "--to", "parquet", "--out", out).exit_code == 0
    assert "label" not in parquet.read_table(out / "texts.parquet").column_names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "parquet"], "there is no table of texts: give one after MODEL"),
        (["texts.txt", "--to", "onnx"], "the table texts.txt is given: leave it out"),
        (["--to", "pickle"], "'pickle' is not one of"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], said: str, saved: Path, tmp_path: Path
) -> None:
    result = run(saved, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    for kind in ("model2vec", "parquet"):
        (tmp_path / "texts.txt").write_text("a text\n")
        table = [tmp_path / "texts.txt"] if kind == "parquet" else []
        result = run(tmp_path / "none", *table, "--to", kind, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert "none" in result.output

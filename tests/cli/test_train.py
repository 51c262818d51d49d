"""``textmetric train``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import textmetric
from tests.cli import toy
from tests.cli.runs import error, run
from textmetric import TextEmbedder
from textmetric.cli.commands import textmetric as group
from textmetric.cli.train import OBJECTIVES
from textmetric.losses import OBJECTIVES as REGISTERED

TABLE = ("train", "texts.csv", "--text", "body", "--label", "stars", "--out", "new")
QUICK = ("--dim", "8", "--lr", "0.1", "--epochs", "1", "--batch-size", "4")


def test_every_objective_is_known() -> None:
    assert sorted(OBJECTIVES) == sorted(name for names in REGISTERED.values() for name in names)


def test_it_trains_what_the_estimator_trains(here: Path) -> None:
    Path("texts.csv").write_text(Path("texts.csv").read_text() + "more of this,\n,road\n")
    options = ("--objective", "triplet", "--set", "margin=0.5", "--seed", "3", "--drop-empty")
    result = run(*TABLE, *QUICK, *options)
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["texts"] == "9 of texts.csv"
    assert lines["classes"] == "2: food 4, road 4"
    assert lines["unlabelled"] == "1 texts"
    assert lines["left"] == "out    1 rows with an empty text"
    embedder = TextEmbedder(
        "triplet", objective_params={"margin": 0.5}, dim=8, lr=0.1, epochs=1, batch_size=4, seed=3
    ).fit([*toy.TEXTS, "more of this"], [*toy.LABELS, ""])
    assert lines["accuracy"] == f"{embedder.held_out_accuracy_:.3f} on held-out texts"
    loaded = textmetric.load("new")
    assert (loaded.transform(toy.TEXTS) == embedder.transform(toy.TEXTS)).all()
    assert not result.stderr.count("%")


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("body,stars\na,x\nb,x\n", (), "texts.csv has one class, 'x' in column 'stars', expe"),
        ("body,stars\na,\nb,\n", (), "texts.csv has no label in column 'stars', expected two"),
        (
            "body,stars\na,x\nb,x\nc,y\n", (),
            "class 'y' of texts.csv has one row, expected two or more: add rows, or leave the cla",
        ),
        (None, ("--lr", "0"), "invalid value for '--lr': 0.0 is not in the range x>0"),
        (None, ("--set", "margin"), "invalid value for '--set': 'margin' is not KEY=VALUE"),
        (None, ("--objective", "tripplet"), "invalid value for '--objective': unknown objective"),
        (None, ("--set", "margin=-1", "--objective", "triplet"), "--set margin is -1"),
        (None, ("--device", "tpu"), "--device is 'tpu'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_in_the_words_of_the_options(
    content: str | None, options: tuple[str, ...], said: str, here: Path
) -> None:
    if content is not None:
        Path("texts.csv").write_text(content)
    result = CliRunner().invoke(group, [*TABLE, *options])
    assert result.exit_code == 2, result.exception
    assert result.stderr.startswith(f"error: {said}")
    assert result.stderr.count("\n") == 1
    assert not Path("new").exists()


def test_a_folder_that_is_no_model_is_never_replaced(here: Path) -> None:
    Path("new").mkdir()
    Path("new/notes.txt").write_text("mine")
    assert error(*TABLE) == (
        "new exists and is not a saved model: choose another folder, or empty it"
    )
    assert Path("new/notes.txt").read_text() == "mine"

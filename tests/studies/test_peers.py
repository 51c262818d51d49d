from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studies import peers
from tests.pipeline.test_stages import write_table
from textmetric.encoders import TextVectors
from textmetric.errors import UserError


def study(tmp_path: Path, options: str = "") -> str:
    table = tmp_path / "few.csv"
    write_table(table, "label", 120, seed=0)
    words = "apple 1 0 0\nbread .9 .1 0\ncar 0 1 0\ntune 0 0 1\n"
    (tmp_path / "words.vec").write_text(words)
    given = (
        f"--corpus {table} --vectors {tmp_path}/words.vec --budgets 4 --draws 2 --draws-of-all 1 "
        f"--results {tmp_path}/results --out {tmp_path}/out {options}"
    )
    peers.main(peers._parser().parse_args(given.split()))
    return (tmp_path / "out" / "few-labels.md").read_text()


def test_all_ways_learn_from_the_same_rows_and_only_those_are_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[list[str]] = []

    def vectors(texts: list[str], name: str, *, progress: bool) -> TextVectors:
        encoded.append(texts)
        return TextVectors(np.random.default_rng(0).normal(size=(len(texts), 4)).astype(np.float32))

    monkeypatch.setattr(peers, "sentence_vectors", vectors)
    monkeypatch.setattr(peers, "DIM", 2)
    text = study(tmp_path)
    head, _, four, every = [line for line in text.splitlines() if line.startswith("|")]
    assert head.count(" | ") == 6
    assert four.count(" ± ") == 6  # two draws of each way
    assert every.count(" ± ") == 0
    assert text.count("- 4 rows a class: given vectors, unlabelled texts − sentence vectors") == 1
    # the test part and at most 2 draws of 4 rows of each of the 3 classes
    assert len(encoded) == 1
    assert len(encoded[0]) == len(set(encoded[0])) < 60
    assert study(tmp_path) == text
    assert len(encoded) == 1


def test_a_mistake_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--budgets must be at least 2 rows a class"):
        study(tmp_path, "--budgets 1")
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"--model2vec needs the package model2vec: .* '\.\[peers\]'"
    ):
        study(tmp_path, "--model2vec")

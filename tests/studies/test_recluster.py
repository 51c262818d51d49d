from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studies import recluster
from tests.pipeline.test_stages import write_table
from textmetric.errors import UserError


def study(folder: Path, options: str = "") -> str:
    table = folder / "few.csv"
    write_table(table, "label", 200, seed=0)
    given = (
        f"--corpora {table} --shares .2 --seeds 0 1 --results {folder}/results --out {folder} "
        f"{options}"
    )
    recluster.main(recluster._parser().parse_args(given.split()))
    return (folder / "recluster-study.md").read_text()


def test_every_way_has_a_row_no_correction_is_violated_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = study(tmp_path, "--start tfidf")
    first = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines()]
    for way in ("old clusters", *recluster.PEERS, recluster.OURS, "ask", "random"):
        assert way in first
    assert "Violated corrections: 0." in text
    for name in ("one_share", "in_turns"):
        monkeypatch.setattr(recluster, name, None)
    assert study(tmp_path, "--start tfidf") == text


@pytest.mark.parametrize("way", ["COP-KMeans", "PCK-means"])
def test_corrected_rows_of_a_class_are_together_and_those_of_two_are_apart(way: str) -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 3
    rows = np.eye(3)[classes] * 4 + rng.normal(size=(60, 3))
    known = np.arange(0, 60, 4)
    found = recluster.PEERS[way](rows, known, classes[known], 4, 0)
    of_class = [set(found[known][classes[known] == each].tolist()) for each in range(3)]
    assert [len(each) for each in of_class] == [1, 1, 1]
    assert len(set.union(*of_class)) == 3


def test_only_rows_that_nobody_corrected_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    agreement = recluster.agreement

    def counted(labels: np.ndarray, clusters: np.ndarray) -> object:
        measured.append(len(labels))
        return agreement(labels, clusters)

    monkeypatch.setattr(recluster, "agreement", counted)
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 4
    vectors = (np.eye(4)[labels] + rng.normal(size=(100, 4)) / 4).astype(np.float32)
    recluster.one_share(vectors, labels[::-1].copy(), labels, 0.3, seed=1)
    assert measured == [70] * (len(recluster.PEERS) + 2)


def test_a_mistake_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--shares is"):
        study(tmp_path, "--shares 2")
    with pytest.raises(UserError, match="--seeds is"):
        study(tmp_path, "--seeds 1 1")

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studies import recluster as program
from studies import recluster_jobs as recluster
from studies import recluster_page
from tests.pipeline.test_stages import write_table
from textmetric.errors import UserError


def study(folder: Path, options: str = "") -> str:
    table = folder / "few.csv"
    write_table(table, "label", 200, seed=0)
    given = (
        f"--corpora {table} --shares .05 .2 --seeds 0 1 2 --results {folder}/results "
        f"--out {folder} {options}"
    )
    program.main(program._parser().parse_args(given.split()))
    return (folder / "recluster-study.md").read_text()


def made(seed: int = 1) -> recluster.Case:
    labels = np.arange(100) % 4
    noise = np.random.default_rng(0).normal(size=(100, 4)) / 4
    vectors = (np.eye(4)[labels] + noise).astype(np.float32)
    return recluster.Case(vectors, labels, labels[::-1].copy(), seed)


def test_every_way_has_a_row_no_correction_is_violated_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmetric.embedder.LEARNING_RATES", (0.05,))  # a choice of one is quick
    monkeypatch.setattr(recluster, "TURNS", 2)
    text = study(tmp_path)
    first = {line.split(" | ")[0].removeprefix("| ") for line in text.splitlines()}
    peers = {**recluster.CLASSIFIERS, **recluster.CONSTRAINED}
    ways = {recluster.OLD, recluster.KMEANS, recluster.OURS, *peers}
    assert (
        ways | {*recluster.OBJECTIVES, recluster.NONE, recluster.TUNED, *recluster.PARTS} <= first
    )
    assert "Violated corrections in 24 runs: 0." in text  # of two starts: two shares, two turns
    # where the old clusters are those, they have no second row
    assert text.count(f"\n| {recluster.KMEANS} |") == 2
    for name in ("shares", "turns"):
        with Image.open(tmp_path / f"recluster-study-{name}.png") as picture:
            assert min(picture.size) > 200
    for name in ("one_share", "of_peers", "in_turns", "with_objectives", "without_parts", "kmeans"):
        monkeypatch.setattr(recluster, name, None)
    assert study(tmp_path) == text


@pytest.mark.parametrize("way", ["COP-KMeans", "PCK-means"])
def test_corrected_rows_of_a_class_are_together_and_those_of_two_are_apart(way: str) -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 3
    rows = np.eye(3)[classes] * 4 + rng.normal(size=(60, 3))
    known = np.arange(0, 60, 4)
    found = recluster.CONSTRAINED[way](rows, known, classes[known], 4, 0)
    of_class = [set(found[known][classes[known] == each].tolist()) for each in range(3)]
    assert [len(each) for each in of_class] == [1, 1, 1]
    assert len(set.union(*of_class)) == 3


def test_only_rows_that_nobody_corrected_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(
        recluster.Case, "scores", lambda case, clusters, rows: measured.append(rows)
    )
    case = made()
    recluster.one_share(case, 0.3)
    recluster.of_peers(case, 0.3)
    known, others = case.drawn(0.3)
    assert len(known) == 30
    assert np.union1d(known, others).tolist() == list(range(100))
    for rows in measured:
        assert rows.tolist() == others.tolist()


@pytest.mark.parametrize("how", ["ask", "random"])
def test_no_turn_corrects_the_rows_that_turns_are_measured_on(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrected, measured = list[Any](), list[Any]()
    turn, scores = recluster.Case.turn, recluster.Case.scores

    def turned(case: recluster.Case, known: Any, *given: Any, **settings: Any) -> Any:
        corrected.append(known)
        return turn(case, known, *given, **settings)

    def scored(case: recluster.Case, clusters: Any, rows: Any) -> Any:
        measured.append(rows)
        return scores(case, clusters, rows)

    monkeypatch.setattr(recluster.Case, "turn", turned)
    monkeypatch.setattr(recluster.Case, "scores", scored)
    monkeypatch.setattr(recluster, "TURNS", 3)
    found = recluster.in_turns(made(), how)
    assert [len(rows) for rows in corrected] == [1, 2, 3]
    assert all(set(few) < set(more) for few, more in itertools.pairwise(corrected))
    assert len(found["scores"]) == len(measured) == 4
    for rows in measured:
        assert len(rows) == 20
        assert not set(rows.tolist()) & set(corrected[-1].tolist())


def test_holm_adjusts_as_its_definition_says() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    adjusted = recluster_page.holm(p.tolist())
    for place, value in enumerate(p):
        smaller = sorted(each for each in p if each <= value)
        factors = [(len(p) - rank) * each for rank, each in enumerate(smaller)]
        assert adjusted[place] == pytest.approx(min(1, max(factors)))
    with_gap = recluster_page.holm([0.02, float("nan"), 0.03])
    assert with_gap[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(with_gap[1])


def test_differences_are_paired_by_seed() -> None:
    values = pd.DataFrame(
        [
            {"corpus": "c", "start": "vectors", "seed": seed, "job": "parts", "way": way}
            | {"measure": measure, "value": value}
            for seed, (one, other) in enumerate([(0.5, 0.4), (0.8, 0.6), (0.3, 0.0)])
            for measure in ("ari", "ami")
            for way, value in (("one", one), ("other", other))
        ]
    )
    shuffled = values.sample(len(values), random_state=0)
    found = recluster_page.compared(shuffled, "parts", [("one", "other")])
    assert found["mean"].tolist() == pytest.approx([0.2, 0.2])
    once = pd.concat([values[values["measure"] == "ari"]])
    alone = recluster_page.compared(once, "parts", [("one", "other")])
    assert found["p"].tolist() == pytest.approx([2 * alone["p"][0]] * 2)


def test_a_mistake_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--shares is"):
        study(tmp_path, "--shares 2")
    with pytest.raises(UserError, match="--seeds is"):
        study(tmp_path, "--seeds 1 1")

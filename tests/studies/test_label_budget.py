from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies import label_budget
from studies.few_labels import Job
from studies.label_budget import crossing, crossing_interval
from tests.pipeline.test_stages import write_table
from textmetric.encoders import TextVectors
from textmetric.encoders.pretrained import Pretrained
from textmetric.text import TokenizedCorpus


def test_a_crossing_is_interpolated_over_the_logarithm_of_the_rows() -> None:
    assert crossing([2, 4, 8], np.array([1.0, -1.0, -3.0])) == pytest.approx(2 * math.sqrt(2))
    assert crossing([2, 8, 32], np.array([-3.0, 1.0, 2.0])) == pytest.approx(2 * 4**0.75)
    assert crossing([2, 4, 8], np.array([1.0, 0.5, -0.5])) == pytest.approx(4 * math.sqrt(2))
    assert math.isnan(crossing([2, 4, 8], np.array([1.0, 2.0, 3.0])))
    # the first of several
    assert crossing([2, 4, 8, 16], np.array([1.0, -1.0, 1.0, -1.0])) < 4


def test_the_interval_of_a_crossing_resamples_whole_draws() -> None:
    budgets = [2, 4, 8]
    sure = np.tile([1.0, -1.0, -2.0], (5, 1))
    point, low, high = crossing_interval(budgets, sure)
    assert low == high == pytest.approx(point) == pytest.approx(2 * math.sqrt(2))
    never = np.tile([1.0, 1.0, 1.0], (5, 1))
    point, low, high = crossing_interval(budgets, never)
    assert math.isnan(point)
    assert low == high == math.inf
    # in half of the draws there is none, so that many resamples have none
    mixed = np.array([[1.0, -1.2, -2.0], [1.0, 1.1, 1.2], [1.0, -1.0, -2.0], [1.0, 1.0, 1.5]])
    point, low, high = crossing_interval(budgets, mixed)
    assert 2 < low < point < 8
    assert high == math.inf


def test_the_learning_rate_of_a_cell_is_chosen_by_its_measure_on_validation() -> None:
    places = pd.DataFrame(
        [
            {"start": "random", "family": "metric learning", "budget": 8, "draw": draw, "lr": lr}
            for lr in (0.01, 0.1)
            for draw in (0, 1)
        ]
        + [{"start": "TF-IDF", "family": "TF-IDF", "budget": 8, "draw": 0, "lr": 0.0}]
    )
    results = [
        {"accuracy": a, "map_at_r": m, "validation_accuracy": va, "validation_map_at_r": vm}
        for a, m, va, vm in [(1, 2, 0.9, 0.1), (3, 4, 0.9, 0.1), (5, 6, 0.1, 0.9), (7, 8, 0.1, 0.9)]
    ] + [{"accuracy": 9, "map_at_r": 10}]
    found = label_budget._chosen(places, results)
    values = found.groupby(["start", "measure"])["value"].agg(list).to_dict()
    assert values == {
        ("random", "accuracy"): [1, 3],
        ("random", "map_at_r"): [6, 8],
        ("TF-IDF", "accuracy"): [9],
        ("TF-IDF", "map_at_r"): [10],
    }


def test_the_study_runs_resumes_and_writes_a_table_with_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "few.csv", "label", 150, seed=0)
    values = np.random.default_rng(0).normal(size=(6, 4)).tolist()
    words = zip(["apple", "bread", "car", "bus", "tune", "drum"], values, strict=True)
    (tmp_path / "words.vec").write_text(
        "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in words)
    )
    arguments = label_budget._parser().parse_args(
        f"--corpus {tmp_path}/few.csv --budgets 2 8 --draws 0 1 --lr 0.03 0.1 --dim 4 "
        f"--vectors {tmp_path}/words.vec --frozen some-encoder --steps 30 --unlabelled "
        f"--results {tmp_path}/r --out {tmp_path}/out".split()
    )  # fmt: skip
    encoded: list[Sequence[str]] = []

    def encode(texts: Sequence[str], name: str, **kwargs: object) -> TextVectors:
        encoded.append(texts)
        rng = np.random.default_rng(0)
        return TextVectors(rng.normal(size=(len(texts), 5)).astype(np.float32), name)

    monkeypatch.setattr("studies.inputs.sentence_vectors", encode)
    monkeypatch.setattr("studies.inputs.find", lambda name: Pretrained(name, tmp_path))
    label_budget.main(arguments)
    assert [len(texts) for texts in encoded] == [150]
    text = (tmp_path / "out" / "label-budget.md").read_text()
    for start in ("random", "given vectors", "random, pre-trained", "given vectors, pre-trained"):
        assert text.count(f"| {start} | classification |") == 2
        assert text.count(f"| {start} | metric learning |") == 2
    assert text.count("| frozen | classification |") == 2
    assert "| frozen, pre-trained |" not in text
    assert text.count("| frozen | untrained |") == 2
    assert text.count("| TF-IDF | TF-IDF |") == 2
    assert "-1.0" not in text  # no training failed
    assert (tmp_path / "out" / "label-budget.png").stat().st_size > 1000
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "r" / "budget").iterdir()}

    def never(function: object, jobs: list[object], **how: object) -> None:
        assert jobs == []

    monkeypatch.setattr("studies.few_labels.parallel.run", never)
    label_budget.main(arguments)
    assert len(encoded) == 1
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert (tmp_path / "out" / "label-budget.md").read_text() == text


def test_few_rows_are_seen_in_more_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "few.csv", "label", 400, seed=0)
    seen: dict[int, set[int]] = {}

    class DoneError(Exception):
        pass

    def look(jobs: Sequence[Job], results: Path) -> None:
        for job in (job for job in jobs if job.family):
            rows = len(TokenizedCorpus.load(job.corpus).train)
            seen.setdefault(rows, set()).add(job.settings.epochs)
        raise DoneError

    monkeypatch.setattr(label_budget, "run_jobs", look)
    with pytest.raises(DoneError):
        label_budget.main(
            label_budget._parser().parse_args(
                f"--corpus {tmp_path}/few.csv --budgets 2 --draws 0 --lr 0.1 --dim 4 --steps 30 "
                f"--results {tmp_path}".split()
            )
        )
    # 64 rows are a step; the epochs are at least the ten of params.yaml
    assert seen == {6: {30}, 288: {10}}

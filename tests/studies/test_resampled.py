"""The verdicts of a run, over several splits of its corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studies import resampled
from tests.report.fake_study import KEYS, SPLITS, change, write_study
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import ARMS, Layout
from textmetric.measures import paired_difference
from textmetric.splits import write_entries
from textmetric.yaml12 import flow, read_yaml

ROOT = Path(__file__).parents[2]
MOVES = (0.0, 0.02, -0.03, 0.01)
"""What MAP@R of metric learning is more in each run; it is .1 better than classification."""


def write_run(folder: Path, seed: int, moved: float) -> None:
    write_study(folder, [0, 1, 2])
    layout = Layout(folder)
    write_entries(layout.splits, {KEYS[name]: SPLITS[name] for name in SPLITS})
    params: dict[str, Any] = read_yaml(ROOT / "params.yaml", "")
    params["data"] |= {"seed": seed}
    (folder / "params.yaml").write_text(flow(params))
    for role in ("target", "source"):
        parts = ["train"] * 4 + ["test"]
        texts = [f"text {(row + seed) % 5}" for row in range(5)]
        layout.corpus(role).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"text": texts, "label": "a", "split": parts}).to_parquet(layout.corpus(role))
        summary = layout.summary(role)
        write_json(summary, read_json(summary) | {"train_rows": 40, "test_rows": 10})
    for split in SPLITS:
        for arm in ARMS:
            if arm.family == "metric":
                found = read_json(layout.record(arm, KEYS[split]))["per_seed"]
                values = [value + moved for value in found["map_at_r"]]
                change(folder, split, arm, per_seed=found | {"map_at_r": values})


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / f"split-{seed}" for seed in range(len(MOVES))]
    for seed, folder in enumerate(folders):
        write_run(folder, seed, MOVES[seed])
    return folders


def program(tmp_path: Path, folders: list[Path]) -> str:
    words = [*map(str, folders), "--out", str(tmp_path)]
    resampled.main(resampled.parser().parse_args(words))
    return (tmp_path / "resampled.md").read_text()


def test_the_interval_over_splits_is_that_of_the_corrected_test(
    tmp_path: Path, runs: list[Path]
) -> None:
    found = {
        each.use: each for each in resampled.answers([resampled.read_run(run) for run in runs])
    }
    answer = found["retrieval, 3 classes"]
    assert answer.paired.mean == pytest.approx(0.1 + np.mean(MOVES))
    # by the formula, with 10 test rows for 40 train rows, and corrected for the number of uses
    d = 0.1 + np.array(MOVES)
    t = d.mean() / (d.std(ddof=1) * np.sqrt(1 / 4 + 10 / 40))
    alone = paired_difference(d, np.zeros(4), test_to_train=0.25)
    assert alone.mean / (alone.high - alone.mean) == pytest.approx(t / 3.182446305284264)
    tested = sum(not np.isnan(each.paired.p) for each in found.values())
    assert answer.paired.p == pytest.approx(min(1, alone.p * tested))
    text = program(tmp_path, runs)
    assert "| retrieval, 3 classes | +0.100 [" in text
    assert "4 × metric better |" in text
    assert "(40 train, 10 test rows)" in text
    assert (tmp_path / "resampled.png").stat().st_size > 5_000


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, runs: list[Path]) -> None:
    with pytest.raises(UserError, match="give 3 different folders or more"):
        program(tmp_path, runs[:2])
    with pytest.raises(UserError, match="give 3 different folders or more"):
        program(tmp_path, [runs[0], *runs[:2]])
    params = read_yaml(runs[2] / "params.yaml", "")
    (runs[2] / "params.yaml").write_text(flow(params | {"data": params["data"] | {"seed": 0}}))
    with pytest.raises(UserError, match=r"same data.seed \(\[0, 1, 0, 3\]\)"):
        program(tmp_path, runs)
    (runs[2] / "params.yaml").write_text(flow(params | {"seeds": [0, 1]}))
    with pytest.raises(UserError, match=r"differ in more than data\.seed"):
        program(tmp_path, runs)
    (runs[2] / "params.yaml").write_text(flow(params))
    first, other = (Layout(run).corpus("source") for run in (runs[0], runs[2]))
    other.write_bytes(first.read_bytes())
    with pytest.raises(UserError, match=r"the source of .* has the same test part"):
        program(tmp_path, runs)

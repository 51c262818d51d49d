from __future__ import annotations

from pathlib import Path

import pytest

from studies import starts
from tests.report.fake_study import KEYS, SPLITS, change, write_study
from textmetric.errors import UserError
from textmetric.files import read_json
from textmetric.grid import ARMS, Layout
from textmetric.splits import write_entries
from textmetric.yaml12 import flow, read_yaml

ROOT = Path(__file__).parents[2]


def write_run(folder: Path, seeds: list[int], **model: object) -> None:
    write_study(folder, seeds)
    write_entries(folder / "data" / "splits", {KEYS[name]: SPLITS[name] for name in SPLITS})
    params = read_yaml(ROOT / "params.yaml", "")
    params["model"] |= model
    (folder / "params.yaml").write_text(flow(params))


def text_of(folder: Path, *runs: str) -> str:
    starts.main(starts._parser().parse_args([*runs, "--out", str(folder)]))
    return (folder / "starts.md").read_text()


def test_a_verdict_that_another_start_turns_is_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name, [0, 1, 2], **({"dim": 8} if name == "two" else {}))
    for arm in ARMS:  # metric learning, which is .1 better, is now .1 worse
        path = Layout(tmp_path / "two").record(arm, KEYS["target"])
        found = read_json(path)["per_seed"]
        moved = -0.2 if arm.family == "metric" else 0
        values = [value + moved for value in found["map_at_r"]]
        change(tmp_path / "two", "target", arm, per_seed=found | {"map_at_r": values})
    text = text_of(tmp_path, f"one={tmp_path}/one", f"two={tmp_path}/two")
    (said,) = [line for line in text.splitlines() if line.startswith("- From **two**")]
    assert "retrieval, 3 classes (metric better → classification better)" in said
    assert "retrieval, 30 classes" not in said
    row, means = (line for line in text.splitlines() if line.startswith("| retrieval, 3 classes |"))
    assert "| my target | **metric better** +0.100" in row
    assert "| **classification better** -0.100" in row
    # classification, metric learning, untrained, from either start; then TF-IDF
    assert "| 0.550 / 0.650 / 0.150 | 0.550 / 0.450 / 0.150 | 0.300 |" in means
    assert "**two**: `{model: {dim: 8}}`" in text


def test_runs_that_differ_in_more_than_the_encoder_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "one", [0, 1, 2])
    write_run(tmp_path / "two", [0, 1, 2, 3])
    with pytest.raises(UserError, match="one and two differ in their seeds"):
        text_of(tmp_path, f"one={tmp_path}/one", f"two={tmp_path}/two")
    with pytest.raises(UserError, match="another name"):
        text_of(tmp_path, f"one={tmp_path}/one", f"one={tmp_path}/two")
    with pytest.raises(UserError, match="no name and folder"):
        text_of(tmp_path, f"{tmp_path}/one")

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.measures import summarise
from textmetric.report.costs import write_costs
from textmetric.report.results import write_results

ARMS = ["cls_shuffled", "cls_balanced", "metric_shuffled", "metric_balanced"]
SPLITS = {"target": "target", "target-scarce-1": "target", "source": "source"}
KEYS = [
    "knn_accuracy",
    "centroid_accuracy",
    "cohesion",
    "between_class_cosine",
    "gap",
    "recall_at_1",
    "recall_at_10",
    "recall_at_100",
    "r_precision",
    "map_at_r",
]
SCARCE = ["scarce_cohesion", "scarce_map_at_r", "scarce_recall_at_1", "scarce_among_cosine"]


def record(split: str, arm: str, seeds: list[int]) -> dict[str, Any]:
    rng = np.random.default_rng([len(split), ARMS.index(arm)])
    classes = 30 if split == "source" else 3
    scarce = {"target": [], "target-scarce-1": [1], "source": list(range(10))}[split]
    keys = [*KEYS, *(["head_accuracy"] if "cls" in arm else []), *(SCARCE if scarce else [])]
    # the metric arms are exactly 0.1 better in MAP@R with every seed
    map_at_r = np.linspace(0.5, 0.6, len(seeds)) + (0.1 if "metric" in arm else 0)
    flat = [
        {key: float(map_at_r[place]) if key == "map_at_r" else float(rng.random()) for key in keys}
        for place in range(len(seeds))
    ]
    if split == "target-scarce-1":
        for one in flat:
            one["scarce_among_cosine"] = float("nan")
    cohesion = rng.random((len(seeds), classes))
    cohesion[:, 0] = np.nan if split == "source" else cohesion[:, 0]
    return {
        "split": split,
        "arm": arm,
        "seeds": seeds,
        "label_names": [f"label|{number}" for number in range(classes)],
        "train_rows": [100 + number for number in range(classes)],
        "scarce": scarce,
        "counts": {"train_rows": 1234, "test_rows": 567, "empty_rows": 8, "leaked_rows": 9},
        "per_seed": {key: [one[key] for one in flat] for key in keys},
        "interval": summarise(flat),
        "per_class": {"cohesion": cohesion},
    }


def write_study(root: Path, seeds: list[int]) -> None:
    for role in ("target", "source"):
        rows = {f"{part}_rows": 10 for part in ("train", "validation", "test", "leaked")}
        write_json(
            root / f"data/raw/{role}/summary.json", {"name": f"my {role}", "classes": 3, **rows}
        )
    for family, name in (("classification", "cross_entropy"), ("metric", "triplet")):
        values = {"margin": 0.2} if name == "triplet" else {}
        write_json(root / f"data/objectives/{family}.json", {"name": name, "parameters": values})
    for split in SPLITS:
        for arm in ARMS:
            write_json(root / f"data/measures/{split}/{arm}.json", record(split, arm, seeds))
            curve = pd.DataFrame(
                [(seed, epoch, 1 / epoch, 0.5, 0.6) for seed in seeds for epoch in (1, 2)],
                columns=["seed", "epoch", "loss", "active_fraction", "validation_map_at_r"],
            )
            path = root / f"data/curves/{split}/{arm}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            curve.to_csv(path, index=False)
            cost = {"epoch_seconds": [1.0, 0.5], "peak_mib": 300.0}
            write_json(
                root / f"data/costs/{split}/{arm}.json",
                {"seeds": [{"seed": seed, **cost} for seed in seeds], "wall_seconds": 3.0},
            )
    (root / "data/finetune").mkdir(parents=True)
    for init, accuracy in (("cls", 0.7), ("metric", 0.8), ("scratch", 0.6)):
        rows = [
            (init, tuning, seed, epoch, 1.0, 1.0, 0.5, accuracy if epoch == 2 else None)
            for tuning in ("frozen", "finetuned")
            for seed in seeds
            for epoch in (1, 2)
        ]
        columns = (
            "init tuning seed epoch train_loss validation_loss validation_accuracy test_accuracy"
        )
        pd.DataFrame(rows, columns=columns.split()).to_csv(
            root / f"data/finetune/{init}.csv", index=False
        )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_study(root, [0, 1, 2])
    write_results(root, splits=SPLITS, arms=ARMS)
    return root


def text_of(root: Path) -> str:
    return (root / "reports" / "results.md").read_text(encoding="utf-8")


def test_every_picture_that_the_page_shows_is_there(study: Path) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text_of(study))
    drawn = [path for path in shown if path.startswith("figures/")]
    # measures of each role, the transfer, and the curves of each split
    assert len(drawn) == 2 + 1 + len(SPLITS)
    assert len(shown) == len(drawn) + len(SPLITS)  # and a t-SNE picture a split
    for path in drawn:
        assert (study / "reports" / path).read_bytes().startswith(b"\x89PNG")


def test_every_table_has_rows_of_one_length(study: Path) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", text_of(study), re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block


def test_means_stand_with_their_intervals_and_differences_are_paired(study: Path) -> None:
    text = text_of(study)
    # MAP@R .5 .55 .6: sd .05, t(.975, 2) = 4.303, half = 4.303 · .05 / √3 = .124
    assert "| MAP@R ↑ | 0.550 ± 0.124 | 0.550 ± 0.124 | 0.650 ± 0.124 | 0.650 ± 0.124 |" in text
    # the seeds differ, the pairs do not: the interval of the difference has no width
    assert "| MAP@R ↑ | +0.100 [+0.100, +0.100] | +0.100 [+0.100, +0.100] |" in text


def test_few_labels_have_a_row_each_and_many_their_statistics(study: Path) -> None:
    target, scarce, source = re.split(r"^## (?:target|source).*$", text_of(study), flags=re.M)[1:]
    assert "| label\\|2 | 102 |" in target
    assert "**label\\|1** (scarce)" in scarce
    assert "third quartile" in source
    assert "label" not in source.split("### Cohesion by label")[1].split("### Pictures")[0]


def test_scarce_labels_have_tables_only_where_there_are_some(study: Path) -> None:
    target, scarce, source = re.split(r"^## (?:target|source).*$", text_of(study), flags=re.M)[1:]
    assert "### Scarce labels" not in target
    assert "Scarce: label|1 (101 train rows)." in scarce
    assert "cosine among the scarce labels" not in scarce  # one label has no other
    assert "Scarce: 10 labels, the rarest by train rows." in source


def test_the_transfer_table_reads_the_last_epoch(study: Path) -> None:
    assert "| metric learning | 0.800 ± 0.000 | 0.800 ± 0.000 |" in text_of(study)


def test_the_same_input_gives_the_same_bytes(study: Path) -> None:
    files = [path for path in (study / "reports").rglob("*.*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    write_results(study, splits=SPLITS, arms=ARMS)
    assert {path: path.read_bytes() for path in files} == before


def test_one_seed_has_no_intervals_and_says_so(tmp_path: Path) -> None:
    write_study(tmp_path, [7])
    write_results(tmp_path, splits=SPLITS, arms=ARMS)
    assert "One seed only" in text_of(tmp_path)
    assert "±" not in text_of(tmp_path)


def test_one_arm_alone_has_no_differences(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    write_results(tmp_path, splits={"target": "target"}, arms=["metric_balanced"])
    assert "no pair of arms" in text_of(tmp_path)


def test_many_classes_without_any_cohesion_have_dashes(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    for arm in ARMS:
        path = tmp_path / f"data/measures/source/{arm}.json"
        unknown = np.full((2, 30), np.nan)
        write_json(path, read_json(path) | {"per_class": {"cohesion": unknown}})
    write_results(tmp_path, splits={"source": "source"}, arms=ARMS)
    assert "| metric learning, balanced | – | – | – | – | – | – | – |" in text_of(tmp_path)


def test_a_missing_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    (tmp_path / "data/curves/target/cls_shuffled.csv").unlink()
    with pytest.raises(UserError, match=r"cls_shuffled\.csv is missing: run the stage"):
        write_results(tmp_path, splits=SPLITS, arms=ARMS)
    (tmp_path / "data/measures/target/cls_shuffled.json").unlink()
    with pytest.raises(UserError, match=r"cls_shuffled\.json is missing: run the stage"):
        write_results(tmp_path, splits=SPLITS, arms=ARMS)
    assert not (tmp_path / "reports").exists()


def test_names_from_the_data_are_not_taken_for_markdown(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    for arm in ARMS:
        path = tmp_path / f"data/measures/target/{arm}.json"
        write_json(path, read_json(path) | {"label_names": ["__init__", "<b>", "x\ny"]})
    write_results(tmp_path, splits={"target": "target"}, arms=ARMS)
    rows = [line.split(" | ")[0] for line in text_of(tmp_path).splitlines()]
    assert {r"| \_\_init\_\_", r"| \<b\>", "| x y"} <= set(rows)


def test_only_the_splits_and_arms_asked_for_are_read(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    (tmp_path / "data/measures/source/cls_shuffled.json").write_text("damaged")
    arms = ["cls_shuffled", "metric_shuffled"]
    write_results(tmp_path, splits={"target": "target"}, arms=arms)
    assert "balanced" not in text_of(tmp_path)
    assert "my source" not in text_of(tmp_path)


def test_figures_of_a_split_that_is_gone_go_too(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    stale = tmp_path / "reports" / "figures" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    write_results(tmp_path, splits={"target": "target"}, arms=ARMS)
    assert not stale.exists()


def test_a_record_of_another_version_is_named_with_the_key_it_lacks(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    path = tmp_path / "data/measures/target/cls_balanced.json"
    write_json(path, {"seeds": [0, 1]})
    with pytest.raises(UserError, match=r"cls_balanced\.json lacks 'label_names': run stage"):
        write_results(tmp_path, splits=SPLITS, arms=ARMS)


def test_arms_of_other_seeds_cannot_be_paired(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    path = tmp_path / "data/measures/target/metric_shuffled.json"
    write_json(path, read_json(path) | {"seeds": [0, 7]})
    with pytest.raises(UserError, match=r"has the seeds \[0, 7\], but cls_shuffled has \[0, 1\]"):
        write_results(tmp_path, splits=SPLITS, arms=ARMS)


def test_costs_tell_seconds_and_memory_of_every_arm(study: Path) -> None:
    write_costs(study, splits=list(SPLITS), arms=ARMS)
    text = (study / "reports" / "costs.md").read_text()
    assert "| source | metric learning, balanced | 1.50 ± 0.00 | 3.0 | 300 |" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 12

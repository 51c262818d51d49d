"""What the stages leave of a small study, without running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from textmetric.files import write_arrays, write_json
from textmetric.measures import summarise
from textmetric.params import Split, Train
from textmetric.report.study import Study, read_study
from textmetric.splits import cells

ARMS = ["cls_shuffled", "cls_balanced", "metric_shuffled", "metric_balanced"]
SAMPLERS = ["shuffled", "balanced"]
SPLITS = {
    "target": Split(role="target"),
    "target-scarce-1": Split(role="target", scarce=[1], keep=0.1),
    "source": Split(role="source", rare=10),
    "source-open": Split(role="source", open=0.5),
}
CELLS = cells(SPLITS)
PLAIN = [
    "cohesion",
    "between_class_cosine",
    "gap",
    "recall_at_1",
    "recall_at_10",
    "recall_at_100",
    "r_precision",
    "map_at_r",
]
ACCURACIES = ["knn_accuracy", "centroid_accuracy"]
SCARCE = [
    "scarce_cohesion",
    "scarce_between_class_cosine",
    "scarce_gap",
    "scarce_map_at_r",
    "scarce_recall_at_1",
    "scarce_knn_accuracy",
    "scarce_among_cosine",
]


def record(split: str, arm: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Random but for MAP@R, in which the metric arms are 0.1 better with every seed."""
    rng = np.random.default_rng([len(split), ARMS.index(arm)])
    classes = 30 if SPLITS[split].role == "source" else 3
    scarce = {"target-scarce-1": [1], "source": list(range(10))}.get(split, [])
    unseen = list(range(15, 30)) if SPLITS[split].open else []
    keys = [*PLAIN, *(SCARCE if scarce else []), *([] if unseen else ACCURACIES)]
    if "cls" in arm and not unseen:
        keys.append("head_accuracy")
    map_at_r = np.linspace(0.5, 0.6, len(seeds)) + (0.1 if "metric" in arm else 0)
    flat = [
        {
            key: float(map_at_r[place]) if key.endswith("map_at_r") else float(rng.random())
            for key in keys
        }
        for place in range(len(seeds))
    ]
    if len(scarce) == 1:
        for one in flat:
            one["scarce_among_cosine"] = float("nan")
    per_class = {
        key: rng.random((len(seeds), classes))
        for key in ("cohesion", "sufficient_cosine", "among_scarce_cosine")
    }
    per_class["cohesion"][:, 0] = np.nan if split == "source" else per_class["cohesion"][:, 0]
    return {
        "split": split,
        "arm": arm,
        "seeds": list(seeds),
        "label_names": [f"label|{number}" for number in range(classes)],
        "train_rows": [100 + number for number in range(classes)],
        "scarce": scarce,
        "unseen": unseen,
        "counts": {"train_rows": 1234, "test_rows": 567, "empty_rows": 8, "leaked_rows": 9},
        "per_seed": {key: [one[key] for one in flat] for key in keys},
        "interval": summarise(flat),
        "per_class": per_class,
    }


def write_study(
    root: Path, seeds: Sequence[int], corpora: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Write ``data/`` of a study; ``corpora`` adds to the summaries of the roles."""
    for role in ("target", "source"):
        rows = {f"{part}_rows": 10 for part in ("train", "validation", "test", "leaked")}
        summary = {"name": f"my {role}", "sample_of": None, "classes": 3, **rows}
        write_json(
            root / f"data/raw/{role}/summary.json", summary | dict((corpora or {}).get(role, {}))
        )
    for family, name in (("classification", "cross_entropy"), ("metric", "triplet")):
        values = {"margin": 0.2} if name == "triplet" else {}
        write_json(root / f"data/objectives/{family}.json", {"name": name, "parameters": values})
    for split in SPLITS:
        for arm in ARMS:
            write_json(root / f"data/measures/{split}/{arm}.json", record(split, arm, seeds))
            # on validation the balanced sampler is the better one for metric learning alone
            best = 0.7 if arm in ("cls_shuffled", "metric_balanced") else 0.6
            curve = pd.DataFrame(
                [(seed, epoch, 1 / epoch, 0.5, best) for seed in seeds for epoch in (1, 2)],
                columns=["seed", "epoch", "loss", "active_fraction", "validation_map_at_r"],
            )
            path = root / f"data/curves/{arm.replace('_', f'/{CELLS[split]}/')}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            curve.to_csv(path, index=False)
            cost = {"epoch_seconds": [1.0, 0.5], "peak_mib": 300.0}
            write_json(
                root / f"data/costs/{arm.replace('_', f'/{CELLS[split]}/')}.json",
                {"seeds": [{"seed": seed, **cost} for seed in seeds], "stage_seconds": 3.0},
            )
    rng = np.random.default_rng(0)
    write_arrays(
        root / "data/tsne/source.npz",
        coordinates=rng.normal(size=(4, 1, 12, 2)).astype(np.float32),
        labels=np.arange(12, dtype=np.int32),
        rows=np.arange(12),
        seeds=np.array(seeds[:1]),
        scarce_coordinates=rng.normal(size=(4, 20, 2)).astype(np.float32),
        scarce_labels=np.repeat(np.arange(10, dtype=np.int32), 2),
    )
    (root / "data/finetune").mkdir(parents=True)
    for init, accuracy in (("cls", 0.7), ("metric", 0.8), ("scratch", 0.6)):
        rows = [
            (init, tuning, tanh, share, seed, epoch, 1.0, 1.0, 0.5, accuracy * share**0.1)
            for tuning in ("frozen", "finetuned")
            for tanh in (True, False)
            for share in (0.1, 1.0)
            for seed in seeds
            for epoch in (1, 2)
        ]
        columns = (
            "init tuning tanh share seed epoch train_loss validation_loss validation_accuracy "
            "test_accuracy"
        )
        frame = pd.DataFrame(rows, columns=columns.split())
        frame.loc[frame["epoch"] == 1, "test_accuracy"] = np.nan  # the test part is read once
        frame.to_csv(root / f"data/finetune/{init}.csv", index=False)


def read(
    root: Path, splits: Sequence[str] = tuple(SPLITS), arms: Sequence[str] = tuple(ARMS)
) -> Study:
    """The study, or a part of its grid."""
    return read_study(
        root,
        splits={name: SPLITS[name] for name in splits},
        arms=list(arms),
        samplers=SAMPLERS,
        train=Train(),
    )

"""What the stages leave of a small study, without running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from textmetric.files import read_json, write_arrays, write_json
from textmetric.grid import ARMS, Arm, Baseline, Family, Layout, Split
from textmetric.measures import summarise
from textmetric.measures.record import ArmRecord
from textmetric.params import Model, Pretrain, SplitEntry, Train
from textmetric.report.names import BY_KEY
from textmetric.report.study import Study, read_study

SAMPLERS = ["shuffled", "balanced"]
SPLITS = {
    "target": SplitEntry(role="target"),
    "target-scarce-1": SplitEntry(role="target", scarce=[1], keep=0.1),
    "source": SplitEntry(role="source", rare=10),
    "source-open": SplitEntry(role="source", open=0.5),
}
KEYS = {name: Split(entry.role, name) for name, entry in SPLITS.items()}
PLAIN = [
    "cohesion",
    "between_class_cosine",
    "gap",
    "recall_at_1",
    "recall_at_10",
    "recall_at_100",
    "r_precision",
    "map_at_r",
    "kmeans_ami",
    "kmeans_ari",
    "verification_auc",
    "verification_eer",
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


def record(split: str, arm: Arm | Baseline, seeds: Sequence[int]) -> ArmRecord:
    """Random except for MAP@R.

    In it the metric arms are 0.1 better with every seed than classification, TF-IDF is 0.2 worse,
    and the untrained encoder 0.4.
    """
    sides = [*ARMS, *Baseline]
    rng = np.random.default_rng([len(split), sides.index(arm)])
    classes = 30 if SPLITS[split].role == "source" else 3
    scarce = {"target-scarce-1": [1], "source": list(range(10))}.get(split, [])
    unseen = list(range(15, 30)) if SPLITS[split].open else []
    keys = [*PLAIN, *(SCARCE if scarce else []), *([] if unseen else ACCURACIES)]
    family = arm.family if isinstance(arm, Arm) else None
    if (family is Family.CLASSIFICATION or arm is Baseline.TFIDF) and not unseen:
        keys.append("head_accuracy")
    above = {Family.METRIC: 0.1, Baseline.TFIDF: -0.2, Baseline.UNTRAINED: -0.4}
    map_at_r = np.linspace(0.5, 0.6, len(seeds)) + above.get(family or arm, 0)
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
    return ArmRecord(
        split=split,
        arm=arm.name if isinstance(arm, Arm) else arm.value,
        seeds=list(seeds),
        label_names=[f"label|{number}" for number in range(classes)],
        train_rows=[0 if number in unseen else 100 + number for number in range(classes)],
        test_rows=[0 if unseen and number not in unseen else 20 for number in range(classes)],
        scarce=scarce,
        held_out=[12, 13, 14] if unseen else [],
        unseen=unseen,
        counts={
            "train_rows": 1234,
            "validation_rows": 123,
            "test_rows": 567,
            "empty_rows": 8,
            "leaked_rows": 9,
        },
        per_seed={key: [one[key] for one in flat] for key in keys},
        validation={key: _validation(arm, key, len(seeds)) for key in keys},
        interval=summarise(flat),
        per_class=per_class,
    )


def _validation(arm: Arm | Baseline, key: str, seeds: int) -> list[float]:
    """On validation, only metric learning gains from the balanced sampler."""
    best = isinstance(arm, Arm) and arm.name in ("cls_shuffled", "metric_balanced")
    return [0.7 if best is BY_KEY[key].large_is_good else 0.6] * seeds


def write_study(
    root: Path, seeds: Sequence[int], corpora: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Write ``data/`` of a study; ``corpora`` adds to the summaries of the roles."""
    layout = Layout(root)
    for role in ("target", "source"):
        rows = {
            f"{part}_rows": 10 for part in ("train", "validation", "test", "leaked", "crossing")
        }
        summary = {"name": f"my {role}", "sample_of": None, "classes": 3, **rows}
        write_json(layout.summary(role), summary | dict((corpora or {}).get(role, {})))
    for family, name in ((Family.CLASSIFICATION, "cross_entropy"), (Family.METRIC, "triplet")):
        values = {"margin": 0.2} if name == "triplet" else {}
        write_json(layout.objective(family), {"name": name, "parameters": values})
    for name, split in KEYS.items():
        for baseline in Baseline:
            drawn = seeds[:1] if baseline is Baseline.TFIDF else seeds
            record(name, baseline, drawn).write(layout.baseline(baseline, split))
        for arm in ARMS:
            record(name, arm, seeds).write(layout.record(arm, split))
            # on validation the balanced sampler is the better one for metric learning alone
            best = 0.7 if arm.name in ("cls_shuffled", "metric_balanced") else 0.6
            curve = pd.DataFrame(
                [(seed, epoch, 1 / epoch, 0.5, best) for seed in seeds for epoch in (1, 2)],
                columns=["seed", "epoch", "loss", "active_fraction", "validation_map_at_r"],
            )
            path = layout.curve(arm, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            curve.to_csv(path, index=False)
            cost = {"epoch_seconds": [1.0, 0.5], "peak_mib": 300.0}
            write_json(
                layout.cost(arm, split),
                {"seeds": [{"seed": seed, **cost} for seed in seeds], "stage_seconds": 3.0},
            )
        for number, family in enumerate(Family):
            rng = np.random.default_rng(number)
            write_arrays(
                layout.map(family, split),
                coordinates=rng.normal(size=(2, 1, 3, 2)).astype(np.float32),
                labels=np.arange(3, dtype=np.int32),
                rows=np.arange(3),
                arms=np.array([arm.name for arm in ARMS if arm.family is family]),
                seeds=np.array(seeds[:1]),
                scarce_coordinates=rng.normal(size=(2, 20, 2)).astype(np.float32),
                scarce_labels=np.repeat(np.arange(10, dtype=np.int32), 2),
            )
    cells = [(0.1, seed) for seed in seeds] + [(1.0, seeds[0])]
    pd.DataFrame(
        [(share, seed, 0.5 * share**0.1) for share, seed in cells],
        columns=["share", "seed", "test_accuracy"],
    ).to_csv(layout.baseline_transfer, index=False)
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


def change(root: Path, split: str, arm: Arm, **values: Any) -> None:
    """Change some keys of a record; None for every key of ``values`` that should be gone."""
    path = Layout(root).record(arm, KEYS[split])
    found = read_json(path) | values
    write_json(path, {key: value for key, value in found.items() if value is not None})


def read(
    root: Path,
    splits: Sequence[str] = tuple(SPLITS),
    arms: Sequence[Arm] = ARMS,
    pretrain: Pretrain | None = None,
    model: Model | None = None,
) -> Study:
    """The study, or a part of its grid."""
    return read_study(
        Layout(root),
        splits={KEYS[name]: SPLITS[name] for name in splits},
        arms=list(arms),
        samplers=SAMPLERS,
        train=Train(),
        model=model or Model(),
        pretrain=pretrain,
    )

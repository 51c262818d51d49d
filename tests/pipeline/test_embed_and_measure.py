from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from textmetric.errors import UserError
from textmetric.files import read_arrays, read_json, write_json
from textmetric.grid import Arm, Family, Layout, Split, Training
from textmetric.measures.record import ArmRecord
from textmetric.pipeline.embed_models import embed_models
from textmetric.pipeline.measure_arms import measure_arms
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

    layout, family = Layout(tmp_path), Family(family)
    split, arm = Split("source", "open"), Arm(family, "balanced")
    open_split.save(layout.split(split))
    write_json(layout.split(split) / "corpus.json", {"leaked_rows": 7})
    model.save(layout.model(Training(arm, split, 0)))
    grid = {"splits": [split], "arms": [arm], "seeds": [0], "progress": False}
    embed_models(layout, family, neighbours=5, **grid)
    arrays = read_arrays(layout.embedding(Training(arm, split, 0)))
    assert set(arrays) == {"embeddings", "labels"}
    measure_arms(layout, family, **grid)
    record = ArmRecord.read(layout.record(arm, split))
    assert (record.split, record.arm, record.seeds) == ("open", arm.name, [0])
    assert record.counts["test_rows"] == 2 * 22
    assert record.counts["leaked_rows"] == 7
    assert not any("accuracy" in key for key in record.interval)
    assert 0 <= record.seeds_of("map_at_r")[0] <= 1
    assert record.classes_of("cohesion").shape == (1, 4)
    assert record.unseen == [2, 3]
    metrics = read_json(layout.metric(arm, split))
    assert metrics["map_at_r"] == record.seeds_of("map_at_r")[0]
    assert metrics["test_rows"] == 2 * 22


def test_a_record_that_lacks_a_key_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "balanced.json", {"split": "open"})
    with pytest.raises(UserError, match=r"balanced\.json lacks 'arm': run stage evaluate again"):
        ArmRecord.read(tmp_path / "balanced.json")

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from textmetric.errors import UserError
from textmetric.files import read_arrays, read_json, write_json
from textmetric.grid import Arm, Family, Layout, Split, Training, trainings
from textmetric.measures import evaluate, knn_predict
from textmetric.measures.record import ArmRecord
from textmetric.model import TrainedModel
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


@pytest.mark.parametrize("family", Family)
def test_every_cell_is_embedded_predicted_and_measured_by_its_own_model(
    family: Family, tmp_path: Path
) -> None:
    layout, seeds = Layout(tmp_path), [3, 4]
    splits = [Split("target", "one"), Split("source", "two")]
    arms = [Arm(family, "balanced"), Arm(family, "shuffled")]
    cells = trainings(arms, splits, seeds)
    parts = {
        split: replace(tiny.corpus(20 + 10 * place, seed=place), scarce=[place])
        for place, split in enumerate(splits)
    }
    for place, (split, data) in enumerate(parts.items()):
        data.save(layout.split(split))
        write_json(layout.split(split) / "corpus.json", {"leaked_rows": place})
    for cell in cells:
        model, _, _ = tiny.trained(
            family, data=parts[cell.split], sampler=cell.arm.sampler, seed=cell.seed, epochs=1
        )
        model.save(layout.model(cell))
    grid = {"splits": splits, "arms": arms, "seeds": seeds, "progress": False}
    embed_models(layout, family, neighbours=3, **grid)
    measure_arms(layout, family, **grid)
    for cell in cells:
        data, model = parts[cell.split], TrainedModel.load(layout.model(cell))
        embeddings = model.embed(data.test.tokens)
        predictions = {
            "knn": knn_predict(model.embed(data.train.tokens), data.train.labels, embeddings, k=3),
            "centroid": model.predict_centroid(embeddings),
        }
        if family == Family.CLASSIFICATION:
            predictions["head"] = model.predict_head(embeddings)
        arrays = read_arrays(layout.embedding(cell))
        assert set(arrays) == {"embeddings", "labels", *predictions}
        stored = {"embeddings": embeddings, "labels": data.test.labels, **predictions}
        for key, values in stored.items():
            np.testing.assert_array_equal(arrays[key], values)
        record = ArmRecord.read(layout.record(cell.arm, cell.split))
        expected = evaluate(
            embeddings, data.test.labels, classes=3, scarce=data.scarce, predictions=predictions
        )
        place = seeds.index(cell.seed)
        assert set(record.per_seed) == set(expected.flat)
        for key, value in expected.flat.items():
            np.testing.assert_array_equal(record.seeds_of(key)[place], value)
        assert set(record.per_class) == set(expected.per_class)
        for key, by_class in expected.per_class.items():
            np.testing.assert_array_equal(record.classes_of(key)[place], by_class)
        assert (record.seeds, record.scarce) == (seeds, data.scarce)
        assert record.counts == {
            "train_rows": len(data.train),
            "test_rows": len(data.test),
            "empty_rows": 0,
            "leaked_rows": splits.index(cell.split),
        }


def test_a_record_that_lacks_a_key_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "balanced.json", {"split": "open"})
    with pytest.raises(UserError, match=r"balanced\.json lacks 'arm': run stage evaluate again"):
        ArmRecord.read(tmp_path / "balanced.json")

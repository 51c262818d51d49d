from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from textmetric.files import read_arrays, read_json, write_json
from textmetric.grid import Arm, Family, Layout, Split, Training, trainings
from textmetric.measures import evaluate, knn_predict
from textmetric.measures.record import ArmRecord
from textmetric.model import TrainedModel
from textmetric.pipeline.embed_models import embed_models, embedded_parts
from textmetric.pipeline.measure_arms import measure_arms
from textmetric.splits import cut_labels, open_classes
from textmetric.text import LabelledTokens, TokenizedCorpus, ragged, tokenize_corpus

FAMILIES = pytest.mark.parametrize("family", ["classification", "metric"])


@pytest.fixture
def open_split() -> TokenizedCorpus:
    """Eight classes: two are trained on, two held out for validation, and four tested."""
    import pandas as pd

    rows = [
        (f"{several[number % 4]} {several[(number + 1) % 8]} the", f"{label}{half}", part)
        for label, several in {**tiny.WORDS, "sky": list("nopqrstu")}.items()
        for half in (0, 1)
        for part, size in (("train", 12), ("validation", 4), ("test", 6))
        for number in range(half, size)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label", "split"])
    return open_classes(tokenize_corpus(frame, progress=False), 0.5, seed=0)


def measured(
    corpus: TokenizedCorpus, model: TrainedModel, root: Path, seeds: tuple[int, ...] = (0,)
) -> tuple[ArmRecord, dict[str, np.ndarray]]:
    """The record of an arm whose seeds share one model, and the arrays of its first seed."""
    layout, family = Layout(root), Family(model.family)
    split, arm = Split("source", "some"), Arm(family, "balanced")
    corpus.save(layout.split(split))
    write_json(layout.split(split) / "corpus.json", {"leaked_rows": 7})
    for seed in seeds:
        model.save(layout.model(Training(arm, split, seed)))
    grid = {"splits": [split], "arms": [arm], "seeds": seeds, "progress": False}
    embed_models(layout, family, neighbours=5, **grid)
    measure_arms(layout, family, **grid)
    record = ArmRecord.read(layout.record(arm, split))
    assert read_json(layout.metric(arm, split)) == record.metrics()
    return record, read_arrays(layout.embedding(Training(arm, split, 0)))


def by_hand(
    corpus: TokenizedCorpus, model: TrainedModel, part: LabelledTokens, predict: bool
) -> dict[str, list[float | None]]:
    """Every measure of a part, for two seeds that are the same."""
    embeddings = model.embed(part.tokens)
    predictions = {}
    if predict:
        if model.head is not None:
            predictions["head"] = model.predict_head(embeddings)
        train = model.embed(corpus.train.tokens)
        predictions["knn"] = knn_predict(train, corpus.train.labels, embeddings, k=5)
        predictions["centroid"] = model.predict_centroid(embeddings)
    flat = evaluate(
        embeddings,
        part.labels,
        classes=len(corpus.label_names),
        scarce=corpus.scarce,
        predictions=predictions,
    ).flat
    return {key: [None if np.isnan(value) else value] * 2 for key, value in flat.items()}


@FAMILIES
@pytest.mark.parametrize("kind", ["scarce", "open"])
def test_both_parts_are_measured_as_by_hand(
    kind: str, family: str, open_split: TokenizedCorpus, tmp_path: Path
) -> None:
    closed = kind == "scarce"
    corpus = cut_labels(tiny.corpus(validation=12), [1], 0.2, seed=0) if closed else open_split
    model, _, _ = tiny.trained(family, data=corpus, epochs=2)
    record, _ = measured(corpus, model, tmp_path, seeds=(0, 1))
    expected = by_hand(corpus, model, corpus.test, predict=closed)
    assert record.per_seed == expected
    assert record.validation == by_hand(corpus, model, corpus.validation, predict=closed)
    assert list(record.validation) == list(record.per_seed)
    assert record.validation != record.per_seed
    assert {key: mean for key, (mean, _, _) in record.interval.items()} == {
        key: first for key, (first, _) in expected.items()
    }
    sizes = [len(part) for part in (corpus.train, corpus.validation, corpus.test)]
    assert [record.counts[f"{part}_rows"] for part in ("train", "validation", "test")] == sizes


@FAMILIES
def test_a_scarce_label_is_measured_on_all_of_its_validation_rows(
    family: str, tmp_path: Path
) -> None:
    whole = tiny.corpus(validation=12)
    corpus = cut_labels(whole, [1], 0.2, seed=0)
    model, _, _ = tiny.trained(family, data=corpus, epochs=2)
    record, arrays = measured(corpus, model, tmp_path)
    rows = model.embed(corpus.validation.tokens).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = whole.validation.labels
    precisions = []
    for query in np.flatnonzero(labels == 1):
        others = [row for row in range(len(rows)) if row != query]
        nearest = sorted(others, key=lambda row: -float(rows[row] @ rows[query]))[:3]
        right = [labels[row] == 1 for row in nearest]
        found = [np.mean(right[: place + 1]) * hit for place, hit in enumerate(right)]
        precisions.append(np.mean(found))
    assert len(precisions) == 4
    assert arrays["validation_labels"].tolist() == labels.tolist()
    mean = record.seeds_of("scarce_map_at_r", "validation")[0]
    assert mean == pytest.approx(np.mean(precisions))


@FAMILIES
def test_without_validation_rows_the_test_part_has_the_same_arrays_and_measures(
    family: str, tmp_path: Path
) -> None:
    corpus = tiny.corpus()
    model, _, _ = tiny.trained(family, data=corpus, epochs=2)
    record, arrays = measured(corpus, model, tmp_path / "with")
    names = ["embeddings", "labels", "knn", "centroid", *["head"] * (model.head is not None)]
    assert set(arrays) == {*names, *(f"validation_{name}" for name in names)}
    without = replace(corpus, validation=corpus.validation.take([]))
    other, of_test = measured(without, model, tmp_path / "without")
    assert set(of_test) == set(names)
    for name in names:
        np.testing.assert_array_equal(arrays[name], of_test[name])
    assert other == replace(record, validation={}, counts={**record.counts, "validation_rows": 0})
    assert np.isnan(other.seeds_of("map_at_r", "validation")).all()


@FAMILIES
def test_unseen_labels_are_embedded_and_measured_but_never_predicted(
    open_split: TokenizedCorpus, family: str, tmp_path: Path
) -> None:
    model, curve, _ = tiny.trained(family, data=open_split, epochs=2)
    assert model.label_names == open_split.label_names[:2]
    assert len(model.centroids) == 2
    if model.head is not None:
        assert model.predict_head(model.embed(open_split.test.tokens)).max() <= 1
    record, arrays = measured(open_split, model, tmp_path)
    assert set(arrays) == {f"{part}{name}" for part in ("", "validation_")
                           for name in ("embeddings", "labels")}  # fmt: skip
    assert not any("accuracy" in key for key in (*record.interval, *record.validation))
    assert (record.split, record.arm, record.seeds) == (
        "some",
        Arm(Family(family), "balanced").name,
        [0],
    )
    assert record.trained_labels == model.label_names
    assert (record.held_out, record.unseen) == ([2, 3], [4, 5, 6, 7])
    assert record.counts["leaked_rows"] == 7
    assert record.classes_of("cohesion").shape == (1, 8)
    # the learning curve, too, is over the held-out labels
    of_validation = record.seeds_of("map_at_r", "validation")[0]
    assert curve[-1]["validation_map_at_r"] == pytest.approx(of_validation)


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
        assert {"embeddings", "labels", *predictions} <= set(arrays)
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
            "validation_rows": len(data.validation),
            "test_rows": len(data.test),
            "empty_rows": 0,
            "leaked_rows": splits.index(cell.split),
        }


@FAMILIES
def test_texts_embedded_by_blocks_are_those_embedded_at_once(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embeddings are mapped from files that have no name any more."""
    corpus = cut_labels(tiny.corpus(), [1], 0.2, seed=0)
    model, _, _ = tiny.trained(family, data=corpus, layer="linear", epochs=1)
    expected = {part: model.embed(getattr(corpus, part).tokens) for part in ("test", "validation")}
    monkeypatch.setattr(ragged, "_ROWS_AT_ONCE", 4)
    arrays = embedded_parts(corpus, model.embed, {}, 3, tmp_path)
    np.testing.assert_array_equal(arrays["embeddings"], expected["test"])
    np.testing.assert_array_equal(arrays["validation_embeddings"], expected["validation"])
    np.testing.assert_array_equal(model.embed(corpus.test.tokens), expected["test"])
    assert not arrays["embeddings"].flags.writeable
    assert list(tmp_path.iterdir()) == []

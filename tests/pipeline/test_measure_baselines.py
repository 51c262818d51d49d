from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests import tiny
from textmetric.files import write_json
from textmetric.grid import TARGET, Baseline, Family, Layout, Split
from textmetric.measures import centroid_predict, class_centroids, evaluate, knn_predict
from textmetric.measures.record import ArmRecord
from textmetric.params import Model, Train
from textmetric.pipeline.measure_baselines import measure_baselines, tfidf_accuracy
from textmetric.sampling.draws import share_of_rows
from textmetric.sampling.streams import Stream, seed_of
from textmetric.splits import cut_labels, open_classes
from textmetric.text import TokenizedCorpus
from textmetric.tfidf import Tfidf, logistic_regression
from textmetric.training.loop import first_encoder, train

SEEDS = [3, 4, 5]
MODEL = Model(dim=8)


def measured(
    root: Path, corpus: TokenizedCorpus, split: Split = TARGET
) -> tuple[ArmRecord, ArmRecord]:
    """The records of TF-IDF and of the untrained encoder."""
    layout = Layout(root)
    for each in {split, TARGET}:
        corpus.save(layout.split(each))
        write_json(layout.split(each) / "corpus.json", {"leaked_rows": 7})
    measure_baselines(
        layout, splits=[split], seeds=SEEDS, model=MODEL, neighbours=3, shares=[0.5, 1.0],
        progress=False,
    )  # fmt: skip
    tfidf, untrained = (ArmRecord.read(layout.baseline(name, split)) for name in Baseline)
    return tfidf, untrained


@pytest.mark.parametrize("baseline", Baseline)
def test_the_test_part_is_measured_as_by_hand(baseline: Baseline, tmp_path: Path) -> None:
    corpus = cut_labels(tiny.corpus(validation=12), [1], 0.2, seed=0)
    record = dict(zip(Baseline, measured(tmp_path, corpus), strict=True))[baseline]
    assert record.arm == baseline.value
    assert record.seeds == ([3] if baseline is Baseline.TFIDF else SEEDS)
    tfidf = Tfidf(corpus.train.tokens, len(corpus.vocabulary))
    for place, seed in enumerate(record.seeds):
        encoder = first_encoder(corpus, MODEL, seed)
        for rows, values in ((corpus.test, record.per_seed),):
            if baseline is Baseline.TFIDF:
                vectors, known = (tfidf.vectors(each.tokens) for each in (rows, corpus.train))
                classifier = logistic_regression(known, corpus.train.labels)
                predictions = {"head": classifier.predict(vectors)}
                embeddings, learnt = vectors.toarray(), known.toarray()
            else:
                embeddings, learnt = (encoder.embed(e.tokens) for e in (rows, corpus.train))
                predictions = {}
            centroids = class_centroids(learnt, corpus.train.labels, 3)
            predictions |= {
                "knn": knn_predict(learnt, corpus.train.labels, embeddings, k=3),
                "centroid": centroid_predict(centroids.astype(np.float32), embeddings),
            }
            expected = evaluate(
                embeddings, rows.labels, classes=3, scarce=corpus.scarce, predictions=predictions
            ).flat
            assert set(values) == set(expected)
            for key, value in expected.items():
                found = np.array(values[key], dtype=float)[place]
                np.testing.assert_allclose(found, value, atol=1e-9, err_msg=key)
    assert record.validation == {}
    assert record.counts["leaked_rows"] == 7
    assert record.counts["train_rows"] == len(corpus.train)


@pytest.mark.parametrize("family", Family)
def test_the_untrained_encoder_is_the_one_that_a_training_starts_from(family: Family) -> None:
    corpus = tiny.corpus()
    started = train(
        corpus, family=family, sampler="shuffled", seed=4, model=MODEL, device=torch.device("cpu"),
        objective={"name": "triplet" if family is Family.METRIC else "cross_entropy"},
        settings=Train(batch_size=8, optimizer="sgd").model_copy(update={"epochs": 1, "lr": 0.0}),
    ).model  # fmt: skip
    untrained = first_encoder(corpus, MODEL, 4)
    np.testing.assert_array_equal(
        untrained.embed(corpus.test.tokens), started.embed(corpus.test.tokens)
    )


def test_labels_that_were_never_trained_on_are_not_predicted(tmp_path: Path) -> None:
    rows = [
        (f"{words[number % 8]} {words[(number + 1) % 8]} the", label, part)
        for label, words in (tiny.WORDS | {"sky": list("nopqrstu")}).items()
        for part, size in (("train", 12), ("validation", 4), ("test", 6))
        for number in range(size)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label", "split"])
    from textmetric.text import tokenize_corpus

    corpus = open_classes(tokenize_corpus(frame, progress=False), 0.5, seed=0)
    layout = Layout(tmp_path)
    tiny.corpus().save(layout.split(TARGET))
    split = Split("source", "open")
    corpus.save(layout.split(split))
    write_json(layout.split(split) / "corpus.json", {"leaked_rows": 0})
    measure_baselines(
        layout, splits=[split], seeds=SEEDS, model=MODEL, neighbours=3, shares=[1.0], progress=False
    )
    for baseline in Baseline:
        record = ArmRecord.read(layout.baseline(baseline, split))
        assert record.unseen == corpus.unseen
        assert not any("accuracy" in key for key in record.per_seed)
        assert "map_at_r" in record.per_seed


def test_a_share_is_learnt_from_the_rows_that_the_transfer_draws(tmp_path: Path) -> None:
    corpus = tiny.corpus()
    measured(tmp_path, corpus)
    layout = Layout(tmp_path)
    found = pd.read_csv(layout.baseline_transfer)
    assert found[["share", "seed"]].values.tolist() == [[0.5, 3], [0.5, 4], [0.5, 5], [1.0, 3]]
    for share, seed, accuracy in found.itertuples(index=False):
        rows = share_of_rows(corpus.train.labels, share, seed_of(int(seed), Stream.TRANSFER_ROWS))
        few = corpus.train.take(rows)
        tfidf = Tfidf(few.tokens, len(corpus.vocabulary))
        classifier = logistic_regression(tfidf.vectors(few.tokens), few.labels)
        predicted = classifier.predict(tfidf.vectors(corpus.test.tokens))
        assert accuracy == np.mean(predicted == corpus.test.labels)
    assert tfidf_accuracy(layout.split(TARGET), 1.0, 3) == found["test_accuracy"].iloc[-1]

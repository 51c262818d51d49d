from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from tests.tiny import CPU, corpus
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.params import Model, Train
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training import selection
from textmetric.training.loop import first_encoder, train
from textmetric.training.selection import (
    HELD_OUT,
    LEARNING_RATES,
    choose_lr,
    fold_count,
    folds,
    logistic_regression,
)


def labelled(labels: Any) -> LabelledTokens:
    labels = np.asarray(labels, dtype=np.int32)
    rows = RaggedTokens(np.ones(len(labels), np.int32), np.arange(len(labels) + 1))
    return LabelledTokens(rows, labels)


@pytest.mark.parametrize(
    ("labels", "count"),
    [([0, 1] * 10, 5), ([0] * 30 + [1] * 2, 2), ([0, 1, 2] * 3, 3), ([0, 1] * 500, 5)],
)
def test_few_rows_are_each_held_out_once(labels: list[int], count: int) -> None:
    data = labelled(labels)
    found = list(folds(data, seed=1))
    assert len(found) == count
    assert fold_count(data) == count
    assert np.sort(np.concatenate([out for _, out in found])).tolist() == list(range(len(labels)))
    for kept, out in found:
        assert not set(kept) & set(out)
        assert len(kept) + len(out) == len(labels)
        assert set(data.labels[kept]) == set(labels)


@pytest.mark.parametrize("rows", [1001, 40_000])
def test_of_many_rows_one_part_is_held_out_and_every_class_stays(rows: int) -> None:
    labels = np.r_[np.zeros(rows - 8), np.repeat(np.arange(1, 5), 2)]
    data = labelled(labels)
    for seed in range(5):
        [(kept, out)] = folds(data, seed)
        assert len(out) == min(rows // 5, HELD_OUT)
        assert not set(kept) & set(out)
        assert len(kept) + len(out) == rows
        assert set(data.labels[kept]) == set(labels)
    assert fold_count(data) == 1


ARGUMENTS: dict[str, Any] = {
    "family": Family.METRIC,
    "objective": {"name": "sup_con"},
    "sampler": "balanced",
    "model": Model(dim=6, start="lsa"),
    "seed": 3,
    "device": CPU,
}


def nll(temperature: float, scores: list[np.ndarray], labels: list[int]) -> float:
    """By a loop over the rows: they count n times, and once more with every class as the label."""
    total = 0.0
    for row, label in zip(scores, labels, strict=True):
        whole = math.log(sum(math.exp((score - max(row)) / temperature) for score in row))
        losses = [whole - (score - max(row)) / temperature for score in row]
        total += len(labels) * losses[label] + sum(losses) / len(losses)
    return total


@pytest.mark.parametrize("logistic", [False, True])
def test_the_best_learning_rate_and_the_temperature_are_those_of_held_out_rows(
    logistic: bool,
) -> None:
    data = corpus(rows=6, validation=0)
    settings = Train(epochs=2, batch_size=8)
    rates = (1e-6, 0.02, 0.5)
    # labels in part at random, so that the choice is not between three perfect ones
    labels = data.train.labels.copy()
    labels[:6] = np.roll(labels[:6], 1)
    data = replace(data, train=replace(data.train, labels=labels))
    found = choose_lr(data, settings=settings, rates=rates, logistic=logistic, **ARGUMENTS)
    # by training each from nothing, with the fold's texts alone
    correct, scores, held_out = [], {}, {}
    for lr in rates:
        count, scores[lr], held_out[lr] = 0, [], []
        for kept, out in folds(data.train, 3):
            part = replace(data, train=data.train.take(kept))
            options = settings.model_copy(update={"lr": lr})
            model = train(part, settings=options, **ARGUMENTS).model
            rows = data.train.take(out)
            embeddings = normalize(model.embed(rows.tokens))
            cosines = embeddings @ normalize(model.centroids).T
            count += (cosines.argmax(axis=1) == rows.labels).sum()
            twin = LogisticRegression(max_iter=1000).fit(
                normalize(model.embed(part.train.tokens)), part.train.labels
            )
            decisions = twin.decision_function(embeddings)
            scores[lr] += list(decisions if logistic else cosines)
            held_out[lr] += rows.labels.tolist()
        correct.append(count)
    assert len(set(correct)) > 1
    best = rates[int(np.argmax(correct))]
    assert found.lr == best
    least = minimize_scalar(
        lambda log: nll(math.exp(log), scores[best], held_out[best]), bounds=(-9, 9)
    )
    assert found.temperature == pytest.approx(math.exp(least.x), rel=1e-3)


def test_a_training_that_fails_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails_but_at(*_: Any, settings: Train, **rest: Any) -> Any:
        tried.append(settings.lr)
        if settings.lr != 0.1:
            raise UserError("training diverged")
        return train(*_, settings=settings, **rest)

    monkeypatch.setattr(selection, "train", fails_but_at)
    data = corpus(rows=2, validation=0)
    assert choose_lr(data, settings=Train(epochs=1, batch_size=4), **ARGUMENTS).lr == 0.1
    assert tried == [*LEARNING_RATES] * 2


def test_a_rate_that_fails_on_one_fold_loses_as_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpus(40)
    calls: list[float] = []

    def sometimes(*given: Any, settings: Train, **more: Any) -> Any:
        calls.append(settings.lr)
        # the first rate fails once, and is right about all other rows; the second about most
        if settings.lr == 0.5 and calls.count(0.5) == 1:
            raise UserError("diverged")
        return SimpleNamespace(model=SimpleNamespace(head=None, lr=settings.lr))

    def right(model: Any, rows: Any, *_: Any) -> Any:
        correct = len(rows) if model.lr == 0.5 else 3 * len(rows) // 4
        scores = np.zeros((len(rows), 4))
        return SimpleNamespace(correct=correct, labels=rows.labels, scores=lambda: scores)

    monkeypatch.setattr(selection, "train", sometimes)
    monkeypatch.setattr(selection, "_held_out", right)
    found = choose_lr(data, settings=Train(epochs=1), rates=[0.5, 0.1], **ARGUMENTS)
    assert found.lr == 0.1


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_that_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int32) % classes
    embeddings = (rng.normal(size=(60, 3)) + labels[:, None]).astype(np.float32)
    weights = logistic_regression(embeddings, labels)
    assert (weights.shape, weights.dtype) == ((classes, 4), np.float32)
    unit = normalize(embeddings)
    twin = LogisticRegression(max_iter=1000).fit(unit, labels)
    predicted = (unit @ weights[:, :3].T + weights[:, 3]).argmax(axis=1)
    np.testing.assert_array_equal(predicted, twin.predict(unit))
    assert len(set(predicted)) == classes


def test_every_training_starts_at_the_encoder_that_is_given() -> None:
    data = corpus(rows=2, validation=0)
    encoder = first_encoder(data, ARGUMENTS["model"], seed=3)
    before = encoder.weight.detach().clone()
    choose_lr(data, settings=Train(epochs=1, batch_size=4), encoder=encoder, **ARGUMENTS)
    assert (encoder.weight == before).all()

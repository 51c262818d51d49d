"""What :class:`.TextEmbedder` chooses from the rows to learn from, besides the training itself."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from textmetric.encoders import BagEncoder, TextVectors, inputs_of
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.inference import linear_scores
from textmetric.measures import fit_temperature
from textmetric.measures.rows import unit
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.sampling.streams import Stream, generator_of, seed_of
from textmetric.text import LabelledTokens, TokenizedCorpus
from textmetric.training.loop import first_encoder, one_thread, train
from textmetric.types import Float32, Float64, Int32, Int64

LEARNING_RATES = (0.001, 0.01, 0.03, 0.1, 0.3)
"""Those that are tried, the smallest first; Adagrad at the first leaves a start nearly as it is."""
FOLDS = 5
CROSS_VALIDATED = 1000
"""Up to this many rows there are :data:`FOLDS` folds; beyond, one part is held out."""
HELD_OUT = 3000
"""At most this many rows are held out."""


class Choice(NamedTuple):
    """What :func:`choose_lr` returns.

    Attributes:
        lr: the learning rate.
        temperature: see :attr:`.TrainedModel.temperature`.
        accuracy: on the held-out rows, of the classifier that the model will have; NaN if every
            training failed. It is the best of several, so it is a little too high.
    """

    lr: float
    temperature: float
    accuracy: float


def choose_lr(
    corpus: TokenizedCorpus,
    *,
    family: Family,
    objective: Mapping[str, Any],
    sampler: str,
    model: Model,
    settings: Train,
    seed: int,
    device: torch.device,
    vectors: Float32 | TextVectors | None = None,
    encoder: BagEncoder | None = None,
    rates: Sequence[float] = LEARNING_RATES,
    logistic: bool = False,
    tick: Callable[[], Any] = lambda: None,
) -> Choice:
    """The learning rate of ``rates`` with the best accuracy on held-out train rows.

    Each fold starts again from its own texts, so that no held-out row has a say in the start. Of
    equal accuracies the smaller learning rate wins; so does it where every training fails. The
    temperature is fitted to what the models say of the rows that they did not see, so that it costs
    no further training.

    Args:
        corpus: whose train part is divided; each of its classes has two rows or more.
        family: ``classification`` or ``metric``.
        objective: name and parameters.
        sampler: ``shuffled`` or ``balanced``.
        model: the encoder.
        settings: the loop; its learning rate is not used.
        seed: of the training.
        device: where to train.
        vectors: given ones, see :func:`.start_encoder`.
        encoder: where every training starts, if it does not start from the fold's own texts. It is
            copied.
        rates: to choose from, the smallest first.
        logistic: whether the model will predict by a logistic regression if it has no head.
        tick: called after each training.
    """
    correct = np.zeros(len(rates), dtype=np.int64)
    found: list[list[_HeldOut]] = [[] for _ in rates]
    for kept, held_out in folds(corpus.train, seed):
        part = replace(corpus, train=corpus.train.take(kept))
        rest = corpus.train.take(held_out)
        start = encoder or first_encoder(part, model, seed, vectors)
        for place, lr in enumerate(rates):
            try:
                trained = train(
                    part,
                    family=family,
                    objective=objective,
                    sampler=sampler,
                    model=model,
                    settings=settings.model_copy(update={"lr": lr}),
                    seed=seed,
                    device=device,
                    vectors=vectors,
                    encoder=copy.deepcopy(start),
                ).model
            except UserError:  # diverged or collapsed: another learning rate may not
                correct[place] -= len(rest)
            else:
                seen = part.train if logistic and trained.head is None else None
                found[place].append(_held_out(trained, rest, seen, vectors))
                correct[place] += found[place][-1].correct
            tick()
    best = int(correct.argmax())
    labels = np.concatenate([rows.labels for rows in found[best]] or [np.empty(0, np.int32)])
    if not len(labels):  # every training failed, and so will the next
        return Choice(rates[best], 1.0, math.nan)
    scores = np.concatenate([rows.scores() for rows in found[best]])
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    return Choice(rates[best], fit_temperature(scores, labels), accuracy)


def fold_count(data: LabelledTokens) -> int:
    """How many :func:`folds` there are."""
    if len(data) > CROSS_VALIDATED:
        return 1
    return int(np.clip(np.bincount(data.labels).min(), 2, FOLDS))


def folds(data: LabelledTokens, seed: int) -> Iterator[tuple[Int64, Int64]]:
    """Pairs of the rows to train on and the rows to measure on.

    Args:
        data: n rows, two or more of each class.
        seed: of the training; the folds are its stream ``SELECTION``.
    """
    if len(data) <= CROSS_VALIDATED:
        count = fold_count(data)
        seed = seed_of(seed, Stream.SELECTION) % 2**32
        yield from StratifiedKFold(count, shuffle=True, random_state=seed).split(
            data.labels, data.labels
        )
        return
    order = generator_of(seed, Stream.SELECTION).permutation(len(data))
    # the first row of each class in this order stays, so that every class is trained
    _, first = np.unique(data.labels[order], return_index=True)
    free = np.ones(len(order), dtype=bool)
    free[first] = False
    held_out = order[free][: min(HELD_OUT, len(order) // FOLDS)]
    yield np.setdiff1d(order, held_out), np.sort(held_out)


def logistic_regression(embeddings: Float32, labels: Int32) -> Float32:
    """The weights (C, dim + 1), the intercepts last, that predict labels from unit embeddings.

    They are scikit-learn's ``LogisticRegression`` with its defaults.

    Args:
        embeddings: (n, dim).
        labels: (n,) class ids 0 … C − 1, each at least once, C at least 2.
    """
    found = LogisticRegression(max_iter=1000).fit(unit(embeddings), labels)
    weights = np.concatenate([found.coef_, found.intercept_[:, None]], axis=1)
    if len(weights) == 1:  # two classes: the scores of the first are 0
        weights = np.concatenate([np.zeros_like(weights), weights])
    return weights.astype(np.float32)


class _HeldOut(NamedTuple):
    """What a model says of n rows that it did not see.

    Attributes:
        labels: (n,) their classes.
        correct: how many of them the head or the centroids find.
        scores: gives the scores (n, C) of the classifier that the model will have.
    """

    labels: Int32
    correct: int
    scores: Callable[[], Float64]


def _held_out(
    model: TrainedModel,
    rows: LabelledTokens,
    seen: LabelledTokens | None,
    vectors: Float32 | TextVectors | None,
) -> _HeldOut:
    """What ``model`` says of ``rows``; by a logistic regression on ``seen`` if there are some."""
    with one_thread():
        embeddings = model.embed(inputs_of(rows.tokens, vectors))
        known = None if seen is None else model.embed(inputs_of(seen.tokens, vectors))
    labels = np.asarray(rows.labels)
    scores = model.classifier.scores(embeddings)

    def by_logistic() -> Float64:
        assert seen is not None
        assert known is not None
        return linear_scores(logistic_regression(known, np.asarray(seen.labels)), embeddings)

    # a logistic regression takes longer than scores: only that of the best learning rate is fitted
    return _HeldOut(
        labels,
        int((scores.argmax(axis=1) == labels).sum()),
        (lambda: scores) if seen is None else by_logistic,
    )

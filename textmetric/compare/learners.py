"""The arms and the baselines, trained and measured on one resampled split."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError, needing

with needing("a comparison", "train"):
    import torch

from textmetric.compare.purposes import Purpose
from textmetric.embedder import EPOCHS, MANY_CLASSES, SEEN, WIDTH
from textmetric.encoders import BagEncoder, build_encoder
from textmetric.grid import SAMPLERS, Baseline, Family, Sampler
from textmetric.losses import build, family_of
from textmetric.measures import centroid_predict
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.text import LabelledTokens, TokenizedCorpus
from textmetric.tfidf import Tfidf, logistic_regression
from textmetric.training.loop import first_encoder, one_thread, train, train_centroids, warm_up
from textmetric.types import Integers

OBJECTIVES = ("cross_entropy", "triplet")
"""One of each family, so that neither has more to choose from; both have compiled steps."""
LEARNING_RATES = (0.03, 0.1, 0.3)
MODEL = Model(dim=WIDTH, start="lsa")
"""The encoder of :class:`.TextEmbedder`."""


class Arm(NamedTuple):
    """One way to train.

    Attributes:
        objective: its name.
        sampler: how batches are drawn.
    """

    objective: str
    sampler: Sampler

    @property
    def family(self) -> Family:
        """Of the objective."""
        return family_of(self.objective)

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.objective}, {self.sampler}"


ARMS = tuple(Arm(objective, sampler) for objective in OBJECTIVES for sampler in SAMPLERS)


class OfArm(NamedTuple):
    """What an arm left on one split, at its best learning rate.

    Attributes:
        lr: the learning rate with the best validation; NaN if every training failed.
        predictor: ``head`` or ``centroid``, whichever is better on validation.
        validation: the measure that decides, on the validation part; NaN if every training failed.
        test: the measures on the test part, by key.
        seconds: of a training, the mean over the learning rates.
        error: the sentence that the last failed training ended with, or None.
    """

    lr: float
    predictor: str
    validation: float
    test: dict[str, float]
    seconds: float
    error: str | None


class OfSplit(NamedTuple):
    """What a resampled split gave.

    Attributes:
        rows: of train, validation and test.
        arms: of each arm.
        baselines: the measures of each baseline on the test part, by key.
    """

    rows: tuple[int, int, int]
    arms: list[OfArm]
    baselines: dict[Baseline, dict[str, float]]


class Job(NamedTuple):
    """A resampled split: the rows, what for, which arms and the seed."""

    corpus: TokenizedCorpus
    purpose: Purpose
    arms: tuple[Arm, ...]
    seed: int


TICKS_OF_BASELINES = 1


def settings_of(rows: int, classes: int) -> Train:
    """The loop, equal for every arm; the learning rate is not chosen yet."""
    return Train(
        epochs=int(np.clip(round(SEEN / rows), *EPOCHS)),
        batch_size=256 if classes >= MANY_CLASSES else 64,
        device="cpu",
    )


def compile_for(arms: tuple[Arm, ...]) -> None:
    """Compile what the trainings run, so that processes forked afterwards need not."""
    for objective in dict.fromkeys(arm.objective for arm in arms):
        warm_up(
            build_encoder(Model(dim=WIDTH), 2),
            build(family_of(objective), {"name": objective}, dim=WIDTH, classes=2),
            settings_of(4, 2),
        )


def on_split(job: Job, tick: Callable[[], None]) -> OfSplit:
    """Train every arm on a resampled split and measure it, and the baselines.

    The validation part alone chooses; the test part is measured once for each arm.

    Args:
        job: the split.
        tick: called after each training, and after the baselines.
    """
    corpus = job.purpose.parts(job.corpus, job.seed)
    start = first_encoder(corpus, MODEL, job.seed)
    with one_thread():
        baselines = {
            Baseline.TFIDF: _tfidf(job.purpose, corpus),
            Baseline.UNTRAINED: _untrained(job.purpose, corpus, start),
        }
    tick()
    return OfSplit(
        (len(corpus.train), len(corpus.validation), len(corpus.test)),
        [_best(arm, job, corpus, start, tick) for arm in job.arms],
        baselines,
    )


def _best(
    arm: Arm, job: Job, corpus: TokenizedCorpus, start: BagEncoder, tick: Callable[[], None]
) -> OfArm:
    """The arm at the learning rate that is best on validation; of equal ones the smallest."""
    settings = settings_of(len(corpus.train), len(corpus.trained_labels))
    # measuring validation after each epoch takes time, and nothing is chosen by it
    learnt_from = replace(corpus, validation=corpus.validation.take([]))
    best: tuple[float, float, str, TrainedModel] | None = None
    seconds, error = list[float](), None
    for lr in LEARNING_RATES:
        try:
            trained = train(
                learnt_from,
                family=arm.family,
                objective={"name": arm.objective},
                sampler=arm.sampler,
                model=MODEL,
                settings=settings.model_copy(update={"lr": lr}),
                seed=job.seed,
                device=torch.device("cpu"),
                encoder=copy.deepcopy(start),
            )
        except UserError as failed:  # diverged or collapsed: another learning rate may not
            error = str(failed)
        else:
            seconds.append(sum(trained.seconds))
            for predictor in _predictors(job.purpose, trained.model):
                found = _measured(job.purpose, trained.model, corpus.validation, predictor)
                value = found[job.purpose.measures[0].key]
                value = -math.inf if math.isnan(value) else value
                if best is None or value > best[0]:
                    best = value, lr, predictor, trained.model
        tick()
    if best is None:
        missing = {measure.key: math.nan for measure in job.purpose.measures}
        return OfArm(math.nan, "", math.nan, missing, math.nan, error)
    value, lr, predictor, model = best
    test = _measured(job.purpose, model, corpus.test, predictor)
    return OfArm(lr, predictor, value, test, float(np.mean(seconds)), error)


def _predictors(purpose: Purpose, model: TrainedModel) -> tuple[str, ...]:
    """How the model can predict, if it is measured by that."""
    if not purpose.predicts:
        return ("",)
    return ("centroid",) if model.head is None else ("head", "centroid")


def _measured(
    purpose: Purpose, model: TrainedModel, rows: LabelledTokens, predictor: str
) -> dict[str, float]:
    with one_thread():
        embeddings = model.embed(rows.tokens)
        predicted: Integers | None = None
        if predictor:
            predicted = getattr(model, f"predict_{predictor}")(embeddings)
        return purpose.measured(embeddings, np.asarray(rows.labels), predicted)


def _tfidf(purpose: Purpose, corpus: TokenizedCorpus) -> dict[str, float]:
    """TF-IDF's own cosines, and logistic regression on it where a class is predicted."""
    tfidf = Tfidf(corpus.train.tokens, len(corpus.vocabulary))
    vectors, predicted = tfidf.vectors(corpus.test.tokens), None
    if purpose.predicts:
        learnt_from = tfidf.vectors(corpus.train.tokens)
        predicted = logistic_regression(learnt_from, corpus.train.labels).predict(vectors)
    return purpose.measured(vectors, np.asarray(corpus.test.labels), predicted)


def _untrained(purpose: Purpose, corpus: TokenizedCorpus, start: BagEncoder) -> dict[str, float]:
    embeddings, predicted = start.embed(corpus.test.tokens), None
    if purpose.predicts:
        centroids = train_centroids(start, corpus.train, len(corpus.trained_labels))
        predicted = centroid_predict(centroids, embeddings)
    return purpose.measured(embeddings, np.asarray(corpus.test.labels), predicted)

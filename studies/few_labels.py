"""Trainings on a few labelled rows of a corpus, measured on validation and test, a file each."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from studies import options
from studies.inputs import TEXT_VECTORS
from studies.names import name_of
from textmetric import parallel
from textmetric.command import INTERACTIVE
from textmetric.encoders import TextVectors, build_encoder, inputs_of
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import Family
from textmetric.losses import build, module_of
from textmetric.measures import retrieval
from textmetric.measures.rows import mean
from textmetric.params import Model, Pretrain, Train
from textmetric.pipeline.encoder_vectors import first_two, fitting
from textmetric.pipeline.measure_baselines import measure_tfidf, measure_untrained
from textmetric.text import LabelledTokens, TokenizedCorpus, TokenVectors
from textmetric.training.device import choose_device
from textmetric.training.loop import one_thread, train, warm_up
from textmetric.types import Float32

MEASURES = {"accuracy": "accuracy", "map_at_r": "MAP@R"}
PRETRAIN = Pretrain(objective="inverse_cloze", epochs=3, lr=0.1)
"""What encoders learn from text without labels, where a study asks for it."""
FAILED = -1.0
"""Every measure of a training that diverged or collapsed."""


@dataclass(frozen=True)
class Job:
    """One measurement: everything its result depends on.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        family: of the objective; None for the encoder before training, or for TF-IDF.
        objective: its name and the parameters that were given; empty without a family.
        model: the encoder.
        settings: the loop.
        vectors: folder of given token vectors, named by a hash of its contents; for a frozen
            encoder, of the vectors of the texts; None for none.
        pretrain: what the encoder learns without labels; None for nothing.
        seed: of the training.
        tfidf: measure TF-IDF with logistic regression instead.
        sampler: ``shuffled`` or ``balanced``.
    """

    corpus: Path
    family: Family | None
    objective: dict[str, Any]
    model: Model
    settings: Train
    vectors: Path | None
    pretrain: Pretrain | None
    seed: int
    tfidf: bool = False
    sampler: str = "balanced"

    def key(self) -> str:
        """The name of the result: a hash of the above and of the code that counts."""
        modules = ["studies.few_labels"]
        if self.family is not None:
            modules.append(module_of(self.family, self.objective))
        return name_of(
            [
                self.corpus.name,
                self.family,
                self.objective,
                self.model.model_dump(),
                self.settings.model_dump(),
                None if self.vectors is None else self.vectors.name,
                None if self.pretrain is None else self.pretrain.model_dump(),
                self.seed,
                self.tfidf,
                self.sampler,
            ],
            *modules,
        )


def add_few_label_options(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the options that the studies of few labels share; ``out`` says what is written where."""
    parser.add_argument(
        "--vectors", metavar="NAME", help="given token vectors, see docs/encoders.md"
    )
    parser.add_argument(
        "--unlabelled", action="store_true", help="also pre-train on all train texts"
    )
    options.add_files(parser, out)


def read_vectors(job: Job) -> Float32 | TextVectors | None:
    """What the encoder of a job is given, see :func:`.build_encoder`."""
    if job.vectors is None:
        return None
    if job.model.encoder == "frozen":
        return TextVectors.load(job.vectors / TEXT_VECTORS)
    return TokenVectors.load(job.vectors).values


def run_jobs(jobs: Sequence[Job], results: Path) -> list[dict[str, float]]:
    """The measures of the jobs, in their order; those in the folder are read, the others done.

    They are ``accuracy``, by the head or else the nearest class centroid, and ``map_at_r``, of the
    test part, and of a training the same of the validation part, ``validation_accuracy`` and
    ``validation_map_at_r``.
    """
    files = [results / f"{job.key()}.json" for job in jobs]
    missing = parallel.unfinished(jobs, files)
    for job in {(job.family, job.model): job for job, _ in missing}.values():
        if job.family is not None:
            warm_up(
                build_encoder(job.model, 2, first_two(read_vectors(job))),
                build(job.family, job.objective, dim=job.model.dim, classes=2),
                job.settings,
            )
    parallel.finish(_run, jobs, files, label="label budget", unit="training", progress=INTERACTIVE)
    return [
        {key: math.nan if value is None else value for key, value in read_json(file).items()}
        for file in files
    ]


def _run(job: tuple[Job, Path], tick: Callable[[], None]) -> None:
    given, file = job
    vectors = read_vectors(given)
    corpus = fitting(TokenizedCorpus.load(given.corpus), vectors)
    if given.family is None:
        found = (
            measure_tfidf(corpus, 1)
            if given.tfidf
            else measure_untrained(corpus, given.model, given.seed, 1, vectors)
        )
        flat = found["test"].flat
        by = "head_accuracy" if given.tfidf else "centroid_accuracy"
        measures = {"accuracy": flat[by], "map_at_r": flat["map_at_r"]}
    else:
        measures = _trained(given, given.family, corpus, vectors)
    write_json(file, measures)
    tick()


def _trained(
    job: Job, family: Family, corpus: TokenizedCorpus, vectors: Float32 | TextVectors | None
) -> dict[str, float]:
    try:
        # With few rows an epoch is short: measuring validation after each would take most of the
        # time.
        model = train(
            replace(corpus, validation=corpus.validation.take([])),
            family=family,
            objective=job.objective,
            sampler=job.sampler,
            model=job.model,
            settings=job.settings,
            seed=job.seed,
            device=choose_device(job.settings.device, "train.device"),
            vectors=vectors,
            pretrain=job.pretrain,
        ).model
    except UserError:  # diverged or collapsed: other settings may not
        names = [*MEASURES, *(f"validation_{key}" for key in MEASURES)]
        return dict.fromkeys(names, FAILED)
    predict = model.predict_centroid if model.head is None else model.predict_head
    measures: dict[str, float] = {}
    parts: list[tuple[str, LabelledTokens]] = [
        ("", corpus.test), ("validation_", corpus.validation)
    ]  # fmt: skip
    for prefix, rows in parts:
        with one_thread():
            embeddings = model.embed(inputs_of(rows.tokens, vectors))
        labels = np.asarray(rows.labels)
        measures[f"{prefix}accuracy"] = float((predict(embeddings) == labels).mean())
        measures[f"{prefix}map_at_r"] = mean(retrieval(embeddings, labels, ks=(1,)).map_at_r)
    return measures

"""Trainings with their measures, each a small file: a job of many that can be left and resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studies import inside
from studies.names import name_of
from textmetric import parallel
from textmetric.encoders import BagEncoder, build_encoder
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import Family
from textmetric.losses import build, describe, module_of
from textmetric.measures import cohesion, evaluate, hamming_retrieval, knn_predict, retrieval
from textmetric.measures.rows import mean
from textmetric.params import Model, Train
from textmetric.pipeline.encoder_vectors import first_two
from textmetric.sampling.batches import WindowSampler
from textmetric.text import LabelledTokens, TokenizedCorpus, TokenVectors
from textmetric.training.device import choose_device
from textmetric.training.loop import Trained, one_thread, train, warm_up
from textmetric.types import Float32

KS = (1, 10, 100)


@dataclass(frozen=True)
class Trial:
    """One training: everything its result depends on.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        family: of the objective.
        objective: its name and the parameters that were given.
        sampler: ``shuffled`` or ``balanced``.
        model: the encoder.
        settings: the loop.
        seed: of the weights, the batches and the mining.
        neighbours: k of the k-nearest-neighbour accuracy.
        losses: whether to keep the loss of every step.
        classes_per_batch: balanced batches of this many classes, see
            :class:`.BatchSampler`; None for the sampler's, or for the objective's own.
        vectors: folder of the token vectors to start from, named by a hash of its contents; None
            for random ones.
        cohesion: measure nothing but the cohesion of each label of the test part.
        fine: file with (2, n) labels of the test rows, coarse and finer ones, named by a hash of
            its contents: measure nothing but retrieval, by the coarse labels and inside of them.
    """

    corpus: Path
    family: Family
    objective: Mapping[str, Any]
    sampler: str
    model: Model
    settings: Train
    seed: int
    neighbours: int = 10
    losses: bool = False
    classes_per_batch: int | None = None
    vectors: Path | None = None
    cohesion: bool = False
    fine: Path | None = None

    @property
    def given(self) -> Float32 | None:
        """The token vectors to start from, if there are any."""
        return None if self.vectors is None else TokenVectors.load(self.vectors).values

    def identity(self) -> dict[str, Any]:
        """What the result depends on, as JSON has it; defaults are filled in."""
        found = {
            "corpus": self.corpus.name,
            "family": self.family,
            "objective": describe(self.family, self.objective),
            "sampler": self.sampler,
            "model": self.model.model_dump(),
            "settings": self.settings.model_dump(),
            "device": choose_device(self.settings.device, "train.device").type,
            "seed": self.seed,
            "neighbours": self.neighbours,
            "losses": self.losses,
            "classes_per_batch": self.classes_per_batch,
            "vectors": None if self.vectors is None else self.vectors.name,
        }
        if self.cohesion:
            found["cohesion"] = True
        if self.fine is not None:
            found["fine"] = self.fine.name
        return found

    def key(self) -> str:
        """The name of the result: a hash of the identity, the code and the packages that count."""
        module = module_of(self.family, self.objective)
        return name_of(self.identity(), "studies.trials", "studies.inside", module)


@dataclass(frozen=True)
class Result:
    """What a training left.

    Attributes:
        measures: by name: those of :func:`textmetric.measures.evaluation`, ``validation_map_at_r``,
            ``hamming_recall_at_<k>`` and ``hamming_map_at_r`` of the binary codes, ``seconds`` of
            the batches and ``peak_mib``. Of a trial of cohesion, ``cohesion_<label id>``, and
            these two; of one with finer labels, those of :func:`.inside.measured`, and these two.
            Empty if the training failed.
        losses: of every step, if they were to be kept.
        error: the sentence it failed with, or None.
    """

    measures: dict[str, float]
    losses: list[float]
    error: str | None


def run_trials(
    trials: Sequence[Trial], results: Path, *, label: str = "train", progress: bool = True
) -> list[Result]:
    """The results of the trials, in their order; those in the folder are read, the others done.

    Each is written as soon as it is done: when the job is left, only what was under way is lost.
    A training that diverges or collapses has a result too, its ``error``.

    Args:
        trials: one given twice is done once.
        results: folder of the results, ``<key>.json`` each.
        label: the text before the progress bar.
        progress: whether to show it.

    Raises:
        UserError: a result cannot be read or written, or a process was killed.
    """
    files = [results / f"{trial.key()}.json" for trial in trials]
    missing = parallel.unfinished(trials, files)
    devices = {
        name: choose_device(name, "train.device") for name in {t.settings.device for t in trials}
    }
    for trial in {_compiled_alike(trial): trial for trial, _ in missing}.values():
        device = devices[trial.settings.device]
        warm_up(
            build_encoder(trial.model, 2, first_two(trial.given)).to(device),
            build(trial.family, trial.objective, dim=trial.model.dim, classes=2).to(device),
            trial.settings,
        )
    parallel.finish(
        _run,
        trials,
        files,
        workers=1 if any(device.type == "cuda" for device in devices.values()) else None,
        label=label,
        unit="training",
        progress=progress,
    )
    return [_read(file) for file in files]


def _run(job: tuple[Trial, Path], tick: Callable[[], None]) -> None:
    trial, file = job
    corpus = TokenizedCorpus.load(trial.corpus)
    about: dict[str, Any] = {"trial": trial.identity(), "error": None, "losses": []}
    parallel.forget_peak()
    try:
        trained = _trained(trial, corpus)
    except UserError as error:
        write_json(file, about | {"error": str(error), "measures": {}})
    else:
        costs = {"seconds": sum(trained.seconds), "peak_mib": parallel.peak_mib()}
        if trial.losses:
            about["losses"] = trained.losses
        measures = _measured(trial, corpus, trained.model.encoder)
        write_json(file, about | {"measures": measures | costs})
    tick()


def _trained(trial: Trial, corpus: TokenizedCorpus) -> Trained:
    batches = None
    if trial.classes_per_batch is not None:
        batches = WindowSampler(
            "balanced",
            corpus.train.labels,
            trial.settings.batch_size,
            trial.seed,
            trial.settings.window,
            classes_per_batch=trial.classes_per_batch,
        )
    return train(
        corpus,
        family=trial.family,
        objective=trial.objective,
        sampler=trial.sampler,
        model=trial.model,
        settings=trial.settings,
        seed=trial.seed,
        device=choose_device(trial.settings.device, "train.device"),
        vectors=trial.given,
        batches=batches,
    )


def _measured(trial: Trial, corpus: TokenizedCorpus, encoder: BagEncoder) -> dict[str, float]:
    if trial.cohesion:
        with one_thread():
            test = encoder.embed(corpus.test.tokens)
        by_label = cohesion(test, corpus.test.labels, len(corpus.label_names)).tolist()
        return {f"cohesion_{label}": value for label, value in enumerate(by_label)}
    if trial.fine is not None:
        with one_thread():
            test = encoder.embed(corpus.test.tokens)
        return inside.measured(test, *np.load(trial.fine))
    with one_thread():
        test, train = encoder.embed(corpus.test.tokens), encoder.embed(corpus.train.tokens)
        validation = encoder.embed(corpus.validation.tokens)
        labels = np.asarray(corpus.test.labels)
        predictions = {}
        if not corpus.unseen:  # labels that were never trained on cannot be predicted
            predictions["knn"] = knn_predict(train, corpus.train.labels, test, k=trial.neighbours)
        found = evaluate(
            test,
            labels,
            classes=len(corpus.label_names),
            scarce=corpus.scarce,
            predictions=predictions,
        ).flat
        on_validation = _retrieval(validation, corpus.validation, corpus)
        codes = hamming_retrieval(test, labels, ks=KS).means()
    return found | on_validation | {f"hamming_{name}": value for name, value in codes.items()}


def _retrieval(embeddings: Any, part: LabelledTokens, corpus: TokenizedCorpus) -> dict[str, float]:
    """MAP@R on the validation part, and over its rows of the scarce labels alone."""
    if not len(part):
        return {"validation_map_at_r": math.nan}
    labels = np.asarray(part.labels)
    by_query = retrieval(embeddings, labels, ks=(1,)).map_at_r
    found = {"validation_map_at_r": mean(by_query)}
    if corpus.scarce:
        found["validation_scarce_map_at_r"] = mean(by_query[np.isin(labels, corpus.scarce)])
    return found


def _read(file: Path) -> Result:
    found = read_json(file)
    try:
        return Result(
            measures={
                name: math.nan if value is None else float(value)
                for name, value in found["measures"].items()
            },
            losses=list(found["losses"]),
            error=found["error"],
        )
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{file} is not the result of a training: delete it") from None


def _compiled_alike(trial: Trial) -> str:
    """Trials of one of these run the same compiled loops."""
    return json.dumps(
        [describe(trial.family, trial.objective), trial.model.layer, trial.settings.optimizer]
    )

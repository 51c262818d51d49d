"""A model of a source corpus, measured there and transferred to a target: a job, a small file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studies.names import PACKAGES, name_of
from studies.pulled import Pull, Pulled
from studies.spread import spectral_decay, uniformity
from textmetric import parallel
from textmetric.encoders import BagEncoder, build_encoder
from textmetric.encoders.lsa import lsa_vectors
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import Family
from textmetric.losses import build, describe, module_of
from textmetric.measures import evaluate, knn_predict
from textmetric.measures.clustering import kmeans
from textmetric.model import TrainedModel
from textmetric.params import Finetune, Model, Recipe, Train
from textmetric.sampling.streams import Stream, generator_of
from textmetric.schema import validated
from textmetric.text import TokenizedCorpus
from textmetric.training.device import choose_device
from textmetric.training.finetuning import TUNINGS, TransferHead, Tuning, finetune
from textmetric.training.loop import first_encoder, fit, one_thread, train_centroids, warm_up

FROM_SPACE = ("uniformity", "spectral_decay")


@dataclass(frozen=True)
class Source:
    """A training on a source corpus and its transfer: everything the result depends on.

    Attributes:
        corpus: folder of the source, named by a hash of its contents; None for no training, which
            leaves the start of any encoder.
        target: folder of the target, named so too; None to measure on the source alone.
        family: of the objective.
        objective: its name and the parameters that were given.
        pull: see :class:`.Pulled`; None for the objective as it is.
        weight: of the pull.
        scrambled: whether the trained vectors are dealt to other tokens, which leaves their
            distribution and nothing of what was learnt.
        sampler: ``shuffled`` or ``balanced``.
        model: the encoder.
        settings: the loop on the source.
        transfer: epochs, learning rate and shares; the first of its heads is trained.
        seed: of the training and of the transfer.
        neighbours: k of the k-nearest-neighbour accuracy.
    """

    corpus: Path | None
    target: Path | None
    family: Family
    objective: Mapping[str, Any]
    sampler: str
    model: Model
    settings: Train
    transfer: Finetune
    seed: int
    pull: Pull | None = None
    weight: float = 0.0
    scrambled: bool = False
    neighbours: int = 10

    def identity(self) -> dict[str, Any]:
        """What the result depends on, as JSON has it; defaults are filled in."""
        trained = {
            "family": self.family,
            "objective": describe(self.family, self.objective),
            "sampler": self.sampler,
            "pull": self.pull,
            "weight": self.weight,
            "scrambled": self.scrambled,
        }
        return {
            "corpus": None if self.corpus is None else [self.corpus.name, trained],
            "target": None if self.target is None else self.target.name,
            "model": self.model.model_dump(),
            "settings": self.settings.model_dump(),
            "device": choose_device(self.settings.device, "train.device").type,
            "transfer": self.transfer.model_dump(),
            "seed": self.seed,
            "neighbours": self.neighbours,
        }

    def key(self) -> str:
        """The name of the result: a hash of the identity, the code and the packages that count."""
        modules = ["studies.sources_jobs", "studies.pulled", "studies.spread"]
        if self.corpus is not None:
            modules.append(module_of(self.family, self.objective))
        return name_of(self.identity(), *modules, packages=[*PACKAGES, "scikit-learn"])


def accuracy_of(tuning: Tuning, share: float) -> str:
    """The name of the target's test accuracy after a transfer."""
    return f"{tuning}_{share:g}"


def run_sources(
    sources: Sequence[Source], results: Path, *, label: str, progress: bool = True
) -> list[dict[str, float]]:
    """The results of the jobs, in their order; those in the folder are read, the others done.

    Args:
        sources: one given twice is done once.
        results: folder of the results, ``<key>.json`` each.
        label: the text before the progress bar.
        progress: whether to show it.

    Returns:
        For each the measures of :func:`textmetric.measures.evaluate` on the source's test part,
        with ``uniformity`` and ``spectral_decay``; ``validation_map_at_r`` and
        ``validation_cohesion``; and the accuracies of :func:`accuracy_of` on the target's test
        part. Empty if the training diverged or collapsed.

    Raises:
        UserError: a result cannot be read or written, or a process was killed.
    """
    files = [results / f"{source.key()}.json" for source in sources]
    compiled: dict[str, Source] = {}
    for source, _ in parallel.unfinished(sources, files):
        compiled.setdefault(json.dumps(describe(source.family, source.objective)), source)
    for source in compiled.values():
        _warm_up(source)
    cuda = {choose_device(s.settings.device, "train.device").type for s in sources} == {"cuda"}
    parallel.finish(
        _run,
        sources,
        files,
        workers=1 if cuda else None,
        label=label,
        unit="model",
        progress=progress,
    )
    return [
        {name: math.nan if value is None else value for name, value in read_json(file).items()}
        for file in files
    ]


def relabelled(corpus: TokenizedCorpus, kind: str, dim: int, seed: int) -> TokenizedCorpus:
    """The corpus with other labels to learn; those of validation and test stay.

    Args:
        corpus: with C labels.
        kind: ``shuffled``: the train rows' own, dealt at random; ``clusters``: C clusters of the
            rows by k-means of their LSA embeddings, without a look at a label.
        dim: of the LSA embeddings.
        seed: of either.
    """
    train = corpus.train
    if kind == "shuffled":
        labels = generator_of(seed, Stream.GROUPINGS).permutation(train.labels)
    else:
        encoder = build_encoder(Model(dim=dim), len(corpus.vocabulary.tokens), None)
        vectors = lsa_vectors(train.tokens.whole(), len(corpus.vocabulary.tokens), dim)
        with torch.no_grad(), one_thread():
            encoder.weight.copy_(torch.from_numpy(vectors))
            rows = encoder.embed(train.tokens)
        labels = kmeans(rows, len(corpus.label_names), starts=1, seed=seed)
    return replace(corpus, train=replace(train, labels=labels.astype(np.int32)))


def _warm_up(source: Source) -> None:
    device = choose_device(source.settings.device, "train.device")
    encoder = build_encoder(source.model, 2, None).to(device)
    objective = build(source.family, source.objective, dim=source.model.dim, classes=2)
    warm_up(encoder, objective.to(device), source.settings)
    warm_up(encoder, TransferHead(source.model.dim, 2).to(device), source.settings)


def _run(job: tuple[Source, Path], tick: Callable[[], None]) -> None:
    source, file = job
    found: dict[str, float] = {}
    try:
        trained = None if source.corpus is None else _trained(source)
        if source.corpus is not None and trained is not None:
            found |= _measured(TokenizedCorpus.load(source.corpus), trained.encoder, source)
        if source.scrambled and trained is not None:
            _scramble(trained.encoder, source.seed)
        if source.target is not None:
            found |= _transferred(source, TokenizedCorpus.load(source.target), trained)
    except UserError:  # it diverged or collapsed: the page counts these
        found = {}
    write_json(file, found)
    tick()


def _trained(source: Source) -> TrainedModel:
    assert source.corpus is not None  # the caller looked
    corpus = TokenizedCorpus.load(source.corpus)
    device = choose_device(source.settings.device, "train.device")
    encoder = first_encoder(corpus, source.model, source.seed)
    classes = len(corpus.trained_labels)
    objective = build(
        source.family, source.objective, dim=source.model.dim, classes=classes, seed=source.seed
    )
    if source.pull is not None:
        objective = Pulled(objective, source.weight, source.pull)
    fit(
        encoder.to(device),
        objective.to(device),
        corpus.train,
        source.settings,
        sampler=source.sampler,
        seed=source.seed,
    )
    encoder.cpu()
    with one_thread():
        centroids = train_centroids(encoder, corpus.train, classes)
    recipe = {
        "objective": dict(source.objective),
        "sampler": source.sampler,
        "model": source.model,
        "train": source.settings,
        "seed": source.seed,
    }
    return TrainedModel(
        encoder=encoder,
        head=None,
        centroids=centroids,
        vocabulary=corpus.vocabulary,
        label_names=corpus.trained_labels,
        recipe=validated(Recipe, recipe),
    )


def _measured(corpus: TokenizedCorpus, encoder: BagEncoder, source: Source) -> dict[str, float]:
    with one_thread():
        train, validation, test = (
            encoder.embed(part.tokens) for part in (corpus.train, corpus.validation, corpus.test)
        )
        classes = len(corpus.label_names)
        neighbours = knn_predict(train, corpus.train.labels, test, k=source.neighbours)
        found = evaluate(
            test, corpus.test.labels, classes=classes, predictions={"knn": neighbours}
        ).flat
        of_validation = evaluate(validation, corpus.validation.labels, classes=classes).flat
        found |= {
            f"validation_{name}": of_validation[name] for name in ("map_at_r", "cohesion")
        } | {"uniformity": uniformity(test), "spectral_decay": spectral_decay(test)}
    return found


def _scramble(encoder: BagEncoder, seed: int) -> None:
    order = generator_of(seed, Stream.GROUPINGS).permutation(len(encoder.weight))
    with torch.no_grad():
        encoder.weight.copy_(encoder.weight[torch.from_numpy(order)])


def _transferred(
    source: Source, target: TokenizedCorpus, trained: TrainedModel | None
) -> dict[str, float]:
    found = {}
    for tuning in TUNINGS:
        for share in source.transfer.shares:
            curve = finetune(
                target,
                trained,
                tuning=tuning,
                tanh=source.transfer.tanh[0],
                share=share,
                settings=source.transfer,
                model=source.model,
                train=source.settings,
                seed=source.seed,
                device=choose_device(source.settings.device, "train.device"),
            )
            found[accuracy_of(tuning, share)] = curve[-1]["test_accuracy"]
    return found

"""What :mod:`studies.tuned` tunes: the candidates, and the values that a search may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, get_args

import numpy as np

from textmetric.embedder import TextEmbedder
from textmetric.ensemble import TextEnsemble
from textmetric.grid import SAMPLERS, Family
from textmetric.losses import OBJECTIVES, Objective, class_of
from textmetric.mahalanobis import Mahalanobis
from textmetric.measures import unit
from textmetric.measures.distances import Distance
from textmetric.params import Model, Train
from textmetric.text import BASIC_ENGLISH, TokenizedCorpus, Tokens
from textmetric.training.device import choose_device
from textmetric.training.loop import one_thread, train
from textmetric.types import Floats

Setting = dict[str, Any]
"""Values by the name of their parameter, with ``lr`` and, where it is chosen, ``sampler``."""
Embed = Callable[[Tokens], Floats]


class Range(NamedTuple):
    """Numbers that a search may choose, both ends included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


Space = Mapping[str, Range | tuple[Any, ...]]
"""The values of each parameter: a range, or a few choices."""

LEARNING_RATE = Range(0.01, 3.0, log=True)
SCALARS: dict[str, dict[str, Range]] = {
    "cross_entropy": {},  # it has no parameter
    "norm_softmax": {"temperature": Range(0.01, 1, log=True)},
    "angular": {"angle": Range(20, 60)},
    "contrastive": {"margin": Range(0.1, 10, log=True)},
    "dvml": {"first_phase": Range(0, 0.75)},
    "facility_location": {"gamma": Range(0.01, 10, log=True)},
    "invariant_spreading": {"temperature": Range(0.02, 1, log=True)},
    "inverse_cloze": {"temperature": Range(0.05, 2, log=True)},
    "lifted": {"margin": Range(0.1, 10, log=True)},
    "magnet": {"alpha": Range(0.1, 10, log=True)},
    "multi_similarity": {"base": Range(0, 0.9)},
    "n_pair": {"l2": Range(0.001, 1, log=True)},
    "prototypical": {"scale": Range(0.05, 20, log=True)},
    "proxy_nca": {"scale": Range(1, 50, log=True)},
    "quadruplet": {"margin": Range(0.05, 5, log=True)},
    "ranked_list": {"margin": Range(0.05, 1.2)},
    "sup_con": {"temperature": Range(0.02, 1, log=True)},
    "triplet": {"margin": Range(0.02, 2, log=True)},
}
"""The central number of each objective: its margin, temperature or scale, or what is nearest."""
MEMBERS = (2, 4, 8)
META_CLASSES = Range(2, 16, log=True, whole=True)
PAIRS = Range(1000, 20_000, log=True, whole=True)
RIDGE = Range(1e-6, 1, log=True)


class Budget(NamedTuple):
    """What is equal for all candidates: the encoder and the loop."""

    model: Model
    settings: Train


class Candidate(Protocol):
    """What learns an embedding from the train part of a corpus."""

    @property
    def title(self) -> str:
        """What it is called in tables."""

    @property
    def family(self) -> Family:
        """The family that it belongs to."""

    @property
    def module(self) -> str:
        """The dotted name of the module that it is in, for the hash of a result."""

    @property
    def distance(self) -> Distance:
        """By which its embeddings are compared."""

    def space(self, classes: int) -> Space:
        """The values that may be chosen on a corpus with this many classes."""

    def default(self, sampler: str, lr: float) -> Setting:
        """The setting that nobody has tuned, with a value of every parameter of the space."""

    def learn(self, corpus: TokenizedCorpus, setting: Setting, budget: Budget, seed: int) -> Embed:
        """Train on the train part.

        Raises:
            UserError: the training diverged, or the embeddings collapsed.
        """


@dataclass(frozen=True)
class OfObjective:
    """An objective of the registry: its learning rate, its central number, miner and sampler."""

    name: str
    family: Family
    distance: Distance = "cosine"

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    @property
    def module(self) -> str:
        """Where it is."""
        place = OBJECTIVES[self.family][self.name].rpartition(".")[0]
        return f"textmetric.losses.{place}"

    def space(self, classes: int) -> Space:
        """See :meth:`Candidate.space`: the miners are those of its schema."""
        space: dict[str, Range | tuple[Any, ...]] = {"lr": LEARNING_RATE, **SCALARS[self.name]}
        of_objective = class_of(self.name)
        fields = of_objective.Params.model_fields
        if "miner" in fields:
            space["miner"] = get_args(fields["miner"].annotation)
        if of_objective.batches is Objective.batches:  # else it brings its own batches
            space["sampler"] = SAMPLERS
        return space

    def default(self, sampler: str, lr: float) -> Setting:
        """See :meth:`Candidate.default`."""
        fields = class_of(self.name).Params.model_fields
        known = {"lr": lr, "sampler": sampler}
        return {
            name: known[name] if name in known else fields[name].get_default()
            for name in self.space(2)
        }

    def learn(self, corpus: TokenizedCorpus, setting: Setting, budget: Budget, seed: int) -> Embed:
        """See :meth:`Candidate.learn`."""
        own = {name: value for name, value in setting.items() if name not in ("lr", "sampler")}
        trained = train(
            corpus,
            family=self.family,
            objective={"name": self.name, **own},
            sampler=setting.get("sampler", SAMPLERS[0]),  # without effect where it is not chosen
            model=budget.model,
            settings=budget.settings.model_copy(update={"lr": setting["lr"]}),
            seed=seed,
            device=choose_device(budget.settings.device, "train.device"),
        )
        return trained.model.encoder.embed


@dataclass(frozen=True)
class OfEnsemble:
    """:class:`textmetric.ensemble.TextEnsemble`, as wide in all as the others.

    It takes texts: those are the tokens of the corpus, joined, so that the rows are the same.
    """

    title: str = "TextEnsemble"
    family: Family = Family.CLASSIFICATION
    module: str = "textmetric.ensemble"
    distance: Distance = "cosine"

    def space(self, classes: int) -> Space:
        """See :meth:`Candidate.space`."""
        meta_classes = META_CLASSES._replace(high=min(classes, META_CLASSES.high))
        return {"lr": LEARNING_RATE, "members": MEMBERS, "meta_classes": meta_classes,
                "sampler": SAMPLERS}  # fmt: skip

    def default(self, sampler: str, lr: float) -> Setting:
        """See :meth:`Candidate.default`."""
        own = TextEnsemble()
        return {"lr": lr, "members": own.members, "meta_classes": own.meta_classes,
                "sampler": sampler}  # fmt: skip

    def learn(self, corpus: TokenizedCorpus, setting: Setting, budget: Budget, seed: int) -> Embed:
        """See :meth:`Candidate.learn`: a member has a share of the width."""
        words = corpus.vocabulary.tokens
        width = max(1, budget.model.dim // setting["members"])
        member = TextEmbedder(
            "cross_entropy",
            sampler=setting["sampler"],
            tokenizer=BASIC_ENGLISH.name,
            pretrain=None,
            **budget.model.model_copy(update={"dim": width}).model_dump(exclude={"ngrams"}),
            **budget.settings.model_copy(update={"lr": setting["lr"]}).model_dump(
                exclude={"vectors", "window"}
            ),
        )
        ensemble = TextEnsemble(
            member,
            members=setting["members"],
            meta_classes=setting["meta_classes"],
            calibrate=False,
            seed=seed,
        )
        ensemble.fit(texts_of(corpus.train.tokens, words), corpus.train.labels.tolist())
        return lambda tokens: ensemble.transform(texts_of(tokens, words))


@dataclass(frozen=True)
class OfMahalanobis:
    """:class:`textmetric.mahalanobis.Mahalanobis` on the unit embeddings of cross-entropy.

    Its rows are in the coordinates of the learnt distance, where that is the Euclidean one.
    """

    title: str = "Mahalanobis on cross_entropy"
    family: Family = Family.METRIC
    module: str = "textmetric.mahalanobis"
    distance: Distance = "euclidean"

    def space(self, classes: int) -> Space:
        """See :meth:`Candidate.space`."""
        return {"lr": LEARNING_RATE, "sampler": SAMPLERS, "diagonal": (False, True),
                "ridge": RIDGE, "pairs": PAIRS}  # fmt: skip

    def default(self, sampler: str, lr: float) -> Setting:
        """See :meth:`Candidate.default`."""
        own = Mahalanobis()
        return {"lr": lr, "sampler": sampler, "diagonal": own.diagonal, "ridge": own.ridge,
                "pairs": own.pairs}  # fmt: skip

    def learn(self, corpus: TokenizedCorpus, setting: Setting, budget: Budget, seed: int) -> Embed:
        """See :meth:`Candidate.learn`."""
        below = OfObjective("cross_entropy", Family.CLASSIFICATION)
        embed = below.learn(
            corpus, {name: setting[name] for name in ("lr", "sampler")}, budget, seed
        )
        own = {name: setting[name] for name in ("diagonal", "ridge", "pairs")}
        with one_thread():
            rows = unit(embed(corpus.train.tokens))
        learnt = Mahalanobis(**own, random_state=seed).fit(rows, corpus.train.labels)
        return lambda tokens: learnt.transform(unit(embed(tokens)))


def texts_of(tokens: Tokens, words: list[str]) -> list[str]:
    """Each row of tokens as a text that ``basic_english`` cuts into the same tokens.

    Args:
        tokens: n rows.
        words: the token of each id.
    """
    whole = tokens.whole()
    return [
        " ".join(words[token] for token in whole.ids[start:end])
        for start, end in zip(whole.offsets[:-1], whole.offsets[1:], strict=True)
    ]


def all_candidates() -> list[Candidate]:
    """Every objective of the registry, then the two estimators."""
    objectives = [OfObjective(name, family) for family in Family for name in OBJECTIVES[family]]
    return [*objectives, OfEnsemble(), OfMahalanobis()]


def as_json(space: Space) -> dict[str, list[Any]]:
    """A space for the identity of a search."""
    return {name: np.asarray(values, dtype=object).tolist() for name, values in space.items()}

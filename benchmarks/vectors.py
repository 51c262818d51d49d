"""Training from given token vectors: a step against a random start, and a model against model2vec.

model2vec trains a head of two layers and the token vectors by Adam, on the same texts, tokens and
vectors, for as many epochs with batches as large. Tokenising counts on both sides.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator
from functools import partial

import datasets  # noqa: F401  without it model2vec.train raises no ModuleNotFoundError
import numpy as np
import torch
from model2vec import StaticModel
from model2vec.train import StaticModelForClassification
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from benchmarks.corpora import texts
from benchmarks.rounds import Case, Options, cpu_seconds
from benchmarks.training import CELLS, Accuracy, accuracies
from textmetric.encoders import BagEncoder, build_encoder, start_encoder, token_vectors
from textmetric.grid import Family, Sampler
from textmetric.losses import build
from textmetric.params import Model, Train
from textmetric.text import (
    UNKNOWN,
    LabelledTokens,
    TokenizedCorpus,
    TokenVectors,
    Vocabulary,
    tokenize_given,
    tokenize_train,
)
from textmetric.text.tokenizer import given_tokenizer, read_tokenizer
from textmetric.training.loop import Epoch, fit, train
from textmetric.types import Int32

NAME = "all-MiniLM-L6-v2"
ROWS, HELD_OUT, EPOCHS = 8_000, 6_000, 5
QUICK_ROWS, QUICK_EPOCHS = 600, 2
VALIDATED = 10
"""For each of this number of train rows model2vec gets one more row to validate on."""
DIM, BATCH, LR = 256, 256, 0.03
"""As wide as model2vec distils; the batch that it chooses for 8,000 rows."""
OBJECTIVES: tuple[tuple[Family, str, Sampler], ...] = (
    *CELLS,
    (Family.METRIC, "sup_con", "balanced"),
)


def cases(options: Options) -> Iterator[Case]:
    """An epoch of each objective from both starts, then a whole training against model2vec."""
    rows = QUICK_ROWS if options.quick else ROWS
    held_out = QUICK_ROWS if options.quick else HELD_OUT
    some, labels = texts(options, rows + held_out)
    given = _small(some) if options.quick else token_vectors(NAME, dim=DIM, progress=False)
    vocabulary, tokens, _ = tokenize_given(some[:rows], given.vocabulary)
    data = LabelledTokens(tokens, labels[:rows])
    nothing = LabelledTokens(vocabulary.encode([]), np.empty(0, dtype=np.int32))
    names = [str(label) for label in range(int(labels.max()) + 1)]
    corpus = TokenizedCorpus(vocabulary, names, data, nothing, nothing)
    model = Model(dim=DIM)
    starts = start_encoder(model, corpus, given.values), build_encoder(model, len(vocabulary))
    for family, name, sampler in OBJECTIVES:
        run = partial(epoch, corpus, family, name, sampler)
        yield Case(
            "vectors",
            f"an epoch of {name} from given vectors, {rows:,} texts, {DIM} wide",
            partial(run, starts[0]),
            "ours from random vectors",
            partial(run, starts[1]),
            goal=1.3,
            note="the same steps of the same tokens",
        )
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    yield Case(
        "vectors",
        f"tokens and {epochs} epochs from given vectors, {rows:,} texts, {DIM} wide, in seconds of "
        "the processor",
        partial(ours, some, labels, rows, given, epochs),
        "model2vec's StaticModelForClassification",
        partial(theirs, some, labels, rows, given, epochs),
        goal=1 / 20,
        check=accuracies,
        note="ours sup_con and the nearest centroid; theirs validates on "
        f"{rows // VALIDATED:,} more texts after each epoch",
        clock=cpu_seconds,
    )


def epoch(
    corpus: TokenizedCorpus, family: Family, name: str, sampler: Sampler, start: BagEncoder
) -> float:
    """The mean loss of an epoch from ``start``, which stays as it is."""
    objective = build(family, {"name": name}, dim=DIM, classes=len(corpus.label_names))
    found: list[Epoch] = []
    fit(
        copy.deepcopy(start), objective, corpus.train, Train(epochs=1, lr=LR),
        sampler=sampler, seed=0, on_epoch=found.append,
    )  # fmt: skip
    return found[0].loss


def ours(some: list[str], labels: Int32, rows: int, given: TokenVectors, epochs: int) -> Accuracy:
    """From texts to a model, by supervised contrastive learning."""
    vocabulary, tokens, _ = tokenize_given(some[:rows], given.vocabulary)
    nothing = LabelledTokens(vocabulary.encode([]), np.empty(0, dtype=np.int32))
    names = [str(label) for label in range(int(labels.max()) + 1)]
    corpus = TokenizedCorpus(
        vocabulary, names, LabelledTokens(tokens, labels[:rows]), nothing, nothing
    )
    model = train(
        corpus,
        family=Family.METRIC,
        objective={"name": "sup_con"},
        sampler="balanced",
        model=Model(dim=DIM),
        settings=Train(epochs=epochs, batch_size=BATCH, lr=LR),
        seed=0,
        device=torch.device("cpu"),
        vectors=given.values,
    ).model

    tested = rows + rows // VALIDATED

    def accuracy() -> float:
        predicted = model.predict_centroid(model.embed(model.encode(some[tested:])))
        return float((predicted == labels[tested:]).mean())

    return accuracy


def theirs(some: list[str], labels: Int32, rows: int, given: TokenVectors, epochs: int) -> Accuracy:
    """The same by model2vec, with its defaults, never stopping early."""
    machine = read_tokenizer(given.vocabulary.tokenizer.definition)
    places = machine.get_vocab()
    values = np.zeros((max(places.values()) + 1, given.values.shape[1]), dtype=np.float32)
    known = [token for token in given.vocabulary.tokens if token in places]
    values[[places[token] for token in known]] = given.values[
        [given.vocabulary.ids[token] for token in known]
    ]
    static = StaticModel(vectors=values, tokenizer=machine, normalize=True)
    model = StaticModelForClassification.from_static_model(model=static, max_length=None)
    names = [str(label) for label in labels]
    check = slice(rows, rows + rows // VALIDATED)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        model.fit(
            some[:rows], names[:rows], X_val=some[check], y_val=names[check], batch_size=BATCH,
            max_epochs=epochs, early_stopping_patience=None, device="cpu",
        )  # fmt: skip

    def accuracy() -> float:
        predicted = np.asarray(model.predict(some[check.stop :]))
        return float((predicted == np.array(names[check.stop :])).mean())

    return accuracy


def _small(some: list[str]) -> TokenVectors:
    """Vectors drawn at random for the words of texts: a first look needs no pre-trained model."""
    words = tokenize_train(some)[0].tokens[1:]
    machine = Tokenizer(
        models.WordLevel({UNKNOWN: 0} | {word: i for i, word in enumerate(words, 1)}, UNKNOWN)
    )
    machine.normalizer = normalizers.Lowercase()
    machine.pre_tokenizer = pre_tokenizers.Whitespace()
    values = np.random.default_rng(0).normal(size=(len(words) + 1, DIM)).astype(np.float32)
    return TokenVectors(Vocabulary([UNKNOWN, *words], given_tokenizer(machine.to_str())), values)

"""TextEmbedder: the pipeline's training and embedding as one scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from tqdm.auto import tqdm

from textmetric.encoders import FrozenEncoder, Layer, TextVectors, token_vectors
from textmetric.encoders.frozen import checked_vectors, sentence_vectors
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import family_of, label_free, named
from textmetric.model import TrainedModel
from textmetric.params import Model, Pretrain, Train
from textmetric.schema import validated
from textmetric.text import (
    BASIC_ENGLISH,
    NGRAMS,
    UNKNOWN,
    LabelledTokens,
    RaggedTokens,
    TokenizedCorpus,
    Vocabulary,
    tokenize_given,
    tokenize_train,
)
from textmetric.training.device import choose_device
from textmetric.training.loop import train
from textmetric.types import Float32

Texts = Iterable[str] | npt.NDArray[np.floating[Any]]
"""Texts, or for a frozen encoder also their vectors (n, width)."""
Given = Float32 | TextVectors | None
"""Vectors that an encoder is given, see :func:`.build_encoder`."""


class TextEmbedder(ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn embeddings of short texts from their labels, by classification or metric learning.

    Args:
        objective: name of the objective, such as ``triplet`` or ``cross_entropy``
            (docs/objectives.md).
        objective_params: its parameters, such as ``{"margin": 0.5}``; None for its defaults.
        sampler: how batches are drawn: ``shuffled`` or ``balanced``.
        dim: width of the embedding.
        layer: ``bag``, ``linear``, ``layernorm`` or ``mlp``, the layer that is the embedding.
        encoder: ``bag`` of token vectors, or ``frozen`` text vectors of which a projection is
            trained (docs/encoders.md); ``layer`` must not be ``bag`` then.
        vectors: for a bag, the token vectors to start from: a file of word vectors, or the folder
            or hub name of a model. For a frozen encoder, the folder or hub name of the sentence
            encoder, or None: :meth:`fit`, :meth:`transform` and :meth:`predict` then take a float
            array (n, width) in place of the texts.
        tune_vectors: train the token vectors too, if the encoder is a bag.
        ngrams: ``characters`` gives words also their character n-grams as tokens
            (docs/encoders.md), ``none`` leaves them out.
        epochs: passes over the texts.
        batch_size: texts a batch, at least 4.
        optimizer: ``adagrad``, ``sgd`` or ``adam``.
        lr: learning rate at the first step.
        decay: ``linear`` to zero, or ``constant``.
        pretrain: what to learn from the texts before, without their labels, such as
            ``{"objective": "inverse_cloze", "epochs": 5}`` (docs/training.md); None for nothing.
        min_freq: tokens that occur less often are unknown.
        max_size: at most this many tokens in the vocabulary; None for all.
        seed: of weights, batches and mining; same seed, same result.
        device: where to train: ``auto``, ``cpu`` or ``cuda``.
        progress: show a progress bar.

    Attributes:
        model_: the trained model.
        classes_: (C,) the labels, sorted; str after :meth:`load`.
        curve_: a dict an epoch: loss, active fraction, distances.

    >>> texts = ["red apple pie", "green apple juice", "fast red car", "slow green car"]
    >>> embedder = TextEmbedder(epochs=20).fit(texts, ["food", "food", "road", "road"])
    >>> embedder.transform(["apple car"]).shape
    (1, 32)
    >>> embedder.predict(["juice pie"]).tolist()
    ['food']
    """

    def __init__(
        self,
        objective: str = "triplet",
        *,
        objective_params: Mapping[str, Any] | None = None,
        sampler: str = "balanced",
        dim: int = 32,
        layer: Layer = "bag",
        encoder: str = "bag",
        vectors: str | None = None,
        tune_vectors: bool = True,
        ngrams: str = "none",
        epochs: int = 10,
        batch_size: int = 64,
        optimizer: str = "adagrad",
        lr: float = 0.1,
        decay: str = "linear",
        pretrain: Mapping[str, Any] | None = None,
        min_freq: int = 1,
        max_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        progress: bool = False,
    ) -> None:
        self.objective = objective
        self.objective_params = objective_params
        self.sampler = sampler
        self.dim = dim
        self.layer = layer
        self.encoder = encoder
        self.vectors = vectors
        self.tune_vectors = tune_vectors
        self.ngrams = ngrams
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.decay = decay
        self.pretrain = pretrain
        self.min_freq = min_freq
        self.max_size = max_size
        self.seed = seed
        self.device = device
        self.progress = progress

    def fit(self, texts: Texts, labels: Sequence[Any]) -> TextEmbedder:
        """Learn from n texts and their n labels.

        Args:
            texts: n texts.
            labels: n labels. The number -1, None and an empty string mark a text without a label:
                it counts for the vocabulary and for the pre-training, and for nothing else.

        Raises:
            UserError: a bad parameter, an empty text, a label that is NaN, different lengths, a
                single class, a class with one row, or vectors that are missing or damaged.
        """
        texts = self.checked_inputs(texts)
        classes, codes = checked_labels(labels, len(texts))
        vocabulary, tokens, vectors = self.encoded(texts)
        return self.fit_tokens(vocabulary, *divided(tokens, codes), classes, vectors)

    def checked_inputs(self, texts: Texts) -> list[str] | Float32:
        """What :meth:`fit` gets, as a list or, for a frozen encoder without a name, an array.

        Raises:
            UserError: a bad parameter, an empty text, or vectors that are not finite numbers.
        """
        _, _, model, *_ = self._checked_parameters()  # before the work on the texts
        if model.encoder == "frozen" and model.vectors is None:
            return checked_vectors(_array(texts), "the text vectors")
        return checked_texts(texts)

    def encoded(self, texts: list[str] | Float32) -> tuple[Vocabulary, RaggedTokens, Given]:
        """The train texts as :meth:`fit_tokens` takes them, and what vectors the encoder is given.

        Args:
            texts: of :meth:`checked_inputs`.

        Raises:
            UserError: the vectors that are named are missing or damaged, or no token is left.
        """
        if self.encoder == "frozen":
            if isinstance(texts, list):
                assert self.vectors is not None  # or the texts would be vectors
                found = sentence_vectors(texts, self.vectors, progress=self.progress)
            else:
                found = TextVectors(texts)
            rows = np.arange(len(found.values), dtype=np.int32)
            return Vocabulary([UNKNOWN]), RaggedTokens.one_each(rows), found
        assert isinstance(texts, list)
        sizes: dict[str, Any] = {"min_freq": self.min_freq, "max_size": self.max_size}
        if self.vectors is None:
            tokenizer = NGRAMS if self.ngrams == "characters" else BASIC_ENGLISH
            return *tokenize_train(texts, tokenizer=tokenizer, **sizes), None
        given = token_vectors(
            self.vectors,
            dim=self.dim if self.layer == "bag" else None,
            max_size=self.max_size,
            progress=self.progress,
        )
        # a tokenizer that comes with the vectors has a token for every text
        extend = self.tune_vectors and not given.vocabulary.tokenizer.definition
        vocabulary, tokens, _ = tokenize_given(texts, given.vocabulary, extend=extend, **sizes)
        return vocabulary, tokens, given.values

    def fit_tokens(
        self,
        vocabulary: Vocabulary,
        data: LabelledTokens,
        unlabelled: RaggedTokens,
        classes: npt.NDArray[Any],
        vectors: Given = None,
    ) -> TextEmbedder:
        """Learn from texts that are tokens already; ``min_freq`` and ``max_size`` have no say.

        Args:
            vocabulary: of the tokens.
            data: n texts and their classes, 0 … C − 1, each class at least twice.
            unlabelled: more texts, for the pre-training.
            classes: (C,) the labels of the classes, sorted.
            vectors: see :meth:`encoded`.

        Raises:
            UserError: a bad parameter.
        """
        family, objective, model, settings, pretrain = self._checked_parameters()
        nothing = LabelledTokens(vocabulary.encode([]), np.empty(0, dtype=np.int32))
        corpus = TokenizedCorpus(
            vocabulary=vocabulary,
            label_names=[str(name) for name in classes],
            train=data,
            validation=nothing,
            test=nothing,
            unlabelled=unlabelled,
        )
        epochs = settings.epochs + (0 if pretrain is None else pretrain.epochs)
        with tqdm(total=epochs, unit="epoch", disable=not self.progress) as bar:
            self.model_, self.curve_, *_ = train(
                corpus,
                family=family,
                objective=objective,
                sampler=self.sampler,
                model=model,
                settings=settings,
                seed=self.seed,
                device=choose_device(self.device, "device"),
                pretrain=pretrain,
                vectors=vectors,
                tick=bar.update,
            )
        self.classes_ = classes
        return self

    def _checked_parameters(self) -> tuple[Family, dict[str, Any], Model, Train, Pretrain | None]:
        objective = named(
            self.objective, self.objective_params or {}, "objective_params", "objective"
        )
        model = validated(
            Model,
            {
                "encoder": self.encoder,
                "dim": self.dim,
                "layer": self.layer,
                "vectors": self.vectors,
                "ngrams": self.ngrams,
            },
        )
        if not self.tune_vectors and self.layer == "bag":
            raise UserError(
                "tune_vectors is False and layer is bag, so nothing of the encoder would be "
                "trained: set layer to linear, layernorm or mlp, or tune_vectors to True"
            )
        settings = validated(
            Train,
            {
                "epochs": self.epochs,
                "batch_size": self.batch_size,
                "optimizer": self.optimizer,
                "lr": self.lr,
                "decay": self.decay,
                "device": self.device,
                "vectors": "tuned" if self.tune_vectors else "frozen",
            },
        )
        pretrain = None
        if self.pretrain is not None:
            pretrain = validated(Pretrain, self.pretrain, "pretrain")
            label_free(pretrain.objective, pretrain.parameters)
        return family_of(self.objective), objective, model, settings, pretrain

    def transform(self, texts: Texts) -> npt.NDArray[np.float32]:
        """The embeddings (n, dim) float32 of n texts.

        A bag of token vectors has a zero bag for a text without a known token.
        """
        model = self._fitted()
        return model.embed(self.model_inputs(texts))

    def model_inputs(self, texts: Texts) -> RaggedTokens | Float32:
        """What the model embeds of n texts: their tokens, or their vectors.

        Raises:
            UserError: an item is no string, or the vectors are not finite or have another width.
        """
        model = self._fitted()
        if isinstance(model.encoder, FrozenEncoder) and (
            model.encoder.source is None or _are_vectors(texts)
        ):
            return checked_vectors(_array(texts), "the text vectors")
        return model.encode(checked_texts(texts, empty_allowed=True), progress=self.progress)

    def predict(self, texts: Texts) -> npt.NDArray[Any]:
        """The label (n,) of each text: by the head if the objective has one, else by centroid."""
        model = self._fitted()
        embeddings = self.transform(texts)
        by = model.predict_centroid if model.head is None else model.predict_head
        labels: npt.NDArray[Any] = self.classes_[by(embeddings)]
        return labels

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to ``folder``: ``model.json`` and ``weights.safetensors``.

        Labels are written as text.

        Raises:
            UserError: ``folder`` holds something else than a model, or cannot be written.
        """
        self._fitted().save(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TextEmbedder:
        """The estimator saved in ``folder``, or a model that the pipeline trained.

        Raises:
            UserError: a file is missing, damaged or of a newer format.
        """
        model = TrainedModel.load(folder)
        objective = dict(model.objective)
        embedder = cls(
            objective.pop("name"),
            objective_params=objective,
            sampler=model.sampler,
            dim=model.encoder.dim,
            layer=model.encoder.layer,
            encoder="frozen" if isinstance(model.encoder, FrozenEncoder) else "bag",
            vectors=model.encoder.source if isinstance(model.encoder, FrozenEncoder) else None,
            ngrams="characters" if model.vocabulary.tokenizer == NGRAMS else "none",
            seed=model.seed,
        )
        embedder.model_ = model
        embedder.classes_ = np.array(model.label_names)
        return embedder

    def _fitted(self) -> TrainedModel:
        if not hasattr(self, "model_"):
            raise NotFittedError("this TextEmbedder has learnt nothing yet: call fit or load")
        return self.model_


def _are_vectors(texts: Texts) -> bool:
    return isinstance(texts, np.ndarray) and texts.dtype.kind in "fiu"


def _array(texts: Texts) -> npt.NDArray[Any]:
    """Texts that should be vectors, as an array of what they are.

    Raises:
        UserError: they are strings.
    """
    array = np.asarray(texts if isinstance(texts, np.ndarray) else list(texts))
    if array.dtype.kind in "UO":
        raise UserError(
            "the encoder is frozen and vectors is None, so texts must be an array of their vectors "
            "(n, width), not strings: give one, or name a sentence encoder in vectors"
        )
    return array


def checked_texts(texts: Iterable[str], empty_allowed: bool = False) -> list[str]:
    """The texts as a list.

    Raises:
        UserError: one is no string, or empty unless ``empty_allowed``.
    """
    if isinstance(texts, str):
        raise UserError("texts is one string: pass a list of texts")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"text {row} is {text!r}, expected a string: convert or drop it")
        if not empty_allowed and not text.strip():
            raise UserError(f"text {row} is empty: drop it or fill it in")
    return texts


def checked_labels(
    labels: Sequence[Any], rows: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """The classes (C,), sorted, and which of them each of the ``rows`` labels is (n,).

    As in scikit-learn's semi-supervised estimators, a label that is the number -1 is none: its
    class is -1. So is that of None and of a string of white space. The string "-1" is a label.

    Raises:
        UserError: a label is NaN, a class has one row, or there is one class.
    """
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise UserError(
            f"{rows} texts came with labels of shape {values.shape}: pass one label a text"
        )
    # numpy makes strings of a list that mixes strings with -1
    each = np.asarray(labels, dtype=object)
    if any(label != label for label in each):
        raise UserError("a label is NaN: fill it in, or write None for a text without a label")
    given = np.array([not _is_none(label) for label in each], dtype=bool)
    classes, found, counts = np.unique(values[given], return_inverse=True, return_counts=True)
    codes = np.full(rows, -1, dtype=np.int32)
    codes[given] = found
    if len(classes) < 2:
        rest = rows - len(found)
        without = f" and {rest} texts without a label (-1, None or empty)" if rest else ""
        remedy = "label texts of two or more" if rest else "add texts"
        raise UserError(
            f"there are {len(classes)} classes{without}, expected at least two: {remedy}"
        )
    if counts.min() < 2:
        name = classes[counts.argmin()]
        raise UserError(
            f"class {str(name)!r} has one text, expected two or more: add one, or drop it"
        )
    return classes, codes


def _is_none(label: Any) -> bool:
    if isinstance(label, str):
        return not label.strip()
    return label is None or (isinstance(label, int | float | np.number) and label == -1)


def divided(
    tokens: RaggedTokens, codes: npt.NDArray[np.int32]
) -> tuple[LabelledTokens, RaggedTokens]:
    """The texts with a label, and those without, whose class is -1."""
    given = codes >= 0
    if given.all():
        return LabelledTokens(tokens, codes), RaggedTokens.empty()
    return (
        LabelledTokens(tokens.take(np.flatnonzero(given)), codes[given]),
        tokens.take(np.flatnonzero(~given)),
    )

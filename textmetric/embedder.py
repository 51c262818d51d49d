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
from textmetric.losses import family_of, ignored, parameters
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.schema import validated
from textmetric.text import (
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
        epochs: passes over the texts.
        batch_size: texts a batch, at least 4.
        optimizer: ``adagrad``, ``sgd`` or ``adam``.
        lr: learning rate at the first step.
        decay: ``linear`` to zero, or ``constant``.
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
        epochs: int = 10,
        batch_size: int = 64,
        optimizer: str = "adagrad",
        lr: float = 0.1,
        decay: str = "linear",
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
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.decay = decay
        self.min_freq = min_freq
        self.max_size = max_size
        self.seed = seed
        self.device = device
        self.progress = progress

    def fit(self, texts: Texts, labels: Sequence[Any]) -> TextEmbedder:
        """Learn from n texts and their n labels.

        Raises:
            UserError: a bad parameter, an empty text or label, different lengths, a single
                class, a class with one row, or vectors that are missing or damaged.
        """
        texts = self.checked_inputs(texts)
        classes, codes = checked_labels(labels, len(texts))
        vocabulary, tokens, vectors = self.encoded(texts)
        return self.fit_tokens(vocabulary, LabelledTokens(tokens, codes), classes, vectors)

    def checked_inputs(self, texts: Texts) -> list[str] | Float32:
        """What :meth:`fit` gets, as a list or, for a frozen encoder without a name, an array.

        Raises:
            UserError: a bad parameter, an empty text, or vectors that are not finite numbers.
        """
        _, _, model, _ = self._checked_parameters()  # before the work on the texts
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
            return *tokenize_train(texts, **sizes), None
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
        classes: npt.NDArray[Any],
        vectors: Given = None,
    ) -> TextEmbedder:
        """Learn from texts that are tokens already; ``min_freq`` and ``max_size`` have no say.

        Args:
            vocabulary: of the tokens.
            data: n texts and their classes, 0 … C − 1, each class at least twice.
            classes: (C,) the labels of the classes, sorted.
            vectors: see :meth:`encoded`.

        Raises:
            UserError: a bad parameter.
        """
        family, objective, model, settings = self._checked_parameters()
        nothing = LabelledTokens(vocabulary.encode([]), np.empty(0, dtype=np.int32))
        corpus = TokenizedCorpus(
            vocabulary=vocabulary,
            label_names=[str(name) for name in classes],
            train=data,
            validation=nothing,
            test=nothing,
        )
        with tqdm(total=settings.epochs, unit="epoch", disable=not self.progress) as bar:
            self.model_, self.curve_, *_ = train(
                corpus,
                family=family,
                objective=objective,
                sampler=self.sampler,
                model=model,
                settings=settings,
                seed=self.seed,
                device=choose_device(self.device, "device"),
                vectors=vectors,
                tick=bar.update,
            )
        self.classes_ = classes
        return self

    def _checked_parameters(self) -> tuple[Family, dict[str, Any], Model, Train]:
        family = family_of(self.objective)
        if "name" in (self.objective_params or {}):
            raise UserError("objective_params has 'name': give the name as objective")
        objective = {"name": self.objective, **(self.objective_params or {})}
        # params.yaml may keep the keys of another objective; these were given for this one.
        for key in ignored(family, objective, "objective_params"):
            raise UserError(
                f"objective_params has {key!r}, which {self.objective!r} does not have: drop it"
            )
        parameters(family, objective, "objective_params")
        model = validated(
            Model,
            {
                "encoder": self.encoder,
                "dim": self.dim,
                "layer": self.layer,
                "vectors": self.vectors,
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
        return family, objective, model, settings

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

    Raises:
        UserError: a label is missing, a class has one row, or there is one class.
    """
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise UserError(
            f"{rows} texts came with labels of shape {values.shape}: pass one label a text"
        )
    if values.dtype == object and any(label is None or label != label for label in values):
        raise UserError("a label is missing (None or NaN): drop that text or fill it in")
    if values.dtype.kind in "UO" and any(not str(label).strip() for label in values):
        raise UserError("a label is empty: drop that text or fill it in")
    classes, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise UserError(f"there are {len(classes)} classes, expected at least two: add texts")
    if counts.min() < 2:
        name = classes[counts.argmin()]
        raise UserError(
            f"class {str(name)!r} has one text, expected two or more: add one, or drop it"
        )
    return classes, codes.astype(np.int32)

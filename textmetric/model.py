"""A trained model: all that is needed to embed and classify new text, and to train further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmetric.errors import UserError, needing

with needing("a model in training", "train"):
    import torch

from textmetric.encoders import BagEncoder, FrozenEncoder, arrays_of, load_encoder, restore
from textmetric.grid import Family
from textmetric.inference import Classifier
from textmetric.losses import PML, ClassificationObjective, build, family_of, named
from textmetric.params import Recipe
from textmetric.saved import LabelType, Saved, damage
from textmetric.schema import validated
from textmetric.text import RaggedTokens, Tokens, Vocabulary
from textmetric.types import Float32, Int32, Int64, PathLike


@dataclass
class TrainedModel:
    """An encoder with its vocabulary, class names, class centroids and, if it has one, its head.

    Attributes:
        encoder: on the CPU.
        head: the classification objective it was trained with, or None.
        centroids: (C, dim) float32, mean unit embedding of each class's train rows; NaN for a
            class that had none.
        vocabulary: the known tokens, with their tokenizer.
        label_names: the C class names; labels are their places.
        recipe: how it was trained.
        logistic: (C, dim + 1) float32, the weights and, last, the intercepts of a logistic
            regression on the unit embeddings; None without.
        temperature: what the scores are divided by to give probabilities; None if it was not
            fitted.
        counts: (C,) the number of train rows of each class; None if they are not known.
        label_type: what the class names were before they were text.
    """

    encoder: BagEncoder
    head: ClassificationObjective | None
    centroids: Float32
    vocabulary: Vocabulary
    label_names: list[str]
    recipe: Recipe
    logistic: Float32 | None = None
    temperature: float | None = None
    counts: Int64 | None = None
    label_type: LabelType = "str"

    @property
    def family(self) -> Family:
        """``classification`` or ``metric``."""
        return family_of(self.recipe.objective["name"])

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> RaggedTokens | Float32:
        """What :meth:`embed` takes of n texts: their tokens, or their vectors.

        Args:
            texts: n texts.
            progress: show a progress bar where a sentence encoder gives the vectors.

        Raises:
            UserError: see :meth:`.FrozenEncoder.vectors`.
        """
        if isinstance(self.encoder, FrozenEncoder):
            return self.encoder.vectors(texts, progress=progress)
        return self.vocabulary.encode(texts)

    def embed(self, inputs: Tokens | Float32) -> Float32:
        """The embeddings (n, dim) float32 of n texts.

        Args:
            inputs: their tokens, by this model's vocabulary; or, if the encoder is frozen, their
                vectors (n, width).

        Raises:
            UserError: these are not what the encoder takes.
        """
        if not isinstance(inputs, np.ndarray):
            return self.encoder.embed(inputs)
        if not isinstance(self.encoder, FrozenEncoder):
            raise UserError(
                "this model embeds texts by their tokens, not given vectors: give texts"
            )
        return self.encoder.embed_vectors(inputs)

    def embed_texts(self, texts: Sequence[str]) -> Float32:
        """The embeddings (n, dim) float32 of n texts; see :meth:`encode`."""
        return self.embed(self.encode(texts))

    @property
    def classifier(self) -> Classifier:
        """What predicts the class of an embedding."""
        return Classifier(
            self.recipe.objective,
            {} if self.head is None else arrays_of(self.head),
            self.logistic,
            self.centroids,
        )

    def predict_head(self, embeddings: Float32) -> Int32:
        """See :meth:`.Classifier.by_head`."""
        return self.classifier.by_head(embeddings)

    def predict_centroid(self, embeddings: Float32) -> Int32:
        """See :meth:`.Classifier.by_centroid`."""
        return self.classifier.by_centroid(embeddings)

    def predict_logistic(self, embeddings: Float32) -> Int32:
        """See :meth:`.Classifier.by_logistic`."""
        return self.classifier.by_logistic(embeddings)

    def predict(self, embeddings: Float32) -> Int32:
        """See :meth:`.Classifier.predict`."""
        return self.classifier.predict(embeddings)

    def save(self, folder: PathLike) -> None:
        """Write ``model.json`` and ``weights.safetensors`` to ``folder``, replacing it.

        A given tokenizer is written too, as ``tokenizer.json``. If ``folder`` is a link, the folder
        that it leads to is replaced.

        Raises:
            UserError: ``folder`` holds something else than a model, or cannot be written.
        """
        encoder = self.encoder
        Saved(
            vocabulary=self.vocabulary,
            label_names=self.label_names,
            recipe=self.recipe.model_dump(),
            encoder=encoder.arrays(),
            width=encoder.weight.shape[1],
            classifier=self.classifier,
            encoder_sha256=encoder.sha256 if isinstance(encoder, FrozenEncoder) else "",
            temperature=self.temperature,
            counts=None if self.counts is None else self.counts.tolist(),
            label_type=self.label_type,
        ).write(folder)

    @classmethod
    def load(cls, folder: PathLike) -> TrainedModel:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: a file is missing or damaged, or this version lacks its format or tokenizer.
        """
        saved = Saved.read(folder)
        with damage(Path(folder, "model.json")):
            recipe = validated(Recipe, saved.recipe, "recipe")
            objective = dict(recipe.objective)
            family = family_of(name := objective.pop("name"))
            if not name.startswith(PML):  # its package is needed for training alone
                named(name, objective, "recipe.objective", "recipe.objective.name")
        classifier = saved.classifier
        encoder = load_encoder(
            recipe.model,
            saved.encoder,
            tokens=len(saved.vocabulary),
            width=saved.width,
            sha256=saved.encoder_sha256,
        )
        head: ClassificationObjective | None = None
        if family is Family.CLASSIFICATION:
            with torch.device("meta"):  # see load_encoder
                built = build(
                    family,
                    recipe.objective,
                    dim=recipe.model.dim,
                    classes=len(saved.label_names),
                )
            assert isinstance(built, ClassificationObjective)
            head = built
            restore(head, classifier.head)
        return cls(
            encoder=encoder,
            head=head,
            centroids=classifier.centroids,
            vocabulary=saved.vocabulary,
            label_names=saved.label_names,
            recipe=recipe,
            logistic=classifier.logistic,
            temperature=saved.temperature,
            counts=None if saved.counts is None else np.array(saved.counts, dtype=np.int64),
            label_type=saved.label_type,
        )

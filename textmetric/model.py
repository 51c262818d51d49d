"""A trained model: all that is needed to embed and classify new text, and its two files."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from textmetric.encoders import BagEncoder, FrozenEncoder, load_encoder
from textmetric.errors import UserError
from textmetric.files import read_json, reading, replacing_folder, write_json
from textmetric.grid import Family
from textmetric.losses import ClassificationObjective, build
from textmetric.measures import centroid_predict
from textmetric.measures.rows import unit
from textmetric.text import RaggedTokens, Vocabulary, tokenizer_named
from textmetric.types import Float32, Int32, PathLike

FORMAT = 1


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
        family: ``classification`` or ``metric``.
        objective: name and parameters of the objective.
        sampler: how its batches were drawn.
        seed: of its training.
        logistic: (C, dim + 1) float32, the weights and, last, the intercepts of a logistic
            regression on the unit embeddings; None without.
    """

    encoder: BagEncoder
    head: ClassificationObjective | None
    centroids: Float32
    vocabulary: Vocabulary
    label_names: list[str]
    family: Family
    objective: dict[str, Any]
    sampler: str
    seed: int
    logistic: Float32 | None = None

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

    def embed(self, inputs: RaggedTokens | Float32) -> Float32:
        """The embeddings (n, dim) float32 of n texts.

        Args:
            inputs: their tokens, by this model's vocabulary; or, if the encoder is frozen, their
                vectors (n, width).

        Raises:
            UserError: these are not what the encoder takes.
        """
        if isinstance(inputs, RaggedTokens):
            return self.encoder.embed(inputs)
        if not isinstance(self.encoder, FrozenEncoder):
            raise UserError(
                "this model embeds texts by their tokens, not given vectors: give texts"
            )
        return self.encoder.embed_vectors(inputs)

    def embed_texts(self, texts: Sequence[str]) -> Float32:
        """The embeddings (n, dim) float32 of n texts; see :meth:`encode`."""
        return self.embed(self.encode(texts))

    def predict_head(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 that the head gives to embeddings (n, dim).

        Raises:
            UserError: the model was trained by a metric objective and has no head.
        """
        if self.head is None:
            raise UserError(
                f"a model trained with {self.objective.get('name')!r} has no classification "
                "head: predict by the nearest centroid instead"
            )
        with torch.no_grad():
            logits = self.head.logits(torch.from_numpy(embeddings))
        labels: Int32 = np.asarray(logits.argmax(dim=1), dtype=np.int32)
        return labels

    def predict_centroid(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 whose centroid has the largest cosine with each embedding."""
        return centroid_predict(self.centroids, embeddings).astype(np.int32, copy=False)

    def predict_logistic(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 that the logistic regression gives to embeddings (n, dim).

        Raises:
            UserError: the model has none.
        """
        if self.logistic is None:
            raise UserError(
                "this model has no logistic regression: predict by the nearest centroid instead"
            )
        scores = unit(embeddings) @ self.logistic[:, :-1].T + self.logistic[:, -1]
        labels: Int32 = scores.argmax(axis=1).astype(np.int32)
        return labels

    def predict(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 by the head, else the logistic regression, else the centroids."""
        if self.head is not None:
            return self.predict_head(embeddings)
        if self.logistic is not None:
            return self.predict_logistic(embeddings)
        return self.predict_centroid(embeddings)

    def save(self, folder: PathLike) -> None:
        """Write ``model.json`` and ``weights.safetensors`` to ``folder``, replacing it.

        A given tokenizer is written too, as ``tokenizer.json``.

        Raises:
            UserError: ``folder`` holds something else than a model, or cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and (
            not folder.is_dir() or set(os.listdir(folder)) - {*_FILES, _TOKENIZER}
        ):
            raise UserError(
                f"{folder} exists and is not a saved model: choose another folder, or empty it"
            )
        tokens = "\n".join(self.vocabulary.tokens).encode("utf-8")
        tensors = {
            **self.encoder.tensors(),
            "centroids": torch.from_numpy(self.centroids),
            "vocabulary": torch.from_numpy(np.frombuffer(tokens, dtype=np.uint8).copy()),
        }
        if self.logistic is not None:
            tensors["logistic"] = torch.from_numpy(self.logistic)
        if self.head is not None:
            tensors |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        description = {
            "format": FORMAT,
            "tokenizer": self.vocabulary.tokenizer.name,
            **self.encoder.describe(),
            "label_names": self.label_names,
            "family": self.family,
            "objective": self.objective,
            "sampler": self.sampler,
            "seed": self.seed,
        }
        with replacing_folder(folder) as temporary:
            try:
                save_file(
                    {name: tensor.contiguous() for name, tensor in tensors.items()},
                    temporary / "weights.safetensors",
                )
            except SafetensorError as error:  # only its text says that a disk is full
                full = f"os error {errno.ENOSPC}" in str(error)
                raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from None
            write_json(temporary / "model.json", description)
            if self.vocabulary.tokenizer.definition:
                definition = self.vocabulary.tokenizer.definition
                (temporary / _TOKENIZER).write_text(definition, encoding="utf-8")

    @classmethod
    def load(cls, folder: PathLike) -> TrainedModel:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: a file is missing or damaged, or this version lacks its format or tokenizer.
        """
        folder = Path(folder)
        for name in sorted(_FILES):
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder} holds no {name}, so it is not a saved model: name a folder such "
                    "as models/metric/target/target/balanced/seed-0"
                )
        description = read_json(folder / "model.json")
        if description.get("format") != FORMAT:
            raise UserError(
                f"{folder / 'model.json'} has format {description.get('format')!r}, this version "
                f"reads format {FORMAT}: install the version that wrote it, or train again"
            )
        definition = ""
        if (folder / _TOKENIZER).exists():
            with reading(folder / _TOKENIZER, "a tokenizer"):
                definition = (folder / _TOKENIZER).read_text(encoding="utf-8")
        try:
            tokenizer = tokenizer_named(description.get("tokenizer"), definition)
        except UserError as error:
            raise UserError(
                f"{folder / 'model.json'}: {error}; install the version that wrote the model, or "
                "train again"
            ) from None
        try:
            tensors = load_file(folder / "weights.safetensors")
            tokens = bytes(tensors["vocabulary"].numpy()).decode().split("\n")
            vocabulary = Vocabulary(tokens, tokenizer)
            encoder = load_encoder(description, tensors, len(vocabulary))
            head: ClassificationObjective | None = None
            if Family(description["family"]) is Family.CLASSIFICATION:
                built = build(
                    Family.CLASSIFICATION,
                    description["objective"],
                    dim=description["dim"],
                    classes=len(description["label_names"]),
                )
                assert isinstance(built, ClassificationObjective)
                head = built
                head.load_state_dict({name: tensors[f"head.{name}"] for name in head.state_dict()})
                head.eval()
            centroids = tensors["centroids"].numpy()
            logistic = tensors["logistic"].numpy() if "logistic" in tensors else None
        except (OSError, KeyError, RuntimeError, UnicodeDecodeError, SafetensorError) as error:
            problem = " ".join(str(error).split())[:200]
            raise UserError(
                f"{folder} is damaged ({problem}): copy it again, or train again"
            ) from None
        return cls(
            encoder=encoder,
            head=head,
            centroids=centroids,
            vocabulary=vocabulary,
            label_names=description["label_names"],
            family=Family(description["family"]),
            objective=description["objective"],
            sampler=description["sampler"],
            seed=description["seed"],
            logistic=logistic,
        )


_FILES = {"model.json", "weights.safetensors"}
_TOKENIZER = "tokenizer.json"

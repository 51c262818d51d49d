"""A trained model: all that is needed to embed and classify new text, and its two files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from pydantic import Field, field_validator, model_validator
from safetensors import SafetensorError
from torch import Tensor

from textmetric.encoders import BagEncoder, FrozenEncoder, checked, load_encoder, restore
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_folder, write_json
from textmetric.grid import Family
from textmetric.losses import PML, ClassificationObjective, build, family_of, named
from textmetric.measures import centroid_predict
from textmetric.measures.rows import unit
from textmetric.params import Recipe
from textmetric.schema import Section, validated
from textmetric.text import RaggedTokens, Vocabulary, tokenizer_named
from textmetric.types import Float32, Float64, Floats, Int32, Int64, PathLike

FORMAT = 3
LabelType = Literal["str", "int", "float", "bool"]


class Description(Section):
    """What ``model.json`` holds.

    Attributes:
        format: of the folder.
        tokenizer: the name of the vocabulary's tokenizer.
        width: of the token vectors, or of the text vectors that a frozen encoder takes.
        label_names: the class names.
        recipe: how the model was trained.
        logistic: whether there is a logistic regression.
        temperature: of :class:`TrainedModel`.
        counts: of :class:`TrainedModel`.
        label_type: of :class:`TrainedModel`.
        sha256: of ``weights.safetensors``.
        tokenizer_sha256: of ``tokenizer.json``; "" if there is no such file.
        encoder_sha256: of the weights of the sentence encoder; "" if there is no sum.
    """

    format: int
    tokenizer: str
    width: int = Field(ge=1)
    label_names: list[str] = Field(min_length=1)
    recipe: Recipe
    logistic: bool
    temperature: float | None = Field(default=None, gt=0)
    counts: list[Annotated[int, Field(ge=0, le=2**53)]] | None = None
    label_type: LabelType = "str"
    sha256: str
    tokenizer_sha256: str
    encoder_sha256: str

    @model_validator(mode="after")
    def _fit_together(self) -> Description:
        if self.counts is not None and (
            len(self.counts) != len(self.label_names) or not any(self.counts)
        ):
            raise ValueError("counts should hold a number for each of label_names, not all 0")
        labels_of(self.label_names, self.label_type)
        return self

    @field_validator("label_names")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("it should hold no name twice")
        return names


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
        temperature: what :meth:`scores` are divided by to give probabilities; None if it was not
            fitted.
        counts: (C,) the number of train rows of each class; None if they are not known.
        label_type: what the class names were before they were text: ``str``, ``int``, ``float`` or
            ``bool``.
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
                f"a model trained with {self.recipe.objective['name']!r} has no classification "
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
        scores = linear_scores(self.logistic, embeddings)
        labels: Int32 = scores.argmax(axis=1).astype(np.int32)
        return labels

    def scores(self, embeddings: Float32) -> Float64:
        """The scores (n, C) of the classes, by what :meth:`predict` predicts with.

        They are the logits of the head or of the logistic regression, or else the cosines to the
        class centroids: −∞ for a class without train rows.
        """
        if self.head is not None:
            with torch.no_grad():
                logits = self.head.logits(torch.from_numpy(embeddings))
            return np.asarray(logits, dtype=np.float64)
        if self.logistic is not None:
            return linear_scores(self.logistic, embeddings)
        return cosine_scores(self.centroids, embeddings)

    def predict(self, embeddings: Float32) -> Int32:
        """The class (n,) int32 by the head, else the logistic regression, else the centroids."""
        if self.head is not None:
            return self.predict_head(embeddings)
        if self.logistic is not None:
            return self.predict_logistic(embeddings)
        return self.predict_centroid(embeddings)

    def save(self, folder: PathLike) -> None:
        """Write ``model.json`` and ``weights.safetensors`` to ``folder``, replacing it.

        A given tokenizer is written too, as ``tokenizer.json``. If ``folder`` is a link, the folder
        that it leads to is replaced.

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
        # a token may hold half of a surrogate pair, which strict UTF-8 cannot write
        tokens = "\n".join(self.vocabulary.tokens).encode("utf-8", "surrogatepass")
        tensors = {
            **self.encoder.tensors(),
            "centroids": torch.from_numpy(self.centroids),
            "vocabulary": torch.from_numpy(np.frombuffer(tokens, dtype=np.uint8).copy()),
            **_of_head(self.head),
        }
        if self.logistic is not None:
            tensors[_LOGISTIC] = torch.from_numpy(self.logistic)
        weights = safetensors.torch.save(
            {name: tensor.contiguous() for name, tensor in tensors.items()}
        )
        definition = self.vocabulary.tokenizer.definition.encode("utf-8")
        encoder = self.encoder
        description = Description(
            format=FORMAT,
            tokenizer=self.vocabulary.tokenizer.name,
            width=encoder.weight.shape[1],
            label_names=self.label_names,
            recipe=self.recipe,
            logistic=self.logistic is not None,
            temperature=self.temperature,
            counts=None if self.counts is None else self.counts.tolist(),
            label_type=self.label_type,
            sha256=_sha256(weights),
            tokenizer_sha256=_sha256(definition) if definition else "",
            encoder_sha256=encoder.sha256 if isinstance(encoder, FrozenEncoder) else "",
        )
        with replacing_folder(folder) as temporary:
            (temporary / _WEIGHTS).write_bytes(weights)
            if definition:
                (temporary / _TOKENIZER).write_bytes(definition)
            write_json(temporary / _DESCRIPTION, description.model_dump())

    @classmethod
    def load(cls, folder: PathLike) -> TrainedModel:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: a file is missing or damaged, or this version lacks its format or tokenizer.
        """
        folder = Path(folder)
        for name in _FILES:
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder} holds no {name}, so it is not a saved model: name a folder such "
                    "as models/metric/target/target/balanced/seed-0"
                )
        about = _described(folder / _DESCRIPTION)
        definition = b""
        if os.path.lexists(folder / _TOKENIZER):
            definition = _read(folder / _TOKENIZER, about.tokenizer_sha256)
        try:
            tokenizer = tokenizer_named(about.tokenizer, definition.decode("utf-8"))
        except UserError as error:
            raise UserError(
                f"{folder / _DESCRIPTION}: {error}; install the version that wrote the model, or "
                "train again"
            ) from None
        weights = _read(folder / _WEIGHTS, about.sha256)
        recipe, classes = about.recipe, len(about.label_names)
        with _damage(folder / _WEIGHTS):
            tensors = safetensors.torch.load(weights)
            letters = tensors["vocabulary"]
            checked("vocabulary", torch.empty(letters.numel(), dtype=torch.uint8), tensors)
            tokens = letters.numpy().tobytes().decode("utf-8", "surrogatepass").split("\n")
            vocabulary = Vocabulary(tokens, tokenizer)
            encoder = load_encoder(
                recipe.model,
                tensors,
                tokens=len(vocabulary),
                width=about.width,
                sha256=about.encoder_sha256,
            )
            head: ClassificationObjective | None = None
            if family_of(recipe.objective["name"]) is Family.CLASSIFICATION:
                with torch.device("meta"):  # see load_encoder
                    built = build(
                        Family.CLASSIFICATION,
                        recipe.objective,
                        dim=recipe.model.dim,
                        classes=classes,
                    )
                assert isinstance(built, ClassificationObjective)
                head = built
                restore(head, head.state_dict(), tensors, prefix=_HEAD)
            expected = torch.empty((classes, encoder.dim), device="meta")
            centroids = checked("centroids", expected, tensors, finite=False).numpy()
            missing = np.isnan(centroids).all(axis=1)  # of a class without train rows
            if missing.all() or not np.isfinite(centroids[~missing]).all():
                raise ValueError("the tensor centroids holds NaN or infinity")
            logistic: Float32 | None = None
            if about.logistic:
                expected = torch.empty((classes, encoder.dim + 1), device="meta")
                logistic = checked(_LOGISTIC, expected, tensors).numpy()
            known = {*encoder.tensors(), "centroids", "vocabulary"}
            known |= {_LOGISTIC} if about.logistic else set()
            if extra := set(tensors) - known - set(_of_head(head)):
                raise ValueError(f"it holds the tensor {min(extra)}, which no such model has")
        return cls(
            encoder=encoder,
            head=head,
            centroids=centroids,
            vocabulary=vocabulary,
            label_names=about.label_names,
            recipe=recipe,
            logistic=logistic,
            temperature=about.temperature,
            counts=None if about.counts is None else np.array(about.counts, dtype=np.int64),
            label_type=about.label_type,
        )


def labels_of(names: Sequence[str], kind: LabelType) -> npt.NDArray[Any]:
    """The labels (C,) whose names these are.

    Raises:
        ValueError: a name is none of such a label.

    >>> labels_of(["3", "10"], "int").tolist()
    [3, 10]
    """
    if kind == "bool":
        if unknown := set(names) - {"False", "True"}:
            raise ValueError(f"the label {min(unknown)} is no bool")
        return np.array([name == "True" for name in names])
    return np.array(list(names), dtype=str).astype({"str": str, "int": int, "float": float}[kind])


def linear_scores(weights: Float32, embeddings: Floats) -> Float64:
    """The scores (n, C) of unit embeddings (n, dim) by weights (C, dim + 1), intercepts last."""
    scores: Float64 = unit(embeddings) @ weights[:, :-1].T + weights[:, -1]
    return scores


def cosine_scores(centroids: Floats, embeddings: Floats) -> Float64:
    """The cosines (n, C) of embeddings (n, dim) to centroids (C, dim); −∞ for one of NaN."""
    missing = np.asarray(np.isnan(centroids).any(axis=1))
    cosines: Float64 = unit(embeddings) @ unit(np.where(missing[:, None], 0, centroids)).T
    cosines[:, missing] = -np.inf
    return cosines


_DESCRIPTION, _WEIGHTS = _FILES = ("model.json", "weights.safetensors")
_TOKENIZER = "tokenizer.json"
_HEAD = "head."
_LOGISTIC = "logistic"


def _of_head(head: ClassificationObjective | None) -> dict[str, Tensor]:
    """The tensors of the head, as a saved model names them; none without a head."""
    return {f"{_HEAD}{name}": value for name, value in (head.state_dict() if head else {}).items()}


def _described(path: Path) -> Description:
    """Read and check ``model.json``.

    Raises:
        UserError: it is damaged, or of another format.
    """
    with _damage(path):
        raw = read_json(path)
        if not isinstance(raw, dict):
            raise ValueError(f"it holds a {type(raw).__name__}, expected a mapping")
    if raw.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {raw.get('format')!r:.20}, this version reads format {FORMAT}: "
            "install the version that wrote it, or train again"
        )
    with _damage(path):
        about = validated(Description, raw)
        objective = dict(about.recipe.objective)
        name = objective.pop("name", None)
        family_of(name)
        if not name.startswith(PML):  # its package is needed for training alone
            named(name, objective, "recipe.objective", "recipe.objective.name")
    return about


def _read(path: Path, sha256: str) -> bytes:
    """The content of a file.

    Raises:
        UserError: its sum is another, or it cannot be read.
    """
    with _damage(path):
        if not path.is_file():
            raise ValueError("it is no file")
        content = path.read_bytes()
        if _sha256(content) != sha256:
            raise ValueError(f"its sha256 is not the one that {_DESCRIPTION} names")
    return content


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Say that a file of a saved model is damaged if the block cannot use it.

    Raises:
        UserError: the block raised what bad files lead to.
    """
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, OverflowError,
            SafetensorError) as error:  # fmt: skip
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} is damaged ({problem}): copy the folder again, or train again"
        ) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

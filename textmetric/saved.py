"""The folder of a saved model: written, and read and checked, without torch and pydantic.

``model.json`` describes the model, ``weights.safetensors`` holds its arrays, and ``tokenizer.json``
is there if the tokenizer came with given token vectors.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from textmetric.errors import UserError, shown
from textmetric.files import read_json, replacing_folder, write_json
from textmetric.inference import Arrays, Classifier, Layer, head_shapes, layer_shapes
from textmetric.text import Vocabulary, tokenizer_named
from textmetric.types import Float32, PathLike

FORMAT = 3
LabelType = Literal["str", "int", "float", "bool"]

_DESCRIPTION, _WEIGHTS = _FILES = ("model.json", "weights.safetensors")
_TOKENIZER = "tokenizer.json"
_HEAD = "head."
_MOST_ROWS = 1 << 53
_KEYS: dict[str, type] = {
    "format": int,
    "tokenizer": str,
    "width": int,
    "label_names": list,
    "recipe": dict,
    "logistic": bool,
    "temperature": float,
    "counts": list,
    "label_type": str,
    "sha256": str,
    "tokenizer_sha256": str,
    "encoder_sha256": str,
}
_OPTIONAL = ("temperature", "counts")
"""Keys whose value may be null."""
_NAMES = {int: "a whole number", str: "a string", list: "a list", dict: "a mapping",
          bool: "true or false", float: "a number"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Saved:
    """What the folder of a model holds.

    Attributes:
        vocabulary: the known tokens, with their tokenizer.
        label_names: the C class names.
        recipe: how the model was trained, as JSON; what embedding and classifying need is checked.
        encoder: (V, width) ``weight``, the token vectors, unless the encoder is frozen; and the
            weights of the layer, see :func:`.layer_shapes`.
        width: of the token vectors, or of the text vectors that a frozen encoder takes.
        classifier: what predicts the class of an embedding.
        encoder_sha256: of the weights of the sentence encoder; "" if there is no sum.
        temperature: what the scores are divided by to give probabilities; None if it was not
            fitted.
        counts: the number of train rows of each class; None if they are not known.
        label_type: what the class names were before they were text.
    """

    vocabulary: Vocabulary
    label_names: list[str]
    recipe: Mapping[str, Any]
    encoder: Arrays
    width: int
    classifier: Classifier
    encoder_sha256: str = ""
    temperature: float | None = None
    counts: list[int] | None = None
    label_type: LabelType = "str"

    @property
    def frozen(self) -> bool:
        """Whether the encoder takes text vectors instead of tokens."""
        return bool(self.recipe["model"]["encoder"] == "frozen")

    def write(self, folder: PathLike) -> None:
        """Write the folder, replacing it; if it is a link, the folder that it leads to.

        Raises:
            UserError: ``folder`` holds something else than a model, or cannot be written.
        """
        folder = Path(folder)
        refuse_replacing(folder)
        # a token may hold half of a surrogate pair, which strict UTF-8 cannot write
        tokens = "\n".join(self.vocabulary.tokens).encode("utf-8", "surrogatepass")
        classifier = self.classifier
        arrays: dict[str, npt.NDArray[Any]] = {
            **self.encoder,
            "centroids": classifier.centroids,
            "vocabulary": np.frombuffer(tokens, dtype=np.uint8),
            **{f"{_HEAD}{name}": value for name, value in classifier.head.items()},
        }
        if classifier.logistic is not None:
            arrays["logistic"] = classifier.logistic
        weights = safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        )
        definition = self.vocabulary.tokenizer.definition.encode("utf-8")
        description = {
            "format": FORMAT,
            "tokenizer": self.vocabulary.tokenizer.name,
            "width": self.width,
            "label_names": self.label_names,
            "recipe": self.recipe,
            "logistic": classifier.logistic is not None,
            "temperature": self.temperature,
            "counts": self.counts,
            "label_type": self.label_type,
            "sha256": _sha256(weights),
            "tokenizer_sha256": _sha256(definition) if definition else "",
            "encoder_sha256": self.encoder_sha256,
        }
        with replacing_folder(folder) as temporary:
            (temporary / _WEIGHTS).write_bytes(weights)
            if definition:
                (temporary / _TOKENIZER).write_bytes(definition)
            write_json(temporary / _DESCRIPTION, description)

    @classmethod
    def read(cls, folder: PathLike) -> Saved:
        """Read what :meth:`write` wrote.

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
            definition = _read(folder / _TOKENIZER, about["tokenizer_sha256"])
        try:
            tokenizer = tokenizer_named(about["tokenizer"], definition.decode("utf-8"))
        except UserError as error:
            raise UserError(
                f"{folder / _DESCRIPTION}: {error}; install the version that wrote the model, or "
                "train again"
            ) from None
        weights = _read(folder / _WEIGHTS, about["sha256"])
        recipe, width, classes = about["recipe"], about["width"], len(about["label_names"])
        model, objective = recipe["model"], recipe["objective"]
        with damage(folder / _WEIGHTS):
            arrays = _Arrays(safetensors.numpy.load(weights))
            letters = arrays.take("vocabulary", None, np.uint8)
            tokens = letters.tobytes().decode("utf-8", "surrogatepass").split("\n")
            vocabulary = Vocabulary(tokens, tokenizer)
            shapes = layer_shapes(model["layer"], width, model["dim"])
            if model["encoder"] == "bag":
                shapes["weight"] = (len(vocabulary), width)
            encoder = {name: arrays.take(name, shape) for name, shape in shapes.items()}
            head = {
                name: arrays.take(f"{_HEAD}{name}", shape)
                for name, shape in head_shapes(objective["name"], classes, model["dim"]).items()
            }
            centroids = arrays.take("centroids", (classes, model["dim"]), finite=False)
            missing = np.isnan(centroids).all(axis=1)  # of a class without train rows
            if missing.all() or not np.isfinite(centroids[~missing]).all():
                raise ValueError("the array centroids holds NaN or infinity")
            logistic: Float32 | None = None
            if about["logistic"]:
                logistic = arrays.take("logistic", (classes, model["dim"] + 1))
            arrays.end()
        return cls(
            vocabulary=vocabulary,
            label_names=about["label_names"],
            recipe=recipe,
            encoder=encoder,
            width=width,
            classifier=Classifier(objective, head, logistic, centroids),
            encoder_sha256=about["encoder_sha256"],
            temperature=about["temperature"],
            counts=about["counts"],
            label_type=about["label_type"],
        )


def refuse_replacing(folder: PathLike) -> None:
    """Check that a model may be written to ``folder``.

    Raises:
        UserError: it is there, and is neither empty nor a saved model.
    """
    place = os.path.realpath(folder)  # a link may lead to what is not there yet
    if os.path.lexists(place) and (
        not os.path.isdir(place) or set(os.listdir(place)) - {*_FILES, _TOKENIZER}
    ):
        raise UserError(
            f"{folder} exists and is not a saved model: choose another folder, or empty it"
        )


class _Arrays:
    """The arrays of a file, each to be taken once."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._arrays = arrays

    def take(
        self,
        name: str,
        shape: tuple[int, ...] | None,
        dtype: type[np.generic] = np.float32,
        *,
        finite: bool = True,
    ) -> npt.NDArray[Any]:
        """One array.

        Args:
            name: of it.
            shape: that it must have; None for any of one dimension.
            dtype: that it must have.
            finite: refuse NaN and infinity.

        Raises:
            ValueError: it is missing, has another type or shape, or is not finite.
        """
        if name not in self._arrays:
            raise ValueError(f"the array {name} is missing")
        array = self._arrays.pop(name)
        expected = (array.size,) if shape is None else shape
        if array.dtype != dtype or array.shape != expected:
            raise ValueError(
                f"the array {name} is {array.dtype} of shape {array.shape}, expected "
                f"{np.dtype(dtype)} of shape {expected}"
            )
        if finite and not np.isfinite(array).all():
            raise ValueError(f"the array {name} holds NaN or infinity")
        return array

    def end(self) -> None:
        """Raises ValueError if an array was not taken."""
        if self._arrays:
            raise ValueError(f"it holds the array {min(self._arrays)}, which no such model has")


def _described(path: Path) -> dict[str, Any]:
    """The content of ``model.json``; of the recipe, what embedding and classifying need is checked.

    Raises:
        UserError: it is damaged, or of another format.
    """
    with damage(path):
        about = read_json(path)
        if not isinstance(about, dict):
            raise ValueError(f"it holds a {type(about).__name__}, expected a mapping")
    if about.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {about.get('format')!r:.20}, this version reads format {FORMAT}: "
            "install the version that wrote it, or train again"
        )
    with damage(path):
        for key, kind in _KEYS.items():
            if about.get(key, 0) is not None or key not in _OPTIONAL:
                _value(about, key, kind)
        if unknown := about.keys() - _KEYS.keys():
            raise ValueError(f"it has the key {shown(min(unknown))}, which no such model has")
        names = about["label_names"]
        if not names or not all(type(name) is str for name in names):
            raise ValueError(f"label_names is {shown(names)}, but it should hold strings")
        if len(set(names)) < len(names):
            raise ValueError(f"label_names is {shown(names)}, but it should hold no name twice")
        _check_predictions(about)
        _check_recipe(about["recipe"])
        if about["width"] < 1:
            raise ValueError(f"width is {about['width']}, but it should be at least 1")
        model = about["recipe"]["model"]
        if model["layer"] == "bag" and model["dim"] != about["width"]:
            raise ValueError("recipe.model.dim is not the width, but recipe.model.layer is bag")
    return about


def _check_predictions(about: Mapping[str, Any]) -> None:
    """Raises ValueError if what makes labels and probabilities of scores is wrong."""
    temperature, counts = about["temperature"], about["counts"]
    if temperature is not None and not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}, but it should be positive")
    names, kind = about["label_names"], about["label_type"]
    if counts is not None and (
        len(counts) != len(names)
        or not all(type(count) is int and 0 <= count <= _MOST_ROWS for count in counts)
        or not any(counts)
    ):
        raise ValueError(
            f"counts is {shown(counts)}, but it should hold a number of rows for each of "
            "label_names, not all of them 0"
        )
    if kind not in get_args(LabelType):
        raise ValueError(f"label_type is {shown(kind)}, expected one of {get_args(LabelType)}")
    labels_of(names, kind)


def labels_of(names: Sequence[str], kind: LabelType) -> npt.NDArray[Any]:
    """The labels (C,) whose names these are.

    Raises:
        ValueError: a name is none of such a label.

    >>> labels_of(["3", "10"], "int").tolist()
    [3, 10]
    """
    if kind == "bool":
        if unknown := set(names) - {"False", "True"}:
            raise ValueError(f"the label {shown(min(unknown))} is no truth value")
        return np.array([name == "True" for name in names])
    return np.array(list(names), dtype=str).astype({"str": str, "int": int, "float": float}[kind])


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    """Raises ValueError if a value that embedding or classifying needs is missing or wrong."""
    model = _value(recipe, "model", dict, "recipe.")
    for key, allowed in (("encoder", ("bag", "frozen")), ("layer", get_args(Layer))):
        if _value(model, key, str, "recipe.model.") not in allowed:
            raise ValueError(
                f"recipe.model.{key} is {shown(model[key])}, expected one of {allowed}"
            )
    if _value(model, "dim", int, "recipe.model.") < 1:
        raise ValueError(f"recipe.model.dim is {model['dim']}, but it should be at least 1")
    if model.get("vectors") is not None:
        _value(model, "vectors", str, "recipe.model.")
    if model["encoder"] == "frozen" and model["layer"] == "bag":
        raise ValueError("recipe.model.layer is bag, but recipe.model.encoder is frozen")
    objective = _value(recipe, "objective", dict, "recipe.")
    if _value(objective, "name", str, "recipe.objective.") == "norm_softmax":
        if "layer_norm" in objective:
            _value(objective, "layer_norm", bool, "recipe.objective.")
        if "temperature" in objective:
            objective["temperature"] = temperature = float(
                _value(objective, "temperature", float, "recipe.objective.")
            )
            if not 0 < temperature < math.inf:
                raise ValueError(
                    f"recipe.objective.temperature is {temperature}, but it should be positive"
                )


def _value(section: Mapping[str, Any], key: str, kind: type, prefix: str = "") -> Any:
    """The value of a key.

    Raises:
        ValueError: it is missing, or of another type.
    """
    if key not in section:
        raise ValueError(f"'{prefix}{key}' is missing")
    value = section[key]
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{prefix}{key} is {shown(value)}, but it should be {_NAMES[kind]}")
    return value


def _read(path: Path, sha256: str) -> bytes:
    """The content of a file.

    Raises:
        UserError: its sum is another, or it cannot be read.
    """
    with damage(path):
        if not path.is_file():
            raise ValueError("it is no file")
        content = path.read_bytes()
        if _sha256(content) != sha256:
            raise ValueError(f"its sha256 is not the one that {_DESCRIPTION} names")
    return content


@contextmanager
def damage(path: Path) -> Iterator[None]:
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

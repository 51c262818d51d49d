"""Exports as static embeddings: for model2vec, and for sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from textmetric.errors import UserError
from textmetric.export.card import CARD, Measures, card
from textmetric.export.folder import export_folder
from textmetric.export.source import (
    Source,
    folded,
    projection,
    title_of,
    token_model,
    token_vectors,
)
from textmetric.export.tokenizer import tokenizer_json
from textmetric.files import write_json
from textmetric.saved import Saved
from textmetric.text.tokenizer import GIVEN
from textmetric.types import Float32, PathLike

_TOKENIZER, _WEIGHTS = "tokenizer.json", "model.safetensors"
_MODULES = "sentence_transformers.models."
_TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "static-embeddings")
_CONSTANT = (
    "A text without a known token is the zero vector here; the model gives it its layer's bias."
)


def export_model2vec(model: Source, out: PathLike, *, measures: Measures | None = None) -> None:
    """Write a folder that ``model2vec.StaticModel.from_pretrained`` opens.

    A layer ``linear`` is folded into the token vectors, see :func:`.folded`. sentence-transformers
    opens the folder, too.

    Args:
        model: the folder of a saved model, or the model.
        out: the folder to write; an earlier export is replaced.
        measures: for the card, see :data:`.Measures`.

    Raises:
        UserError: the layer is ``layernorm`` or ``mlp``, the encoder is frozen, the tokenizer has
            n-grams, or ``out`` cannot be written.
    """
    saved = token_model(model, "model2vec")
    layer = saved.recipe["model"]["layer"]
    if layer not in ("bag", "linear"):
        raise UserError(
            f"this model has the layer {layer}, which model2vec cannot express: export it to "
            "sentence-transformers or onnx"
        )
    notes = [] if layer == "bag" else [_CONSTANT]
    with export_folder(out) as folder:
        _write_tokens(folder, saved, "embeddings", folded(saved))
        # null: texts are not cut at 512 tokens
        write_json(folder / "config.json", {"normalize": False, "max_length": None})
        write_json(folder / "modules.json", _modules(("StaticEmbedding", ".")))
        text = card(
            saved,
            title=title_of(out),
            front={"library_name": "model2vec", "pipeline_tag": "sentence-similarity"},
            tags=_TAGS,
            usage=_MODEL2VEC,
            notes=notes,
            measures=measures,
        )
        (folder / CARD).write_text(text, encoding="utf-8")


def export_sentence_transformers(
    model: Source, out: PathLike, *, measures: Measures | None = None
) -> None:
    """Write a folder that ``sentence_transformers.SentenceTransformer`` opens.

    Token vectors are a ``StaticEmbedding``, a layer is ``LayerNorm`` and ``Dense`` modules.

    Args:
        model: the folder of a saved model, or the model.
        out: the folder to write; an earlier export is replaced.
        measures: for the card, see :data:`.Measures`.

    Raises:
        UserError: the encoder is frozen, the tokenizer has n-grams, the tokenizer is given and the
            layer is ``layernorm`` or ``mlp``, or ``out`` cannot be written.
    """
    saved = token_model(model, "sentence-transformers")
    layer, given = saved.recipe["model"]["layer"], saved.vocabulary.tokenizer.name == GIVEN
    notes = []
    if given:
        if layer in ("layernorm", "mlp"):
            raise UserError(
                f"this model has the layer {layer} and a given tokenizer, whose unknown tokens "
                "sentence-transformers cannot leave out: export it to onnx"
            )
        notes.append(
            "An unknown token of the tokenizer counts as a zero vector in the mean. That changes "
            "the length of an embedding, not its direction."
        )
        vectors, layers = folded(saved), []
        if layer == "linear":
            notes.append(_CONSTANT)
    else:
        vectors, layers = token_vectors(saved), _layers(saved)
    # model2vec reads the folder 0_StaticEmbedding and would silently leave out the layers
    first = "0_TokenVectors" if layers else "0_StaticEmbedding"
    names = [f"{place}_{kind}" for place, (kind, _, _) in enumerate(layers, start=1)]
    with export_folder(out) as folder:
        (folder / first).mkdir()
        _write_tokens(folder / first, saved, "embedding.weight", vectors)
        for name, (_, config, weights) in zip(names, layers, strict=True):
            (folder / name).mkdir()
            write_json(folder / name / "config.json", config)
            _write_weights(folder / name, weights)
        kinds = [kind for kind, _, _ in layers]
        write_json(
            folder / "modules.json",
            _modules(("StaticEmbedding", first), *zip(kinds, names, strict=True)),
        )
        write_json(
            folder / "config_sentence_transformers.json",
            {
                "model_type": "SentenceTransformer",
                "prompts": {},
                "default_prompt_name": None,
                "similarity_fn_name": "cosine",
            },
        )
        text = card(
            saved,
            title=title_of(out),
            front={
                "library_name": "sentence-transformers",
                "pipeline_tag": "sentence-similarity",
            },
            tags=_TAGS,
            usage=_SENTENCE_TRANSFORMERS,
            notes=notes,
            measures=measures,
        )
        (folder / CARD).write_text(text, encoding="utf-8")


_MODEL2VEC = """
from model2vec import StaticModel

model = StaticModel.from_pretrained("path/to/this/folder")
vectors = model.encode(["a text", "another text"])
"""
_SENTENCE_TRANSFORMERS = """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
vectors = model.encode(["a text", "another text"])
"""


def _layers(saved: Saved) -> list[tuple[str, dict[str, Any], dict[str, Float32]]]:
    """The class of each module after the token vectors, its configuration and its weights."""
    found, layer = projection(saved), saved.recipe["model"]["layer"]
    if layer == "bag":
        return []
    if layer == "linear":
        return [_dense(found["weight"], found["bias"])]
    if layer == "layernorm":
        weights = {"norm.weight": found["0.weight"], "norm.bias": found["0.bias"]}
        norm = ("LayerNorm", {"dimension": saved.width}, weights)
        return [norm, _dense(found["1.weight"], found["1.bias"])]
    return [
        _dense(found["0.weight"], found["0.bias"], "torch.nn.modules.activation.ReLU"),
        _dense(found["2.weight"], found["2.bias"]),
    ]


def _dense(
    weight: Float32, bias: Float32, activation: str = "torch.nn.modules.linear.Identity"
) -> tuple[str, dict[str, Any], dict[str, Float32]]:
    config = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": True,
        "activation_function": activation,
    }
    return "Dense", config, {"linear.weight": weight, "linear.bias": bias}


def _modules(*modules: tuple[str, str]) -> list[dict[str, Any]]:
    """``modules.json`` for modules by their class and folder."""
    return [
        {"idx": place, "name": str(place), "path": path, "type": f"{_MODULES}{kind}"}
        for place, (kind, path) in enumerate(modules)
    ]


def _write_tokens(folder: Path, saved: Saved, name: str, vectors: Float32) -> None:
    (folder / _TOKENIZER).write_text(tokenizer_json(saved.vocabulary), encoding="utf-8")
    _write_weights(folder, {name: vectors})


def _write_weights(folder: Path, weights: dict[str, Float32]) -> None:
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    content = safetensors.numpy.save(arrays, metadata={"format": "pt"})
    (folder / _WEIGHTS).write_bytes(content)

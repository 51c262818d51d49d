"""The model that is exported, and what its token vectors are in other formats."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Union

import numpy as np

from textmetric.errors import UserError
from textmetric.export.tokenizer import row_of_each_id
from textmetric.runtime import Model
from textmetric.saved import Saved
from textmetric.types import Float32, PathLike

if TYPE_CHECKING:
    from textmetric.embedder import TextEmbedder

Source = Union[PathLike, Model, "TextEmbedder"]
"""The folder of a saved model, a model that :func:`textmetric.load` read, or a fitted estimator."""


def saved_of(model: Source) -> Saved:
    """What the folder of a model holds.

    Raises:
        UserError: see :meth:`.Saved.read`, or the estimator is not fitted.
    """
    if isinstance(model, Model):
        return model.saved
    if hasattr(model, "save"):  # an estimator, whose class would import torch
        with TemporaryDirectory() as folder:
            model.save(folder)
            return Saved.read(folder)
    return Saved.read(model)


def token_model(model: Source, format_name: str) -> Saved:
    """A model that embeds texts by their tokens.

    Raises:
        UserError: its encoder is frozen.
    """
    saved = saved_of(model)
    if saved.frozen:
        raise UserError(
            f"this model embeds vectors of texts, not tokens, which {format_name} cannot express: "
            "export the vectors of your texts to parquet"
        )
    return saved


def token_vectors(saved: Saved) -> Float32:
    """The vector (T, width) of each id of the exported tokenizer; zero for an unknown token."""
    vectors = saved.encoder["weight"]
    rows = row_of_each_id(saved.vocabulary)
    found: Float32 = np.where(rows[:, None] > 0, vectors[rows], np.float32(0))
    return found


def projection(saved: Saved) -> dict[str, Float32]:
    """The weights of the layer, by the names of :func:`.layer_shapes` without their prefix."""
    return {
        name.removeprefix("projection."): values
        for name, values in saved.encoder.items()
        if name != "weight"
    }


def folded(saved: Saved) -> Float32:
    """Token vectors (T, dim) whose mean is the embedding, for the layers ``bag`` and ``linear``.

    The mean of W v + b over tokens is W (the mean of v) + b. Only a text without a known token has
    another embedding: zero instead of b.
    """
    vectors, layer = token_vectors(saved), projection(saved)
    if not layer:
        return vectors
    known = row_of_each_id(saved.vocabulary) > 0
    weight, bias = (layer[name].astype(np.float64) for name in ("weight", "bias"))
    projected = (vectors.astype(np.float64) @ weight.T + bias).astype(np.float32)
    found: Float32 = np.where(known[:, None], projected, np.float32(0))
    return found


def title_of(out: PathLike) -> str:
    """The name of an export: that of its folder."""
    return Path(out).absolute().name

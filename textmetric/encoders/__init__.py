"""What turns tokens into an embedding; :func:`build_encoder` is where one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from textmetric.encoders.bag import BagEncoder, Layer
from textmetric.encoders.encoder import Encoder
from textmetric.encoders.frozen import FrozenEncoder, TextVectors
from textmetric.encoders.vectors import token_vectors
from textmetric.errors import UserError
from textmetric.params import Model
from textmetric.types import Float32

__all__ = [
    "BagEncoder",
    "Encoder",
    "FrozenEncoder",
    "Layer",
    "TextVectors",
    "build_encoder",
    "load_encoder",
    "token_vectors",
]


def build_encoder(
    model: Model, tokens: int, vectors: Float32 | TextVectors | None = None
) -> BagEncoder:
    """The encoder that the section ``model`` of params.yaml describes, with new weights.

    The random state is torch's own: call ``torch.manual_seed`` first.

    Args:
        model: the section.
        tokens: size of the vocabulary, ``<unk>`` included.
        vectors: (v, width) the given vectors of its first tokens; the other tokens start at zero.
            None: all start at random. For a frozen encoder the vectors of the texts, which are
            attached.

    Raises:
        UserError: the vectors do not fit the section.
    """
    if isinstance(vectors, TextVectors) != (model.encoder == "frozen"):
        raise UserError(
            "model.encoder is frozen, but there are no vectors of the texts: run the stage encode"
            if model.encoder == "frozen"
            else "vectors of texts are for a frozen encoder: set model.encoder to frozen"
        )
    if isinstance(vectors, TextVectors):
        frozen = FrozenEncoder(
            model.dim,
            model.layer,
            width=vectors.values.shape[1],
            source=vectors.source,
            sha256=vectors.sha256,
        )
        frozen.attach(vectors.values)
        return frozen
    if vectors is None:
        return BagEncoder(tokens, model.dim, model.layer)
    encoder = BagEncoder(tokens, model.dim, model.layer, width=vectors.shape[1])
    encoder.start_at(vectors)
    return encoder


def load_encoder(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor], tokens: int
) -> BagEncoder:
    """The encoder of a saved model, of whichever kind it is; see :meth:`.Encoder.load`."""
    kind = FrozenEncoder if description.get("encoder") == "frozen" else BagEncoder
    return kind.load(description, tensors, tokens)

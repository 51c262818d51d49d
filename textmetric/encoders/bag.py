"""The encoder of the study: the mean of a text's token vectors, optionally with a layer on top."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from textmetric.encoders.encoder import Encoder, arrays_of
from textmetric.errors import UserError
from textmetric.inference import Layer, embed_tokens
from textmetric.text.ragged import Tokens
from textmetric.types import Float32


class BagEncoder(Encoder):
    """``EmbeddingBag(mean)``, and a projection on top.

    The projection is none (``layer="bag"``), ``Linear``, ``LayerNorm`` and ``Linear``, or an
    ``mlp`` of ``Linear``, ``ReLU`` and ``Linear``, as wide inside as the token vectors. The token
    vectors start uniform in ±0.5, as in the original study, or at given values. A text without a
    known token has the zero vector as its bag.

    Args:
        tokens: size of the vocabulary, ``<unk>`` included.
        dim: width of the embedding.
        layer: which layer is "the embedding".
        width: of the token vectors; None for ``dim``, the only width that ``bag`` can have.

    The random state is torch's own: call ``torch.manual_seed`` first.

    Raises:
        UserError: the layer is ``bag`` and the token vectors have another width.
    """

    def __init__(
        self, tokens: int, dim: int, layer: Layer = "bag", *, width: int | None = None
    ) -> None:
        super().__init__()
        width = width or dim
        self.layer: Layer = layer
        self.dim = dim
        self.weight = nn.Parameter(torch.empty(tokens, width).uniform_(-0.5, 0.5))
        self.projection = _projection(layer, width, dim)

    def start_at(self, vectors: Float32) -> None:
        """Set the first token vectors to ``vectors`` (v, width).

        The others stay uniform, in a range that gives them the same mean square (Kim 2014).

        Raises:
            UserError: the vectors have another width than the encoder's.
        """
        if vectors.shape[1] != self.weight.shape[1]:
            raise UserError(
                f"the given vectors are {vectors.shape[1]} wide, but those of the encoder "
                f"{self.weight.shape[1]}: set model.dim to {vectors.shape[1]}, or model.layer to "
                "linear"
            )
        with torch.no_grad():
            given = torch.from_numpy(np.array(vectors))
            self.weight.mul_(given.square().mean().sqrt() * 12**0.5)
            self.weight[: len(given)] = given

    def drop_projection(self) -> None:
        """From now on the embedding is the bag alone, as wide as the token vectors."""
        self.projection, self.layer, self.dim = None, "bag", int(self.weight.shape[1])

    @property
    def token_vectors(self) -> nn.Parameter:
        """(tokens, dim) the vectors that the bags are means of."""
        return self.weight

    def bag(self, ids: Tensor, offsets: Tensor, *, sparse: bool = False) -> Tensor:
        """The means of the token vectors: ids (m,), offsets (B,) of their starts → (B, dim).

        With ``sparse`` the gradient of the token vectors is a sparse tensor.
        """
        return functional.embedding_bag(ids, self.weight, offsets, mode="mean", sparse=sparse)

    def project(self, inputs: Tensor) -> Tensor:
        """From bags to embeddings, both (B, dim)."""
        projected: Tensor = inputs if self.projection is None else self.projection(inputs)
        return projected

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        """The embeddings (B, dim) of B texts."""
        return self.project(self.bag(ids, offsets))

    def embed(self, tokens: Tokens) -> Float32:
        """The embeddings (n, dim) of n tokenised texts, see :func:`.embed_tokens`.

        They are read by blocks, so the memory is that of the embeddings.
        """
        arrays = arrays_of(self)
        vectors = arrays.pop("weight")
        out, first = np.empty((len(tokens), self.dim), dtype=np.float32), 0
        for block in tokens.blocks():
            out[first : first + len(block)] = embed_tokens(
                vectors, block.ids, block.offsets, self.layer, arrays
            )
            first += len(block)
        return out

    def arrays(self) -> dict[str, Float32]:
        """See :meth:`.Encoder.arrays`."""
        return arrays_of(self)


def _projection(layer: Layer, width: int, dim: int) -> nn.Module | None:
    if layer == "bag":
        if width != dim:
            raise UserError(
                f"model.layer is bag, so the token vectors must be model.dim = {dim} wide, but "
                f"they are {width} wide: set model.layer to linear"
            )
        return None
    if layer == "linear":
        return nn.Linear(width, dim)
    if layer == "layernorm":
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))

"""The encoder of the study: the mean of a text's token vectors, optionally a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from textmetric.encoders.encoder import Encoder
from textmetric.text.ragged import RaggedTokens
from textmetric.types import Float32

Layer = Literal["bag", "linear"]


class BagEncoder(Encoder):
    """``EmbeddingBag(mean)``, with ``layer="linear"`` followed by ``Linear(dim, dim)``.

    The token vectors start uniform in ±0.5, as in the original study. A text without a known
    token has the zero vector as its bag.

    Args:
        tokens: size of the vocabulary, ``<unk>`` included.
        dim: width of the embedding.
        layer: which layer is "the embedding".

    The random state is torch's own: call ``torch.manual_seed`` first.
    """

    def __init__(self, tokens: int, dim: int, layer: Layer = "bag") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tokens, dim).uniform_(-0.5, 0.5))
        self.linear = nn.Linear(dim, dim) if layer == "linear" else None

    @property
    def layer(self) -> Layer:
        """Which layer is the embedding."""
        return "bag" if self.linear is None else "linear"

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return int(self.weight.shape[1])

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
        return inputs if self.linear is None else self.linear(inputs)

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        """The embeddings (B, dim) of B texts."""
        return self.project(self.bag(ids, offsets))

    @torch.no_grad()
    def embed(self, tokens: RaggedTokens, rows_at_once: int = 20_000) -> Float32:
        """The embeddings (n, dim) of n tokenised texts, in chunks."""
        out = np.empty((len(tokens), self.dim), dtype=np.float32)
        device = self.weight.device
        for start in range(0, len(tokens), rows_at_once):
            stop = min(start + rows_at_once, len(tokens))
            offsets = np.asarray(tokens.offsets[start : stop + 1])
            ids = np.array(tokens.ids[offsets[0] : offsets[-1]])  # a copy: torch wants it writable
            embeddings = self(
                torch.from_numpy(ids).to(device),
                torch.from_numpy((offsets[:-1] - offsets[0]).astype(np.int32)).to(device),
            )
            out[start:stop] = embeddings.cpu().numpy()
        return out

    def describe(self) -> dict[str, Any]:
        """See :meth:`.Encoder.describe`."""
        return {"dim": self.dim, "layer": self.layer}

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`.Encoder.tensors`."""
        return {name: value.detach() for name, value in self.state_dict().items()}

    @classmethod
    def load(
        cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor], tokens: int
    ) -> BagEncoder:
        """See :meth:`.Encoder.load`."""
        encoder = cls(tokens, description["dim"], description["layer"])
        encoder.load_state_dict({name: tensors[name] for name in encoder.state_dict()})
        encoder.eval()
        return encoder

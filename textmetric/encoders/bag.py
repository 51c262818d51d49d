"""The only model of the study: the mean of a text's token vectors, and maybe a linear layer."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from textmetric.errors import UserError
from textmetric.text.ragged import RaggedTokens

Layer = Literal["bag", "linear"]


class Encoder(nn.Module):
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

    def bag(self, ids: Tensor, offsets: Tensor) -> Tensor:
        """The means of the token vectors: ids (m,), offsets (B,) of their starts → (B, dim)."""
        return functional.embedding_bag(ids, self.weight, offsets, mode="mean")

    def project(self, bags: Tensor) -> Tensor:
        """From bags to embeddings, both (B, dim)."""
        return bags if self.linear is None else self.linear(bags)

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        """The embeddings (B, dim) of B texts."""
        return self.project(self.bag(ids, offsets))

    @torch.no_grad()
    def embed(self, tokens: RaggedTokens, rows_at_once: int = 20_000) -> npt.NDArray[np.float32]:
        """The embeddings (n, dim) float32 of n tokenised texts, in chunks."""
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


def choose_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``; auto prefers CUDA.

    Raises:
        UserError: another name, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not (name == "cuda" or name.removeprefix("cuda:").isdecimal()):
        raise UserError(f"params.yaml: train.device is {name!r}: use auto, cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"params.yaml: train.device is {name!r}, but torch finds no CUDA device: "
            "use auto or cpu"
        )
    return torch.device(name)

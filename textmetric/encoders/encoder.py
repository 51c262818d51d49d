"""What every encoder is: a module that turns tokenised texts into embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from textmetric.text.ragged import RaggedTokens
from textmetric.types import Float32


class Encoder(nn.Module):
    """A trainable map from a text's tokens to its embedding.

    An encoder has an input for each text, such as the mean of its token vectors, and projects it
    to the embedding. A training step needs the two apart: the gradient of token vectors is sparse.

    Attributes:
        dim: width of the embedding.
    """

    dim: int

    @property
    def token_vectors(self) -> nn.Parameter | None:
        """(tokens, d) the vectors that the inputs are means of; None if it has no such vectors."""
        raise NotImplementedError  # abstract: every encoder has its own

    def project(self, inputs: Tensor) -> Tensor:
        """From inputs (B, d) to embeddings (B, dim)."""
        raise NotImplementedError  # abstract: every encoder has its own

    def embed(self, tokens: RaggedTokens) -> Float32:
        """The embeddings (n, dim) of n tokenised texts."""
        raise NotImplementedError  # abstract: every encoder has its own

    def describe(self) -> dict[str, Any]:
        """What :meth:`load` needs besides the tensors, as JSON."""
        raise NotImplementedError  # abstract: every encoder has its own

    def tensors(self) -> dict[str, Tensor]:
        """What a saved model keeps, by name."""
        raise NotImplementedError  # abstract: every encoder has its own

    @classmethod
    def load(
        cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor], tokens: int
    ) -> Encoder:
        """The encoder that gave ``description`` and ``tensors``, on the CPU, for evaluation.

        Args:
            description: of :meth:`describe`.
            tensors: of :meth:`tensors`; there may be others.
            tokens: size of the vocabulary.

        Raises:
            KeyError: a key or a tensor is missing.
            RuntimeError: a tensor has another shape.
        """
        raise NotImplementedError  # abstract: every encoder has its own

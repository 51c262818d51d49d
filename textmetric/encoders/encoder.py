"""What every encoder is: a module that turns tokenised texts into embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textmetric.inference import Arrays
from textmetric.text.ragged import Tokens
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

    def embed(self, tokens: Tokens) -> Float32:
        """The embeddings (n, dim) of n tokenised texts."""
        raise NotImplementedError  # abstract: every encoder has its own

    def arrays(self) -> dict[str, Float32]:
        """What a saved model keeps, by name."""
        raise NotImplementedError  # abstract: every encoder has its own


def restore(module: nn.Module, arrays: Arrays) -> None:
    """Give a module its saved weights, for evaluation; they are not copied.

    Args:
        module: may be on the device ``meta``, without memory.
        arrays: of :meth:`Encoder.arrays` or :func:`arrays_of`.
    """
    found = {name: torch.from_numpy(array) for name, array in arrays.items()}
    module.load_state_dict(found, strict=False, assign=True)  # what is not saved may be missing
    module.eval()


def arrays_of(module: nn.Module) -> dict[str, Float32]:
    """The weights of a module by the names of its state; on the CPU they share its memory."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}

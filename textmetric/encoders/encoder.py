"""What every encoder is: a module that turns tokenised texts into embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
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

    def tensors(self) -> dict[str, Tensor]:
        """What a saved model keeps, by name."""
        raise NotImplementedError  # abstract: every encoder has its own


def restore(
    module: nn.Module,
    saved: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    prefix: str = "",
) -> None:
    """Give a module its saved tensors, for evaluation; they are not copied.

    Args:
        module: may be on the device ``meta``, without memory.
        saved: what of the module is saved, by name.
        tensors: what was saved, by the same names after ``prefix``; there may be others.
        prefix: of their names.

    Raises:
        ValueError: see :func:`checked`.
    """
    found = {name: checked(f"{prefix}{name}", like, tensors) for name, like in saved.items()}
    module.load_state_dict(found, strict=False, assign=True)
    module.eval()


def checked(name: str, like: Tensor, tensors: Mapping[str, Tensor], finite: bool = True) -> Tensor:
    """A saved tensor.

    Args:
        name: of the tensor.
        like: has its type and shape; may be on the device ``meta``.
        tensors: what was saved, by name.
        finite: refuse NaN and infinity.

    Raises:
        ValueError: it is missing, has another type or shape, or is not finite.
    """
    if name not in tensors:
        raise ValueError(f"the tensor {name} is missing")
    tensor = tensors[name]
    if tensor.dtype != like.dtype or tensor.shape != like.shape:
        raise ValueError(
            f"the tensor {name} is {tensor.dtype} of shape {tuple(tensor.shape)}, expected "
            f"{like.dtype} of shape {tuple(like.shape)}"
        )
    if finite and not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"the tensor {name} holds NaN or infinity")
    return tensor

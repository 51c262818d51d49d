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
        ValueError: a tensor is missing, has another shape or type, or is not finite.
    """
    found: dict[str, Tensor] = {}
    for name, wanted in saved.items():
        full = f"{prefix}{name}"
        if full not in tensors:
            raise ValueError(f"the tensor {full} is missing")
        found[name] = tensors[full]
        check_tensor(full, found[name], wanted.dtype, tuple(wanted.shape))
        if not bool(torch.isfinite(found[name]).all()):
            raise ValueError(f"the tensor {full} holds NaN or infinity")
    module.load_state_dict(found, strict=False, assign=True)
    module.eval()


def check_tensor(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Check type and shape of a saved tensor.

    Raises:
        ValueError: one is another.
    """
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise ValueError(
            f"the tensor {name} is {tensor.dtype} of shape {tuple(tensor.shape)}, expected "
            f"{dtype} of shape {shape}"
        )

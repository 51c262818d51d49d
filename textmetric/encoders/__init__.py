"""What turns tokens into an embedding; :func:`build_encoder` is where one is made."""

from __future__ import annotations

from textmetric.encoders.bag import BagEncoder, Layer
from textmetric.encoders.encoder import Encoder
from textmetric.params import Model

__all__ = ["BagEncoder", "Encoder", "Layer", "build_encoder"]


def build_encoder(model: Model, tokens: int) -> BagEncoder:
    """The encoder that the section ``model`` of params.yaml describes, with new weights.

    The random state is torch's own: call ``torch.manual_seed`` first.

    Args:
        model: the section.
        tokens: size of the vocabulary, ``<unk>`` included.
    """
    return BagEncoder(tokens, model.dim, model.layer)

"""What turns tokens into an embedding; :func:`build_encoder` is where one is made."""

from __future__ import annotations

from textmetric.encoders.bag import BagEncoder, Layer
from textmetric.encoders.encoder import Encoder
from textmetric.encoders.vectors import standardised, token_vectors
from textmetric.params import Model
from textmetric.text import TokenizedCorpus
from textmetric.types import Float32

__all__ = ["BagEncoder", "Encoder", "Layer", "build_encoder", "start_encoder", "token_vectors"]


def build_encoder(model: Model, tokens: int, vectors: Float32 | None = None) -> BagEncoder:
    """The encoder that the section ``model`` of params.yaml describes, with new weights.

    The random state is torch's own: call ``torch.manual_seed`` first.

    Args:
        model: the section.
        tokens: size of the vocabulary, ``<unk>`` included.
        vectors: (v, width) the given vectors of its first tokens, see
            :meth:`.BagEncoder.start_at`; None: all start at random.

    Raises:
        UserError: the vectors do not fit the section.
    """
    if vectors is None:
        return BagEncoder(tokens, model.dim, model.layer)
    encoder = BagEncoder(tokens, model.dim, model.layer, width=vectors.shape[1])
    encoder.start_at(vectors)
    return encoder


def start_encoder(
    model: Model, corpus: TokenizedCorpus, vectors: Float32 | None = None
) -> BagEncoder:
    """The encoder that a training on ``corpus`` starts from, see :func:`build_encoder`.

    Args:
        model: the section.
        corpus: whose tokens it embeds.
        vectors: (v, width) given vectors, :func:`.standardised` by the train texts.
    """
    if vectors is not None:
        vectors = standardised(vectors, corpus.train.tokens)
    return build_encoder(model, len(corpus.vocabulary), vectors)

"""What turns tokens into an embedding; :func:`build_encoder` is where one is made."""

from __future__ import annotations

import os

import numpy as np

from textmetric.errors import UserError, needing

with needing("an encoder in training", "train"):
    import torch

from textmetric.encoders.bag import BagEncoder
from textmetric.encoders.encoder import Encoder, arrays_of, restore
from textmetric.encoders.frozen import FrozenEncoder, TextVectors, inputs_of
from textmetric.encoders.vectors import standardised, token_vectors
from textmetric.inference import Arrays, Layer
from textmetric.params import Model
from textmetric.text import RaggedTokens, TokenizedCorpus
from textmetric.types import Float32

__all__ = [
    "BagEncoder",
    "Encoder",
    "FrozenEncoder",
    "Layer",
    "TextVectors",
    "arrays_of",
    "build_encoder",
    "inputs_of",
    "load_encoder",
    "restore",
    "start_encoder",
    "token_vectors",
]

# A forked child lacks the parent's threads, and would wait for them forever where torch shares its
# work among threads. PyTorch's own DataLoader does the same in its workers.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def build_encoder(
    model: Model, tokens: int, vectors: Float32 | TextVectors | None = None
) -> BagEncoder:
    """The encoder that the section ``model`` of params.yaml describes, with new weights.

    The random state is torch's own: call ``torch.manual_seed`` first.

    Args:
        model: the section.
        tokens: size of the vocabulary, ``<unk>`` included.
        vectors: (v, width) the given vectors of its first tokens, see
            :meth:`.BagEncoder.start_at`; None: all start at random. For a frozen encoder the
            vectors of the texts, which are attached.

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


def start_encoder(
    model: Model, corpus: TokenizedCorpus, vectors: Float32 | TextVectors | None = None
) -> BagEncoder:
    """The encoder that a training on ``corpus`` starts from, see :func:`build_encoder`.

    With ``start: lsa`` the token vectors start at :func:`.lsa_vectors` of the texts to learn from.
    With ``weights: idf`` each token vector starts multiplied by its inverse document frequency,
    so that the bag is a weighted mean. As the vectors are trained, so are the weights.

    Args:
        model: the section.
        corpus: whose tokens it embeds.
        vectors: (v, width) given vectors, :func:`.standardised` by the train texts; or those of
            the texts, for a frozen encoder.
    """
    if isinstance(vectors, np.ndarray):
        vectors = standardised(vectors, corpus.texts.whole())
    elif model.start == "lsa":
        from textmetric.encoders.lsa import lsa_vectors  # needs scipy

        vectors = lsa_vectors(corpus.texts.whole(), len(corpus.vocabulary), model.dim)
    encoder = build_encoder(model, len(corpus.vocabulary), vectors)
    if model.weights == "idf":
        texts = corpus.texts.whole()
        weights = torch.from_numpy(inverse_frequencies(texts, len(encoder.weight)))
        with torch.no_grad():
            encoder.weight.mul_(weights[:, None])
    return encoder


def inverse_frequencies(tokens: RaggedTokens, size: int) -> Float32:
    """(size,) ln((1 + n) / (1 + rows with the token)) + 1, scikit-learn's ``TfidfTransformer``.

    They are divided by their mean over the tokens of the n texts, so that bags keep their size.
    """
    values = np.log((1 + len(tokens)) / (1 + tokens.rows_with(size))) + 1
    mean = values[tokens.ids].mean() if tokens.ids.size else 1.0
    weights: Float32 = (values / mean).astype(np.float32)
    return weights


def load_encoder(
    model: Model, arrays: Arrays, *, tokens: int, width: int, sha256: str = ""
) -> BagEncoder:
    """The encoder of a saved model, on the CPU, for evaluation.

    Args:
        model: the section that it was built by.
        arrays: of :meth:`.Encoder.arrays`.
        tokens: size of the vocabulary.
        width: of the token vectors, or of the text vectors of a frozen encoder, which come without.
        sha256: of the weights of the sentence encoder, see :class:`.FrozenEncoder`.
    """
    encoder: BagEncoder
    with torch.device("meta"):  # neither memory nor random numbers, whatever the sizes
        if model.encoder == "frozen":
            encoder = FrozenEncoder(
                model.dim, model.layer, width=width, source=model.vectors, sha256=sha256
            )
        else:
            encoder = BagEncoder(tokens, model.dim, model.layer, width=width)
    restore(encoder, arrays)
    return encoder

"""The vectors that params.yaml gives the encoders: of tokens, to start from, or of texts."""

from __future__ import annotations

from textmetric.encoders import TextVectors
from textmetric.grid import Layout, Role
from textmetric.params import Model
from textmetric.pipeline.given_vectors import given_vectors
from textmetric.text import TokenizedCorpus
from textmetric.types import Float32


def encoder_vectors(layout: Layout, model: Model, role: Role) -> Float32 | TextVectors | None:
    """What :func:`.build_encoder` takes for the texts of a role.

    Raises:
        UserError: a file is missing or damaged.
    """
    if model.encoder == "frozen":
        return TextVectors.load(layout.text_vectors(role))
    given = given_vectors(layout, model)
    return None if given is None else given.values


def first_two(vectors: Float32 | TextVectors | None) -> Float32 | TextVectors | None:
    """Two of the vectors, for an encoder that is built to compile what training needs."""
    if isinstance(vectors, TextVectors):
        return TextVectors(vectors.values[:2])
    return None if vectors is None else vectors[:2]


def fitting(corpus: TokenizedCorpus, vectors: Float32 | TextVectors | None) -> TokenizedCorpus:
    """The corpus as the encoder of these vectors takes it: a frozen one takes rows of texts.

    Raises:
        UserError: the texts do not match their vectors.
    """
    return corpus.by_text(len(vectors.values)) if isinstance(vectors, TextVectors) else corpus

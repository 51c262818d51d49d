"""The vectors of texts that are clustered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.inference import checked_vectors, embed_tokens
from textmetric.text import tokenize_train
from textmetric.types import Float32

LSA_WIDTH = 128


def text_vectors(
    texts: Sequence[str], given: str | npt.ArrayLike | None = None, *, progress: bool = False
) -> Float32:
    """Vectors (n, d) of n texts.

    Args:
        texts: at least one.
        given: the vectors themselves; or the name of token vectors, see :func:`.token_vectors`, of
            which each text gets the mean; None for latent semantic analysis of the texts.
        progress: show a progress bar.

    Raises:
        UserError: the vectors are no array with a row a text, hold NaN or infinity, or are not
            there by that name.
    """
    if given is None:
        from textmetric.encoders.lsa import lsa_vectors  # with torch, slow to import

        vocabulary, tokens = tokenize_train(texts)
        values = lsa_vectors(tokens, len(vocabulary), LSA_WIDTH)
        return embed_tokens(values, tokens.ids, tokens.offsets, "bag", {})
    if isinstance(given, str):
        from textmetric.encoders import token_vectors

        found = token_vectors(given, progress=progress)
        tokens = found.vocabulary.encode(list(texts))
        return embed_tokens(found.values, tokens.ids, tokens.offsets, "bag", {})
    values = np.asarray(given, dtype=np.float32)
    if values.ndim != 2 or len(values) != len(texts):
        raise UserError(
            f"{len(texts)} texts came with vectors of the shape {values.shape}: give a row a text"
        )
    return checked_vectors(values, "the vectors")

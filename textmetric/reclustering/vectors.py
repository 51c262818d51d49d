"""The vectors of texts that are clustered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing
from textmetric.inference import checked_vectors, embed_tokens
from textmetric.types import Float32

with needing("vectors of texts", "train"):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

LSA_WIDTH = 128
"""Singular values that latent semantic analysis keeps."""
_WORD = r"(?u)\b\w+\b"


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
            there by that name; no text has a word.
    """
    if given is None:
        return _lsa(texts)
    if isinstance(given, str):
        from textmetric.encoders import token_vectors  # with torch, slow to import

        found = token_vectors(given, progress=progress)
        tokens = found.vocabulary.encode(list(texts))
        return embed_tokens(found.values, tokens.ids, tokens.offsets, "bag", {})
    values = np.asarray(given, dtype=np.float32)
    if values.ndim != 2 or len(values) != len(texts):
        raise UserError(
            f"{len(texts)} texts came with vectors of the shape {values.shape}: give a row a text"
        )
    return checked_vectors(values, "the vectors")


def _lsa(texts: Sequence[str]) -> Float32:
    """The texts' rows of U S^½, where U S Vᵀ are their TF-IDF rows, cut."""
    try:
        rows = TfidfVectorizer(token_pattern=_WORD).fit_transform(texts)
    except ValueError:  # scikit-learn's word for an empty vocabulary
        raise UserError("no text has a word: give texts with words, or vectors") from None
    with threadpool_limits(1):
        left, singular, _ = randomized_svd(
            rows, min(LSA_WIDTH, *rows.shape), n_iter=4, random_state=0
        )
    return np.asarray(left * np.sqrt(singular), dtype=np.float32)

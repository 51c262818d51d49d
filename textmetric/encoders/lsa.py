"""Latent semantic analysis of the train texts: token vectors that no label and no file gives.

The paper is Deerwester et al., Indexing by Latent Semantic Analysis, 1990.
"""

from __future__ import annotations

import numpy as np

from textmetric.text import RaggedTokens
from textmetric.types import Float32

_NOISE = 1e-3
"""Singular values below this share of the largest are rounding, or as good as that."""


def lsa_vectors(tokens: RaggedTokens, size: int, dim: int) -> Float32:
    """Token vectors whose bags are nearly the LSA embeddings of the texts.

    The TF-IDF rows of the texts are U S Vᵀ, cut after ``dim`` singular values. The vector of a
    token is its idf times its row of V S^-½, so that the sum over a text is the text's row of
    U S^½ times the length of its TF-IDF vector. The last step scales all vectors so that bags have
    mean norm 1: a learning rate then means the same for every corpus.

    Args:
        tokens: n texts.
        size: of the vocabulary, V.
        dim: width of the vectors. Where there are fewer singular values, the rest is zero.

    Returns:
        (V, dim). A token without a text has the zero vector, as has ``<unk>``.
    """
    from sklearn.utils.extmath import randomized_svd

    from textmetric.tfidf import Tfidf

    tfidf = Tfidf(tokens, size)
    rows = tfidf.vectors(tokens).astype(np.float32)
    rank = min(dim, *rows.shape)
    _, singular, directions = randomized_svd(rows, rank, n_iter=4, random_state=0)
    kept = singular > _NOISE * singular[0]
    values = np.zeros((size, dim), dtype=np.float32)
    values[:, :rank][:, kept] = directions[kept].T * singular[kept] ** -0.5
    values *= tfidf.idf[:, None].astype(np.float32)
    values[0] = 0
    filled = tokens.take(np.flatnonzero(tokens.lengths))
    bags = np.add.reduceat(values[filled.ids], filled.offsets[:-1]) / filled.lengths[:, None]
    norm = np.linalg.norm(bags, axis=1).mean() if len(filled) else 0.0
    return values / np.float32(norm) if norm > 0 else values

"""t-SNE next to scikit-learn's, and next to openTSNE's as far as ours does without openTSNE.

All sides get the same unit rows and perplexity, and the KL divergence of both maps is computed by
one function, over all pairs. Every side runs as it is by default, from principal components: 250
iterations with exaggeration, then 500 of ours and of openTSNE, 750 of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.measures import test_set
from benchmarks.rounds import Case, Options
from textmetric.measures import unit
from textmetric.tsne.projection import tsne

PERPLEXITY = 30
WORST = 1.03  # KL divergence of our map by that of the other
LONG = 10_000  # rows from which on a side takes a minute and more


def cases(options: Options) -> Iterator[Case]:
    for rows in (300, 600) if options.quick else (1_000, 3_000, 10_000, 60_794):
        classes = 219 if rows > LONG else 20
        embeddings, _ = test_set(rows, 1 / np.arange(1, classes + 1) ** 0.8)
        embeddings = unit(embeddings).astype(np.float32)
        peers = [("scikit-learn", by_scikit_learn)]
        if rows < LONG:
            peers.append(("openTSNE", by_opentsne))
        for name, peer in peers:
            yield Case(
                part="tsne",
                case=f"t-SNE of {rows:,} x 32",
                ours=partial(tsne, embeddings, perplexity=PERPLEXITY),
                peer=name,
                theirs=partial(peer, embeddings),
                goal=0.5,
                check=partial(as_good, embeddings),
                long=rows >= LONG,
            )


def by_scikit_learn(embeddings: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    peer = TSNE(perplexity=PERPLEXITY, init="pca", random_state=0, n_jobs=1)
    places: np.ndarray = peer.fit_transform(embeddings)
    return places


def by_opentsne(embeddings: np.ndarray) -> np.ndarray:
    from openTSNE import TSNE

    peer = TSNE(perplexity=PERPLEXITY, neighbors="exact", random_state=0, n_jobs=1)
    return np.array(peer.fit(embeddings))


def as_good(embeddings: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> str:
    import faiss

    from textmetric.tsne.exact import joint_probabilities, kl_divergence

    index = faiss.IndexFlatL2(embeddings.shape[1])
    index.add(embeddings)
    squared, ids = index.search(embeddings, 3 * PERPLEXITY + 1)
    # No two rows are equal, so each finds itself first.
    distances = np.sqrt(np.maximum(squared[:, 1:], 0), dtype=np.float64)
    affinities = joint_probabilities(ids[:, 1:], distances, PERPLEXITY)
    one, other = (
        kl_divergence(np.ascontiguousarray(places, dtype=np.float64), *affinities)
        for places in (ours, theirs)
    )
    summary = f"KL divergence {one:.4f} and {other:.4f}"
    assert one <= WORST * other, summary
    return summary

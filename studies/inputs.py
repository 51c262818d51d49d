"""The corpora of a study, tokenised and stored under a hash of their contents."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from textmetric.corpora import load
from textmetric.params import Data
from textmetric.text import TokenizedCorpus, Vocabulary, tokenize_corpus
from textmetric.types import PARTS


def load_tokenized(
    spec: str | dict[str, Any],
    data: Data,
    *,
    given: Vocabulary | None = None,
    progress: bool = True,
) -> tuple[TokenizedCorpus, dict[str, Any]]:
    """Load and tokenise a corpus as the pipeline does.

    Args:
        spec: as in params.yaml.
        data: how rows and tokens are chosen.
        given: the tokens that have a given vector, see :func:`.tokenize_corpus`; words that have
            none are added.
        progress: show progress bars.

    Returns:
        The corpus, and the summary of :class:`textmetric.corpora.Corpus`.

    Raises:
        UserError: see :func:`textmetric.corpora.load`.
    """
    corpus = load(
        spec,
        limit=data.limit,
        validation=data.validation,
        test=data.test,
        seed=data.seed,
        mirror=data.mirror,
        progress=progress,
    )
    tokens = tokenize_corpus(
        corpus.frame,
        min_freq=data.min_freq,
        max_size=data.max_size,
        given=given,
        extend=given is not None and not given.tokenizer.definition,
        progress=progress,
    )
    return tokens, dict(corpus.summary)


def store(corpus: TokenizedCorpus, folder: Path) -> Path:
    """Save a corpus in ``folder`` under a hash of its contents, unless it is there already."""
    path = folder / _digest(corpus)
    if not path.is_dir():
        corpus.save(path)
    return path


def _digest(corpus: TokenizedCorpus) -> str:
    state = hashlib.sha256()
    for words in (corpus.vocabulary.tokens, corpus.label_names):
        state.update("\n".join(words).encode())
    state.update(repr((corpus.scarce, corpus.held_out, corpus.unseen)).encode())
    if len(corpus.unlabelled):
        state.update(np.ascontiguousarray(corpus.unlabelled.ids).data)
        state.update(np.ascontiguousarray(corpus.unlabelled.offsets).data)
    state.update(corpus.vocabulary.tokenizer.definition.encode())
    for name in PARTS:
        part = getattr(corpus, name)
        for array in (part.tokens.ids, part.tokens.offsets, part.labels):
            state.update(f"{array.dtype}{array.shape}".encode())
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:24]

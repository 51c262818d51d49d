"""The corpora of a study, tokenised and stored under a hash of their contents."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from textmetric.corpora import Corpus, load
from textmetric.encoders.frozen import sentence_vectors
from textmetric.encoders.pretrained import find
from textmetric.files import replacing_folder, write_array, write_json
from textmetric.grid import Layout
from textmetric.params import Data, read
from textmetric.report.study import Study, read_study
from textmetric.splits import read_entries
from textmetric.text import TokenizedCorpus, TokenVectors, Vocabulary, tokenize_corpus
from textmetric.types import PARTS

TEXT_VECTORS = "texts.npy"
"""The vectors of the texts of a corpus, in a folder that is named by a hash of them."""


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
    corpus = read_corpus(spec, data, progress)
    tokens = tokenize_corpus(
        corpus.frame,
        min_freq=data.min_freq,
        max_size=data.max_size,
        given=given,
        extend=given is not None and not given.tokenizer.definition,
        progress=progress,
    )
    return tokens, dict(corpus.summary)


def load_encoded(
    spec: str | dict[str, Any], data: Data, name: str, folder: Path, *, progress: bool = True
) -> tuple[TokenizedCorpus, Path]:
    """Load a corpus for a frozen encoder, and the vectors of its texts.

    Args:
        spec: as in params.yaml.
        data: how rows and tokens are chosen.
        name: the folder or hub name of the sentence encoder.
        folder: of stored vectors; those that are there are not computed again.
        progress: show progress bars.

    Returns:
        The corpus, whose rows know their vector (see :meth:`.LabelledTokens.by_text`), and the
        folder with ``TEXT_VECTORS``, which :meth:`.TextVectors.load` reads. It is named by a hash
        of the texts and of the name and the weights of the encoder.

    Raises:
        UserError: see :func:`textmetric.corpora.load` and :func:`.sentence_vectors`.
    """
    corpus = read_corpus(spec, data, progress)
    texts = corpus.frame["text"].tolist()
    identity = json.dumps([name, find(name).sha256, texts])
    path = folder / hashlib.sha256(identity.encode()).hexdigest()[:24]
    if not path.is_dir():
        found = sentence_vectors(texts, name, progress=progress)
        with replacing_folder(path) as temporary:
            write_array(temporary / TEXT_VECTORS, found.values)
            about = {"vectors": found.source, "sha256": found.sha256}
            write_json(temporary / "about.json", about)
    tokens = tokenize_corpus(
        corpus.frame,
        min_freq=data.min_freq,
        max_size=data.max_size,
        keep_rows=True,
        progress=progress,
    )
    return tokens, path


def read_corpus(spec: str | dict[str, Any], data: Data, progress: bool) -> Corpus:
    """The corpus that the pipeline would read."""
    return load(
        spec,
        limit=data.limit,
        validation=data.validation,
        test=data.test,
        seed=data.seed,
        mirror=data.mirror,
        progress=progress,
    )


def read_run(folder: Path) -> Study:
    """What a finished run of the pipeline found.

    Args:
        folder: with its params.yaml and data/.

    Raises:
        UserError: a file is missing or damaged.
    """
    params, layout = read(folder / "params.yaml"), Layout(folder)
    return read_study(
        layout,
        splits=read_entries(layout),
        arms=params.arms,
        samplers=params.samplers,
        train=params.train,
        model=params.model,
        pretrain=params.pretrain,
    )


def store(corpus: TokenizedCorpus, folder: Path) -> Path:
    """Save a corpus in ``folder`` under a hash of its contents, unless it is there already."""
    path = folder / _digest(corpus)
    if not path.is_dir():
        corpus.save(path)
    return path


def store_vectors(found: TokenVectors, folder: Path) -> Path:
    """Save given vectors in ``folder`` under a hash of their contents, unless they are there."""
    digest = hashlib.sha256(np.ascontiguousarray(found.values).tobytes())
    digest.update("\n".join(found.vocabulary.tokens).encode())
    path = folder / digest.hexdigest()[:24]
    if not path.is_dir():
        found.save(path)
    return path


def _digest(corpus: TokenizedCorpus) -> str:
    state = hashlib.sha256()
    for words in (corpus.vocabulary.tokens, corpus.label_names):
        state.update("\n".join(words).encode())
    state.update(repr((corpus.scarce, corpus.held_out, corpus.unseen)).encode())
    if len(corpus.unlabelled):
        unlabelled = corpus.unlabelled.whole()
        state.update(np.ascontiguousarray(unlabelled.ids).data)
        state.update(np.ascontiguousarray(unlabelled.offsets).data)
    state.update(corpus.vocabulary.tokenizer.definition.encode())
    for name in PARTS:
        part = getattr(corpus, name)
        tokens = part.tokens.whole()
        for array in (tokens.ids, tokens.offsets, part.labels):
            state.update(f"{array.dtype}{array.shape}".encode())
            state.update(np.ascontiguousarray(array).data)
        if part.texts is not None:
            state.update(np.ascontiguousarray(part.texts).data)
    return state.hexdigest()[:24]

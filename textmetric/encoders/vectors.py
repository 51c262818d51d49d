"""Given token vectors: read from a file of words or a static model, or distilled.

A word file has a word and its numbers a line (word2vec, GloVe, fastText). A static model
(model2vec, or sentence-transformers' ``StaticEmbedding``) has a vector for each token of its
tokenizer. Any other sentence-transformers model is distilled: each token is embedded alone
(Tulkens & van Dongen 2024, model2vec). A static or distilled token that is frequent weighs less
(SIF: Arora, Liang & Ma 2017), with the frequency estimated from its rank by Zipf's law.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tqdm.auto import tqdm

from textmetric.encoders.pretrained import Pretrained, find, sentence_transformer
from textmetric.errors import UserError
from textmetric.files import reading
from textmetric.text import UNKNOWN, RaggedTokens, TokenVectors, Vocabulary
from textmetric.text.tokenizer import given_tokenizer, read_tokenizer
from textmetric.types import Float32, PathLike

SIF = 1e-4
"""The a of the weight a / (a + p) of a token of probability p; model2vec's default."""
_TOKENS_AT_ONCE = 256
_TEXTS = 1000
_SAVED = "vectors.npy"
_WORD_FILES = (".vec", ".txt", ".gz")


def token_vectors(
    name: str, *, dim: int | None = None, max_size: int | None = None, progress: bool = True
) -> TokenVectors:
    """The token vectors that ``model.vectors`` names.

    Args:
        name: a word file (``.vec``, ``.txt`` or either with ``.gz``); a folder that
            :meth:`.TokenVectors.save` wrote; or the folder or hub name of a static model or of any
            sentence-transformers model, which is distilled, once in a process.
        dim: reduce the vectors to this width by their principal components; None keeps them.
        max_size: read this many words of a word file at most: its first, which are the most
            frequent; None for all. The tokens of a model are all read.
        progress: show a progress bar.

    Raises:
        UserError: there is no such file or model, a package is not installed, the file or model
            is damaged or of another kind, a value is not finite, or the vectors are narrower than
            ``dim``.
    """
    if os.path.isfile(os.path.join(name, _SAVED)):
        found = TokenVectors.load(Path(name))
    elif name.endswith(_WORD_FILES):
        found = read_words(name, max_size=max_size, progress=progress)
    else:
        found = _of_model(find(name), progress)
    wrong = np.flatnonzero(~np.isfinite(found.values).all(axis=1))
    if wrong.size:
        raise UserError(
            f"{name}: the vector of {found.vocabulary.tokens[wrong[0]]!r} holds NaN or infinity: "
            "correct it or drop it"
        )
    return found if dim is None else TokenVectors(found.vocabulary, reduced(found.values, dim))


def read_words(
    path: PathLike, *, max_size: int | None = None, progress: bool = True
) -> TokenVectors:
    """The vectors of a text file with a word and its numbers a line.

    The first line may be the number of words and the width, as word2vec and fastText write it.
    What the tokenizer ``basic_english`` never gives is left out: a word with a capital or a space.
    Of a repeated word the first line counts.

    Args:
        path: the file, UTF-8, gzip-compressed if it ends in ``.gz``.
        max_size: read this many words at most; None for all.
        progress: show a progress bar.

    Raises:
        UserError: the file is missing, or a line has another width or no numbers.
    """
    words: dict[str, int] = {UNKNOWN: 0}
    rows: list[Float32] = []
    width = 0
    if not os.path.lexists(path):
        raise UserError(f"{path} does not exist: check the name of the file of word vectors")
    with reading(path, "a word and its numbers a line"), _opened(path) as stream:
        bar = tqdm(stream, desc="read vectors", unit=" words", disable=not progress)
        for number, line in enumerate(bar, start=1):
            word, *values = line.rstrip("\n ").split(" ")
            if number == 1 and len(values) == 1:
                continue  # the head of a word2vec or fastText file
            width = width or len(values)
            try:
                row = np.array(values[-width:] if width else values, dtype=np.float32)
                ragged = len(row) != width or not width or _are_numbers(values[:-width])
            except ValueError:
                raise UserError(
                    f"{path}, line {number}: what follows {word[:40]!r} is not all numbers: "
                    "correct the line or drop it"
                ) from None
            if ragged:
                raise UserError(
                    f"{path}, line {number}: {len(values)} numbers follow {word[:40]!r}, expected "
                    f"{width or 'some'}: every line must hold a word and as many numbers"
                )
            # What is left before the numbers belongs to a word with spaces, as GloVe has some.
            if word and len(values) == width and word == word.lower() and word not in words:
                words[word] = len(words)
                rows.append(row)
            if max_size is not None and len(rows) == max_size:
                break
    if not rows:
        raise UserError(f"{path} holds no word with a vector: give another file")
    return TokenVectors(Vocabulary(words), np.stack([np.zeros(width, np.float32), *rows]))


def reduced(values: Float32, dim: int) -> Float32:
    """The vectors (V, width) on their first ``dim`` principal components, (V, dim).

    The mean of the rows is not subtracted from what is returned, so that the row of ``<unk>``
    stays zero.

    Raises:
        UserError: ``dim`` is larger than the width, or than V.
    """
    if values.shape[1] == dim:
        return values
    if min(values.shape) < dim:
        raise UserError(
            f"model.dim is {dim}, but the given vectors are {values.shape[1]} wide: lower "
            "model.dim, or set model.layer to linear"
        )
    from sklearn.decomposition import PCA

    found = PCA(dim, svd_solver="covariance_eigh").fit(values[1:])
    return np.ascontiguousarray(values @ found.components_.T.astype(np.float32))


def standardised(values: Float32, tokens: RaggedTokens) -> Float32:
    """The vectors, shifted and scaled so that the bags of texts have mean zero and mean norm 1.

    A learning rate then means the same for vectors of any source, and what all texts share, which
    is most of a bag's length, does not make all cosines large.

    Args:
        values: (V, width) given vectors; the first row, of ``<unk>``, is returned as zero.
        tokens: n texts. Only tokens with a given vector count. The norm is the mean over at most
            1,000 texts, evenly spaced.
    """
    ids = np.arange(max(len(values), tokens.ids.max(initial=0) + 1), dtype=np.int32)
    given = tokens.remap(np.where(ids < len(values), ids, 0))
    lengths = given.lengths
    filled = np.flatnonzero(lengths)
    if not filled.size:
        return values
    shares = np.bincount(given.ids, np.repeat(1 / np.maximum(lengths, 1), lengths), len(values))
    centred = values - (shares @ values / filled.size).astype(np.float32)
    centred[0] = 0
    rows = filled[np.linspace(0, filled.size - 1, min(filled.size, _TEXTS)).astype(np.int64)]
    sample = given.take(rows)
    bags = [centred[ids].mean(axis=0) for ids in np.split(sample.ids, sample.offsets[1:-1])]
    norm = float(np.linalg.norm(bags, axis=1).mean())
    # bags that all agree differ by rounding alone
    return centred / np.float32(norm) if norm > 1e-5 * float(np.abs(values).max()) else values


def zipf_weights(tokens: int) -> Float32:
    """(tokens,) the SIF weight of each token, the most frequent first.

    The probability of rank r is proportional to 1 / (r + 1), r from 1.
    """
    frequency = 1 / np.arange(2, tokens + 2)
    weights: Float32 = (SIF / (SIF + frequency / frequency.sum())).astype(np.float32)
    return weights


def _of_model(model: Pretrained, progress: bool) -> TokenVectors:
    path = model.folder / "tokenizer.json"
    with reading(path, "the tokenizer of a model"):
        tokenizer = read_tokenizer(path.read_text(encoding="utf-8"))
    stored = _stored(model.folder)
    values = (
        _distilled(model, model.sha256, tokenizer.to_str(), progress) if stored is None else stored
    )
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    if max(vocabulary.values()) >= len(values):
        raise UserError(
            f"{model.folder}: its tokenizer has {max(vocabulary.values()) + 1} tokens, but there "
            f"are {len(values)} vectors: the tokenizer is of another model"
        )
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    kept = [
        token
        for token in tokens
        if token not in special and token != UNKNOWN and not token.startswith("[unused")
    ]
    spaced = [token for token in kept if token.split() != [token]]
    if spaced:
        raise UserError(
            f"{model.folder}: its tokenizer has the token {spaced[0]!r}, which is empty or holds "
            "white space: use a model whose tokens hold none"
        )
    chosen = values[[vocabulary[token] for token in kept]]
    if stored is None:
        # What all tokens share says nothing about a text, and would outweigh the rest.
        chosen = (chosen - chosen.mean(axis=0)) * zipf_weights(len(chosen))[:, None]
    rows = np.concatenate([np.zeros((1, chosen.shape[1]), np.float32), chosen])
    return TokenVectors(Vocabulary([UNKNOWN, *kept], given_tokenizer(tokenizer.to_str())), rows)


def _stored(folder: Path) -> Float32 | None:
    """The vectors by token id of a static model; None if the model is of another kind."""
    for file, name in (
        (folder / "model.safetensors", "embeddings"),
        (folder / "model.safetensors", "embedding.weight"),
        (folder / "0_StaticEmbedding" / "model.safetensors", "embedding.weight"),
    ):
        if not file.is_file():
            continue
        with reading(file, "safetensors", SafetensorError):
            tensors = load_file(file)
        if name in tensors and set(tensors) <= {name, "weights", "mapping"}:
            values = tensors[name].astype(np.float32)
            if "mapping" in tensors:  # several tokens share a vector
                values = values[tensors["mapping"]]
            if "weights" in tensors:
                values = values * tensors["weights"].astype(np.float32)[:, None]
            return values
    return None


@lru_cache(maxsize=1)
def _distilled(model: Pretrained, sha256: str, definition: str, progress: bool) -> Float32:
    """The embedding (tokens, width) of each token alone, between the special tokens.

    It takes a minute, so that the result is kept for the next fit of the same weights and
    tokenizer.
    """
    import torch

    tokenizer = read_tokenizer(definition)
    encoder = sentence_transformer(model)
    tokens: int = tokenizer.get_vocab_size(with_added_tokens=True)
    example = tokenizer.encode("a", add_special_tokens=True)
    word = example.special_tokens_mask.index(0)
    before, after = example.ids[:word], example.ids[word + 1 :]
    rows: list[Float32] = []
    with (
        torch.inference_mode(),
        tqdm(total=tokens, desc="distil", unit=" tokens", disable=not progress) as bar,
    ):
        for first in range(0, tokens, _TOKENS_AT_ONCE):
            few = range(first, min(first + _TOKENS_AT_ONCE, tokens))
            batch = torch.tensor([[*before, token, *after] for token in few])
            found = encoder({"input_ids": batch, "attention_mask": torch.ones_like(batch)})
            rows.append(found["sentence_embedding"].float().numpy())
            bar.update(len(few))
    return np.concatenate(rows)


def _are_numbers(words: Sequence[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def _opened(path: PathLike) -> IO[str]:
    opener: Any = gzip.open if str(path).endswith(".gz") else open
    stream: IO[str] = opener(path, "rt", encoding="utf-8", errors="strict", newline="\n")
    return stream

"""Tokens and vocabularies of a few texts, in one call each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from textmetric.text import BASIC_ENGLISH, Vocabulary


def tokenize(texts: Iterable[str]) -> Iterator[list[str]]:
    """The tokens of each text."""
    for chunk in BASIC_ENGLISH.chunks(texts):
        yield from BASIC_ENGLISH.split(chunk)


def vocabulary_of(counts: Mapping[str, int], **limits: int | None) -> Vocabulary:
    """The vocabulary of tokens that occur this often."""
    return Vocabulary.ranked(list(counts), np.fromiter(counts.values(), np.int64), **limits)[0]

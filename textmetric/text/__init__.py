"""From texts to ragged arrays of token ids: tokenizer, vocabulary, tokenized corpus. No torch."""

from __future__ import annotations

from textmetric.text.dataset import (
    LabelledTokens,
    TokenizedCorpus,
    tokenize_corpus,
    tokenize_file,
    tokenize_train,
)
from textmetric.text.ragged import RaggedTokens
from textmetric.text.tokenizer import basic_english, tokenize
from textmetric.text.vocabulary import UNKNOWN, Vocabulary

__all__ = [
    "UNKNOWN",
    "LabelledTokens",
    "RaggedTokens",
    "TokenizedCorpus",
    "Vocabulary",
    "basic_english",
    "tokenize",
    "tokenize_corpus",
    "tokenize_file",
    "tokenize_train",
]

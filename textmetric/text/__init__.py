"""From texts to ragged arrays of token ids: tokenizer, vocabulary, tokenized corpus. No torch."""

from __future__ import annotations

from textmetric.text.dataset import (
    LabelledTokens,
    TokenizedCorpus,
    tokenize_corpus,
    tokenize_file,
    tokenize_given,
    tokenize_train,
)
from textmetric.text.listed import checked_texts
from textmetric.text.ragged import RaggedTokens, RaggedView, Tokens
from textmetric.text.token_vectors import TokenVectors
from textmetric.text.tokenizer import BASIC_ENGLISH, NGRAMS, Tokenizer, tokenizer_named
from textmetric.text.vocabulary import UNKNOWN, Vocabulary

__all__ = [
    "BASIC_ENGLISH",
    "NGRAMS",
    "UNKNOWN",
    "LabelledTokens",
    "RaggedTokens",
    "RaggedView",
    "TokenVectors",
    "TokenizedCorpus",
    "Tokenizer",
    "Tokens",
    "Vocabulary",
    "checked_texts",
    "tokenize_corpus",
    "tokenize_file",
    "tokenize_given",
    "tokenize_train",
    "tokenizer_named",
]

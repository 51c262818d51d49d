"""A vocabulary and its tokenizer as ``tokenizer.json`` of the library ``tokenizers``.

Each word of a text becomes a piece that starts with a space, and a piece is a token if the
vocabulary has it. The model of the file is a BPE without merges: it gives a piece that it knows as
one token, and otherwise looks at the characters of the piece, none of which it knows. So unknown
words are dropped, as :meth:`.Vocabulary.encode` drops them. A ``WordLevel`` model would count them
as tokens, which changes the mean of the token vectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from textmetric.errors import UserError
from textmetric.text import BASIC_ENGLISH, UNKNOWN, Vocabulary
from textmetric.text.tokenizer import GIVEN, WORDS, read_tokenizer
from textmetric.types import Int64

_SPACE = " "
_Step = dict[str, Any]


def _replace(old: str, new: str) -> _Step:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def _replace_all(pattern: str, new: str) -> _Step:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": new}


# White space for str.split; \s of the library lacks \x1c to \x1f.
_WHITE = (
    r"[\x09-\x0d\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}"
    r"\x{3000}]+"
)
# \w of Python; \w of the library has marks as well.
_NO_WORD = r"[^\p{L}\p{N}_]+"
# str.lower writes the last sigma of a word in another way: one that follows a cased letter, and
# that none follows. Letters that are case-ignorable do not count.
_CASED = r"(?!\p{Case_Ignorable})\p{Cased}"
_LAST_SIGMA = rf"{_CASED}\p{{Case_Ignorable}}*\KΣ(?!\p{{Case_Ignorable}}*{_CASED})"

_LOWER = [_replace_all(_LAST_SIGMA, "ς"), {"type": "Lowercase"}]
_PUNCTUATION = [
    _replace("'", " ' "),
    _replace('"', ""),
    _replace(".", " . "),
    _replace("<br />", " "),
    *(_replace(sign, f" {sign} ") for sign in ",()!?"),
    _replace_all("[;:]", " "),
]
_STEPS: Mapping[str, list[_Step]] = {
    BASIC_ENGLISH.name: [*_LOWER, *_PUNCTUATION, _replace_all(_WHITE, _SPACE)],
    WORDS.name: [*_LOWER, _replace_all(_NO_WORD, _SPACE)],
}


def tokenizer_json(vocabulary: Vocabulary) -> str:
    """The content of ``tokenizer.json``; see :func:`row_of_each_id` for its ids.

    A given tokenizer is returned as it is. It does not drop a token that the vocabulary lacks.

    Raises:
        UserError: the tokens are character n-grams, which overlap.
    """
    tokenizer = vocabulary.tokenizer
    if tokenizer.name == GIVEN:
        return tokenizer.definition
    if tokenizer.name not in _STEPS:
        raise UserError(
            f"the tokens of the tokenizer {tokenizer.name} overlap, which no tokenizer.json can "
            "express: export the vectors of your texts to parquet, or train with the tokenizer "
            "words or basic_english"
        )
    first = {"type": "Prepend", "prepend": _SPACE}
    steps = [*_STEPS[tokenizer.name], first, _replace_all(f"{_SPACE}+", _SPACE)]
    definition: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": _SPACE},
            "behavior": "MergedWithNext",
            "invert": False,
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {
                _piece(vocabulary, token): row for row, token in enumerate(vocabulary.tokens)
            },
            "merges": [],
        },
    }
    return json.dumps(definition, ensure_ascii=False, indent=1)


def _piece(vocabulary: Vocabulary, token: str) -> str:
    """The name of a token in the file; of one that no text can have, a name that no piece has."""
    row = vocabulary.ids[token]
    if not row:
        return UNKNOWN
    half = any("\ud800" <= sign <= "\udfff" for sign in token)  # of a pair has no UTF-8
    short = vocabulary.tokenizer == WORDS and len(token) < 2
    return f"<no text has token {row}>" if half or short else f"{_SPACE}{token}"


def row_of_each_id(vocabulary: Vocabulary) -> Int64:
    """The row (T,) of our token vectors for each id of :func:`tokenizer_json`.

    0 is the row of what is no token of the vocabulary.

    Raises:
        UserError: the tokenizer is given, and the package ``tokenizers`` is missing.
    """
    if vocabulary.tokenizer.name != GIVEN:
        return np.arange(len(vocabulary), dtype=np.int64)
    machine = read_tokenizer(vocabulary.tokenizer.definition)
    ids: dict[str, int] = machine.get_vocab(with_added_tokens=True)
    rows = np.zeros(max(ids.values(), default=-1) + 1, dtype=np.int64)
    for token, place in ids.items():
        rows[place] = vocabulary.ids.get(token, 0)
    return rows

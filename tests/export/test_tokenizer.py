"""tokenizer.json against our tokenizers: the same ids for the same texts."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmetric.errors import UserError
from textmetric.export.tokenizer import row_of_each_id, tokenizer_json
from textmetric.text import BASIC_ENGLISH, NGRAMS, Tokenizer, Vocabulary
from textmetric.text.tokenizer import WORDS

tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is missing")

BOTH = pytest.mark.parametrize("tokenizer", [BASIC_ENGLISH, WORDS], ids=lambda found: found.name)
NEXT_TO_SIGMA, NEXT_TO_SIGMA_OLDER = "\U0001171e", "\u1734"
"""Marks whose kind a later Unicode has changed, so that a Σ next to them has another lower case."""

pieces = st.sampled_from(
    ["<br />", "<BR />", "<br", " />", "/>", '"', "'", ".", ",", "(", ")", "!", "?", ";", ":", " ",
     "\n", "\x85", "\xa0", "\x1c", "\x1f", "\u2028", "\u200b", "a", "A", "B", "İ", "Σ", "ς", "ʰ",
     "\u0301", "²", "_", "<unk>", "\0", "▁", "Ġ", "\ufeff", "\ufffd", "한", "\U0001f600"]
)  # fmt: skip
# Letters that are newer than the Unicode of this Python have no lower case in it.
signs = st.characters(
    codec="utf-8", exclude_categories=["Cn"], exclude_characters=NEXT_TO_SIGMA + NEXT_TO_SIGMA_OLDER
)
texts_of_pieces = st.lists(
    st.one_of(st.text(signs), st.lists(pieces).map("".join), st.lists(pieces | signs).map("".join)),
    max_size=6,
)


def opened(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(tokenizer_json(vocabulary))


def ids(machine: tokenizers.Tokenizer, texts: list[str]) -> list[list[int]]:
    return [row.ids for row in machine.encode_batch(texts, add_special_tokens=False)]


@BOTH
@given(texts_of_pieces)
@example(
    ["ΑΣ Σ ΑΣ'Σ ΑΣʰ ʰΣ AΣ\u0301 Σ\u0301A", "İSTANBUL ẞ", 'a<"br />b <br\xa0/>', "x<unk> <unk>"]
)
@settings(max_examples=100, deadline=None)
def test_any_texts_have_our_ids(tokenizer: Tokenizer, texts: list[str]) -> None:
    tokens = sorted({token for row in tokenizer.split(texts) for token in row} - {"<unk>"})
    vocabulary = Vocabulary(["<unk>", *tokens[::2]], tokenizer)  # the others are unknown
    ours = vocabulary.encode(texts)
    expected = [row.tolist() for row in np.split(ours.ids, ours.offsets[1:-1])]
    assert ids(opened(vocabulary), texts) == (expected if texts else [])


def words_of(tokenizer: Tokenizer) -> Callable[[str], list[str]]:
    """The words that tokenizer.json splits a text into, before it looks for known ones."""
    machine = opened(Vocabulary(["<unk>"], tokenizer))

    def split(text: str) -> list[str]:
        found = machine.pre_tokenizer.pre_tokenize_str(machine.normalizer.normalize_str(text))
        words = [piece.removeprefix(" ") for piece, _ in found]
        return [word for word in words if len(word) > (tokenizer == WORDS)]

    return split


def in_contexts(sign: str) -> str:
    """A character alone, between letters, around capital sigmas, in a break."""
    return f"{sign} b{sign}c {sign}Q ΑΣ{sign} {sign}Σ AΣ{sign}Q Q{sign}Σ Σ{sign}A <br{sign}/>\n"


def different(tokenizer: Tokenizer, signs: list[str]) -> list[str]:
    """The characters that give other words than ours in a context."""
    split = words_of(tokenizer)
    found: list[str] = []
    for start in range(0, len(signs), 500):
        few = signs[start : start + 500]
        text = "".join(map(in_contexts, few))
        if split(text) != tokenizer.split([text])[0]:
            found += [
                sign for sign in few
                if split(in_contexts(sign)) != tokenizer.split([in_contexts(sign)])[0]
            ]  # fmt: skip
    return found


@BOTH
def test_these_characters_alone_give_other_words(tokenizer: Tokenizer) -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    unknown = "Cn", "Co"
    # Han and Hangul are alike: some of them will do
    signs = [
        sign for sign in everything
        if unicodedata.category(sign) not in unknown
        and not ("\u3500" < sign < "\ua000" or "\uac50" < sign < "\ud7a4")
        and not "\U00020050" < sign < "\U0002f800"
    ]  # fmt: skip
    assert len(signs) > 40_000
    found = different(tokenizer, signs)
    assert set(found) <= {NEXT_TO_SIGMA, NEXT_TO_SIGMA_OLDER}
    if unicodedata.unidata_version == "14.0.0":
        assert found == [NEXT_TO_SIGMA]


def test_the_tokens_of_texts_that_the_library_cannot_take_have_names_of_their_own() -> None:
    vocabulary = Vocabulary(["<unk>", "a", "\ud800", "x\udfff"])
    machine = opened(vocabulary)
    assert machine.get_vocab_size() == 4
    assert ids(machine, ["a <no text has token 2>"]) == [[1]]
    assert vocabulary.encode(["a \ud800"]).ids.tolist() == [1, 2]
    with pytest.raises((UnicodeEncodeError, TypeError)):  # by the version of the library
        machine.encode("a \ud800")


def test_a_word_of_one_character_is_unknown_to_words() -> None:
    vocabulary = Vocabulary(["<unk>", "a", "bc"], WORDS)
    assert vocabulary.encode(["a bc"]).ids.tolist() == [2]
    assert ids(opened(vocabulary), ["a bc"]) == [[2]]


def test_overlapping_tokens_are_refused() -> None:
    with pytest.raises(UserError, match=r"basic_english_ngrams overlap.*parquet"):
        tokenizer_json(Vocabulary(["<unk>", "a"], NGRAMS))


def test_the_ids_are_the_rows_and_unknown_is_0() -> None:
    vocabulary = Vocabulary(["<unk>", "a", "b"])
    assert row_of_each_id(vocabulary).tolist() == [0, 1, 2]
    assert json.loads(tokenizer_json(vocabulary))["model"]["vocab"] == {
        "<unk>": 0,
        " a": 1,
        " b": 2,
    }

from __future__ import annotations

import doctest
import re
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from torchtext.data import get_tokenizer

from textmetric.errors import UserError
from textmetric.text import BASIC_ENGLISH, NGRAMS, tokenizer_named
from textmetric.text import tokenizer as tokenizer_module
from textmetric.text.tokenizer import chunks

original = get_tokenizer("basic_english")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n", []),
        ("You can now install TorchText!", ["you", "can", "now", "install", "torchtext", "!"]),
        ("don't", ["don", "'", "t"]),
        ('say "cheese"-cake', ["say", "cheese-cake"]),
        ('a"b', ["ab"]),
        ("U.S.", ["u", ".", "s", "."]),
        ("a<br />b<BR />c", ["a", "b", "c"]),
        ("a<br/>b <br  />", ["a<br/>b", "<br", "/>"]),
        ('a<"br />b', ["a", "b"]),
        ("a<br.  />b", ["a<br", ".", "/>b"]),
        ("a;b:c", ["a", "b", "c"]),
        ("<br;/>", ["<br", "/>"]),
        ("f(x), really?!", ["f", "(", "x", ")", ",", "really", "?", "!"]),
        ("a<br\xa0/>b", ["a<br", "/>b"]),
        ("a\x1cb\x85c\xa0d\u2028e\u3000f", ["a", "b", "c", "d", "e", "f"]),
        ("zero\u200bwidth stays", ["zero\u200bwidth", "stays"]),
        ("İSTANBUL ẞ ΑΣ", ["i̇stanbul", "ß", "ας"]),
        ("half \ud83d pair", ["half", "\ud83d", "pair"]),
        ("<unk> ’quoted’", ["<unk>", "’quoted’"]),
    ],
)
def test_special_cases_give_the_tokens_of_torchtext(text: str, tokens: list[str]) -> None:
    assert BASIC_ENGLISH.split([text])[0] == original(text) == tokens


# Random sequences of what the substitutions act on; plain text has it far less often.
pieces = st.sampled_from(
    ["<br />", "<BR />", "<br", " />", "/>", '"', "'", ".", ",", "(", ")", "!", "?", ";", ":", " ",
     "\n", "\x85", "\xa0", "\x1f", "a", "A", "B", "İ"]
)  # fmt: skip


texts_of_pieces = st.lists(st.one_of(st.text(), st.lists(pieces).map("".join)), max_size=6)


@given(texts_of_pieces)
@example(["\ud800\udfff", "\udcff", "\xff"])
@settings(max_examples=500, deadline=None)
def test_any_texts_give_the_tokens_of_torchtext(texts: list[str]) -> None:
    assert BASIC_ENGLISH.split(texts) == [original(text) for text in texts]


def test_split_and_regular_expressions_know_the_same_white_space() -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1)]
    white = [c for c in everything if not c.split()]
    assert white == [c for c in everything if re.fullmatch(r"\s", c)]
    assert sorted(tokenizer_module._WIDE_SPACE) == [c for c in white if not c.isascii()]


def test_docstrings_give_the_tokens_of_torchtext(docstrings: list[str]) -> None:
    assert BASIC_ENGLISH.split(docstrings) == [original(text) for text in docstrings]


def test_all_ag_news_test_rows_give_the_tokens_of_torchtext(datasets: Path) -> None:
    texts = pd.read_csv(datasets / "ag_news/test.csv.gz", keep_default_na=False)["text"]
    assert len(texts) == 7600
    assert BASIC_ENGLISH.split(texts) == [original(text) for text in texts]


@given(texts_of_pieces, st.integers(1, 9))
@settings(deadline=None)
def test_chunks_hold_all_texts_in_order_and_close_at_their_size(
    texts: list[str], characters: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "_CHARACTERS_AT_ONCE", characters)
        found = list(chunks(texts))
    assert list(chain(*found)) == texts
    for chunk in found:
        assert sum(map(len, chunk[:-1])) < characters
    for chunk in found[:-1]:
        assert sum(map(len, chunk)) >= characters


def test_a_missing_text_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match=r"text 1 .*nan of type float, expected a string"):
        list(chunks(["fine", float("nan")]))  # type: ignore[list-item]


def test_a_single_string_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(UserError, match=r"write \[text\]"):
        list(chunks("one text"))


def test_the_example_of_the_docstring_holds() -> None:
    result = doctest.testmod(tokenizer_module)
    assert result.attempted > 0
    assert result.failed == 0


def test_a_tokenizer_is_found_by_its_name() -> None:
    for tokenizer in (BASIC_ENGLISH, NGRAMS):
        assert tokenizer_named(tokenizer.name) is tokenizer
    with pytest.raises(UserError, match=r"unknown tokenizer 'basic'.*Known: basic_english"):
        tokenizer_named("basic")


@given(st.text())
@example("half-way don't a_b 3.14 U.S. İSTANBUL ẞ 中文 x \ud83d \x85\xa0zz")
def test_words_are_those_of_tfidf_vectorizer(text: str) -> None:
    words = tokenizer_named("words")
    assert words.split([text, "next one"]) == [
        TfidfVectorizer().build_analyzer()(text),
        ["next", "one"],
    ]


ODD = ["the", "##e", "cats", " ", "  ", "\n", "\t", "\x1c", "\x85", "\u3000", "é", "e\u0301", "İ",
       "ΑΣ", "猫", "[MASK]", "[UNK]", "a b", ".", "\0", "\ud800", "\U0001f600"]  # fmt: skip


@pytest.mark.parametrize("kind", ["words", "added token with a space", "no words"])
def test_a_given_tokenizer_gives_the_tokens_of_its_library(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is missing")
    pieces = ["[UNK]", "[MASK]", *"abcdest猫α.", "##a", "##e", "##t", "##s", "ca", "the", "cat"]
    machine = library.Tokenizer(
        library.models.WordPiece({token: i for i, token in enumerate(pieces)}, unk_token="[UNK]")
    )
    machine.normalizer = library.normalizers.BertNormalizer()
    # the metaspace is a token of what follows it
    machine.pre_tokenizer = (
        library.pre_tokenizers.Metaspace()
        if kind == "no words"
        else library.pre_tokenizers.BertPreTokenizer()
    )
    machine.add_special_tokens(["[MASK]", *(["a b"] if kind == "added token with a space" else [])])
    monkeypatch.setattr(tokenizer_module, "_WORDS_KEPT", 20)
    given = tokenizer_module.given_tokenizer(machine.to_str())
    rng = np.random.default_rng(0)
    for _ in range(5):  # some words are known from earlier calls, and some are not kept
        texts = ["".join(rng.choice(ODD, size=rng.integers(12))) for _ in range(40)]
        whole = [text.encode("utf-8", "replace").decode() for text in texts]
        rows = machine.encode_batch(whole, add_special_tokens=False)
        assert given.split(texts) == [" ".join(row.tokens).split() for row in rows]
    assert given.split([""]) == [[]]


def test_words_are_followed_by_their_marked_ngrams() -> None:
    assert NGRAMS.split(["A, to\x1c\xa0the", "", "\ud800"]) == [
        ["a", ",", "to", "·<to", "·to>", "the", "·<th", "·the", "·he>", "·<the", "·the>"],
        [],
        ["\ud800"],
    ]


@given(st.lists(st.text(), max_size=5))
def test_without_the_ngrams_the_words_are_those_of_basic_english(texts: list[str]) -> None:
    texts = [text.replace("·", " ") for text in texts]
    rows = [[token for token in row if token[0] != "·"] for row in NGRAMS.split(texts)]
    assert rows == BASIC_ENGLISH.split(texts)

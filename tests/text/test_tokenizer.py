from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchtext.data import get_tokenizer

from tests.text.plainly import tokenize
from textmetric.errors import UserError
from textmetric.text import basic_english

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
        ("a\x1cb\x85c\xa0d\u2028e\u3000f", ["a", "b", "c", "d", "e", "f"]),
        ("zero\u200bwidth stays", ["zero\u200bwidth", "stays"]),
        ("İSTANBUL ẞ ΑΣ", ["i̇stanbul", "ß", "ας"]),
        ("half \ud83d pair", ["half", "\ud83d", "pair"]),
        ("<unk> ’quoted’", ["<unk>", "’quoted’"]),
    ],
)
def test_traps_give_the_tokens_of_torchtext(text: str, tokens: list[str]) -> None:
    assert basic_english(text) == original(text) == tokens


# Pieces that the rules act on, glued at random, meet them far more often than plain text does.
pieces = st.sampled_from(
    ["<br />", "<BR />", "<br", " />", '"', "'", ".", ",", "(", ")", "!", "?", ";", ":", " ", "\n",
     "\x85", "\x1f", "a", "B", "İ"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(pieces).map("".join)))
@example("\ud800\udfff")
@settings(max_examples=500, deadline=None)
def test_any_text_gives_the_tokens_of_torchtext(text: str) -> None:
    assert basic_english(text) == original(text)


def test_split_and_regular_expressions_know_the_same_white_space() -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [c for c in everything if not c.split()] == [
        c for c in everything if re.fullmatch(r"\s", c)
    ]


def test_docstrings_give_the_tokens_of_torchtext(docstrings: list[str]) -> None:
    assert list(tokenize(docstrings)) == [original(text) for text in docstrings]


def test_all_ag_news_test_rows_give_the_tokens_of_torchtext(datasets: Path) -> None:
    texts = pd.read_csv(datasets / "ag_news/test.csv.gz", keep_default_na=False)["text"]
    assert len(texts) == 7600
    for text, tokens in zip(texts, tokenize(texts), strict=True):
        assert tokens == original(text)


def test_a_missing_text_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match=r"text 1 .*nan of type float, expected a string"):
        list(tokenize(["fine", float("nan")]))  # type: ignore[list-item]


def test_a_single_string_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(UserError, match=r"write \[text\]"):
        list(tokenize("one text"))

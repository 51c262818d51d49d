from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchtext.data import get_tokenizer

from textmetric.text import BASIC_ENGLISH, RaggedTokens, Vocabulary, tokenize_train
from textmetric.text import vocabulary as vocabulary_module
from textmetric.text.numbering import TokenNumbers, renumber
from textmetric.types import Int32, Int64

original = get_tokenizer("basic_english")

pieces = st.sampled_from(
    ["<br />", '<"br />', "<unk>", '"', "'", ".", ",", "(", "!", ";", " ", "\n", "\x85", "\xa0",
     "\u2003", "\x1f", "a", "A", "aA", "B", "İ", "Σ", "é", "\ud83d", "\U0001f600"]
)  # fmt: skip
texts_of_pieces = st.lists(st.one_of(st.text(), st.lists(pieces).map("".join)), max_size=6)


def lists(ids: Int32, offsets: Int64) -> list[list[int]]:
    return [ids[start:end].tolist() for start, end in pairwise(offsets)]


def numbered(table: TokenNumbers, texts: list[str], *, grow: bool) -> tuple[Int32, Int64]:
    return table.rows(BASIC_ENGLISH.separated(texts), grow=grow)


def plain(texts: list[str], ids: dict[str, int], *, grow: bool) -> list[list[int]]:
    """The same as the table, by a dictionary of strings."""
    rows = []
    for text in texts:
        row = []
        for token in original(text):
            if grow:
                ids.setdefault(token, len(ids))
            row.append(ids.get(token, 0))
        rows.append([number for number in row if number])
    return rows


@given(texts_of_pieces, texts_of_pieces)
@settings(max_examples=300, deadline=None)
def test_any_texts_get_the_numbers_of_a_dictionary(texts: list[str], more: list[str]) -> None:
    table, ids = TokenNumbers(["<unk>"]), {"<unk>": 0}
    for some, grow in ((texts, True), (more, False), (more, True)):
        numbers, offsets = numbered(table, some, grow=grow)
        assert lists(numbers, offsets) == plain(some, ids, grow=grow)
        assert numbers.dtype == np.int32
    assert table.tokens() == list(ids)
    assert len(table) == len(ids)


def test_counts_are_how_often_each_token_was_met() -> None:
    table = TokenNumbers(["<unk>", "b"])
    numbered(table, ["a b <unk> a", "c"], grow=True)
    numbered(table, ["c d"], grow=False)
    assert dict(zip(table.tokens(), table.counts.tolist(), strict=True)) == {
        "<unk>": 1, "b": 1, "a": 2, "c": 2,
    }  # fmt: skip


def test_a_large_table_finds_every_token_again() -> None:
    texts = [
        " ".join(f"{n:x}" for n in range(start, start + 500)) for start in range(0, 10**5, 500)
    ]
    table = TokenNumbers(["<unk>"])
    first = [numbered(table, [text], grow=True)[0] for text in texts]
    assert len(table) == 10**5 + 1
    for text, ids in zip(texts, first, strict=True):
        assert numbered(table, [text], grow=False)[0].tolist() == ids.tolist()


@given(texts_of_pieces, texts_of_pieces)
@settings(deadline=None)
def test_the_table_and_the_dictionary_encode_alike(texts: list[str], new: list[str]) -> None:
    vocabulary, _ = tokenize_train([*texts, "one A two"])
    few = vocabulary.encode(new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "_FEW_CHUNKS", 0)
        many = vocabulary.encode(new)
    assert few.ids.tolist() == many.ids.tolist()
    assert few.offsets.tolist() == many.offsets.tolist()


def test_known_tokens_that_no_text_can_have_change_nothing() -> None:
    vocabulary = Vocabulary(["<unk>", "A", "bAb", "b"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "_FEW_CHUNKS", 0)
        rows = vocabulary.encode(["b A", "bAb b"])
    assert lists(rows.ids, rows.offsets) == [[3], [3]]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=8), st.data())
@settings(deadline=None)
def test_renumbering_in_place_equals_remap(rows: list[list[int]], data: st.DataObject) -> None:
    new_ids = np.array(data.draw(st.lists(st.integers(0, 5), min_size=10, max_size=10)), np.int32)
    ids = np.array([number for row in rows for number in row], np.int32)
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    expected = RaggedTokens(ids.copy(), offsets.copy()).remap(new_ids)
    kept = renumber(ids, offsets, new_ids)
    assert ids[:kept].tolist() == expected.ids.tolist()
    assert offsets.tolist() == expected.offsets.tolist()

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchtext.data import get_tokenizer
from torchtext.vocab import Vocab

from tests.text.plainly import vocabulary_of
from textmetric.errors import UserError
from textmetric.text import NGRAMS, Tokenizer, Vocabulary, tokenize_train
from textmetric.text import vocabulary as vocabulary_module

original = get_tokenizer("basic_english")


def torchtext_tokens(texts: list[str], min_freq: int = 1, max_size: int | None = None) -> list[str]:
    counter = Counter(token for text in texts for token in original(text))
    vocabulary = Vocab(counter, min_freq=min_freq, max_size=max_size, specials=["<unk>"])
    tokens: list[str] = vocabulary.itos
    return tokens


limits = pytest.mark.parametrize(
    ("min_freq", "max_size"), [(1, None), (2, None), (5, 300), (1, 1), (1, 10**9)]
)


@limits
def test_docstrings_give_the_vocabulary_of_torchtext(
    docstrings: list[str], min_freq: int, max_size: int | None
) -> None:
    vocabulary, _ = tokenize_train(docstrings, min_freq=min_freq, max_size=max_size)
    assert vocabulary.tokens == torchtext_tokens(docstrings, min_freq, max_size)


@limits
def test_ag_news_gives_the_vocabulary_of_torchtext(
    datasets: Path, min_freq: int, max_size: int | None
) -> None:
    frame = pd.read_csv(datasets / "ag_news/test.csv.gz", keep_default_na=False)
    texts = frame["text"].tolist()
    vocabulary, _ = tokenize_train(texts, min_freq=min_freq, max_size=max_size)
    assert vocabulary.tokens == torchtext_tokens(texts, min_freq, max_size)


@given(
    st.dictionaries(st.sampled_from("abcdefgh") | st.just("<unk>"), st.integers(0, 4)),
    st.integers(1, 3),
    st.none() | st.integers(1, 9),
)
@settings(deadline=None)
def test_any_counts_give_the_vocabulary_of_torchtext(
    counts: dict[str, int], min_freq: int, max_size: int | None
) -> None:
    expected = Vocab(Counter(counts), min_freq=min_freq, max_size=max_size, specials=["<unk>"])
    if expected.itos == ["<unk>"]:
        with pytest.raises(UserError):
            vocabulary_of(counts, min_freq=min_freq, max_size=max_size)
    else:
        built = vocabulary_of(counts, min_freq=min_freq, max_size=max_size)
        assert built.tokens == expected.itos
        assert built.ids == dict(expected.stoi)


def test_order_is_unknown_then_frequency_then_alphabet() -> None:
    vocabulary = vocabulary_of({"b": 1, "a": 1, "c": 3, "<unk>": 9})
    assert vocabulary.tokens == ["<unk>", "c", "a", "b"]
    assert vocabulary.ids == {"<unk>": 0, "c": 1, "a": 2, "b": 3}
    assert len(vocabulary) == 4


@pytest.mark.parametrize(
    ("counts", "limits", "message"),
    [
        ({"a": 1}, {"min_freq": 0}, "min_freq is 0"),
        ({"a": 1}, {"min_freq": -1}, "min_freq is -1"),
        ({"a": 1}, {"max_size": 0}, "max_size is 0"),
        ({"a": 2}, {"min_freq": 3}, "min_freq is 3, but no token occurs more than 2 times"),
        ({}, {}, "no token"),
    ],
)
def test_a_value_out_of_range_is_named(
    counts: dict[str, int], limits: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        vocabulary_of(counts, **limits)


def test_encoding_drops_unknown_tokens_and_keeps_empty_rows() -> None:
    vocabulary = vocabulary_of({"good": 2, "bad": 1, ".": 1})
    rows = vocabulary.encode(["Good, good. ugly", "", "<unk> nothing known", "BAD"])
    assert rows.ids.tolist() == [1, 1, 2, 3]
    assert rows.offsets.tolist() == [0, 3, 3, 3, 4]


def test_encoding_equals_a_plain_loop(docstrings: list[str]) -> None:
    vocabulary, train = tokenize_train(docstrings[::2], min_freq=2)
    for texts, rows in [
        (docstrings[::2], train),
        (docstrings, vocabulary.encode(docstrings)),
    ]:
        for row, text in enumerate(texts):
            plain = [vocabulary.ids.get(token, 0) for token in original(text)]
            encoded = rows.ids[rows.offsets[row] : rows.offsets[row + 1]]
            assert encoded.tolist() == [id_ for id_ in plain if id_]


AT_COMMAS = Tokenizer(
    "at commas", lambda texts: b"".join(text.replace(",", " ").encode() + b"\xff" for text in texts)
)


@pytest.mark.parametrize("few_chunks", [0, 64])
def test_a_vocabulary_encodes_with_its_own_tokenizer(
    monkeypatch: pytest.MonkeyPatch, few_chunks: int
) -> None:
    monkeypatch.setattr(vocabulary_module, "_FEW_CHUNKS", few_chunks)
    vocabulary, train = tokenize_train(["A,b.c", "A"], tokenizer=AT_COMMAS)
    assert vocabulary.tokens == ["<unk>", "A", "b.c"]
    assert train.ids.tolist() == [1, 2, 1]
    assert vocabulary.encode(["b.c,a", "A"]).ids.tolist() == [2, 1]
    assert vocabulary != Vocabulary(vocabulary.tokens)


def test_a_saved_vocabulary_keeps_the_tokenizer_that_it_names(tmp_path: Path) -> None:
    vocabulary, _ = tokenize_train(["wine"], tokenizer=NGRAMS)
    vocabulary.save(tmp_path / "vocabulary.txt")
    found = Vocabulary.load(tmp_path / "vocabulary.txt")
    assert found == vocabulary
    assert found.tokenizer is NGRAMS
    assert len(found.encode(["winery"]).ids) > 0  # by the n-grams that it shares with wine


def test_encoding_nothing_gives_no_rows() -> None:
    rows = Vocabulary(["<unk>", "a"]).encode([])
    assert len(rows) == 0
    assert rows.ids.size == 0


@given(st.lists(st.text()))
@settings(deadline=None)
def test_a_saved_vocabulary_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    vocabulary, _ = tokenize_train([*texts, "a\x1cb \u2028 \ufeffmark half \ud83d pair \x00"])
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.txt"
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary
    written = path.read_bytes()
    Vocabulary.load(path).save(path)
    assert path.read_bytes() == written


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off"),
        (b"<unk>\nhal", "cut off"),
        (b"half\n", "the first token is not <unk>"),
        (b"<unk>\na\nb\na\n", "'a' occurs twice"),
        (b"<unk>\n\na\n", "'' is empty or holds white space"),
        (b"<unk>\r\na\r\n", "first token"),
        (b"<unk>\na b\n", "'a b' is empty or holds white space"),
        (b"<unk>\n\xff\n", "utf-8"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        Vocabulary.load(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vocabulary\.txt is missing"):
        Vocabulary.load(tmp_path / "vocabulary.txt")

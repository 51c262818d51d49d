from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from textmetric.compare.table import FEWEST_ROWS, Table, read_table
from textmetric.errors import UserError


def rows_of(table: Table) -> list[tuple[str, str]]:
    """The words and the label of every row that is left."""
    corpus = table.corpus
    names, words = corpus.label_names, corpus.vocabulary.tokens
    offsets = corpus.train.tokens.offsets
    return [
        (
            " ".join(words[token] for token in corpus.train.tokens.ids[start:end]),
            names[corpus.train.labels[row]],
        )
        for row, (start, end) in enumerate(pairwise(offsets))
    ]


def many(name: str, count: int = FEWEST_ROWS) -> tuple[list[str], list[Any]]:
    return [f"text {name} number{row}" for row in range(count)], [name] * count


def two_classes() -> tuple[list[str], list[Any]]:
    (first, of_first), (second, of_second) = many("one"), many("two")
    return first + second, of_first + of_second


def test_all_rows_stay_where_nothing_is_wrong() -> None:
    texts, labels = two_classes()
    table = read_table(texts, labels)
    assert rows_of(table) == list(zip(texts, labels, strict=True))
    assert table.left_out == []
    assert table.given == 20


@pytest.mark.parametrize("none", [None, math.nan, "", " ", -1, np.nan, pd.NA, "nan"])
def test_a_row_without_a_label_is_left_out_and_counted(none: Any) -> None:
    texts, labels = two_classes()
    table = read_table([*texts, "one more"], [*labels, none])
    assert len(table.corpus.train) == 20
    assert table.left_out == ["1 without a label"]
    assert "more" not in table.corpus.vocabulary.tokens


def test_texts_with_the_same_words_are_one_row() -> None:
    texts, labels = two_classes()
    table = read_table([*texts, "Text one, NUMBER3!"], [*labels, "one"])
    assert rows_of(table) == list(zip(texts, labels, strict=True))
    assert table.left_out == ["1 whose words an earlier row has"]


def test_words_with_two_labels_are_left_out() -> None:
    (texts, labels), (more, of_more) = many("one", 11), many("two", 11)
    table = read_table([*texts, *more, texts[0]], [*labels, *of_more, "two"])
    assert texts[0] not in [words for words, _ in rows_of(table)]
    assert table.left_out == ["2 whose words have another label in another row"]


def test_a_text_without_a_word_is_left_out() -> None:
    texts, labels = two_classes()
    table = read_table([*texts, "! a ?", ""], [*labels, "one", "two"])
    assert len(table.corpus.train) == 20
    assert table.left_out == ["2 without a word"]


def test_a_class_with_few_rows_is_left_out_by_name() -> None:
    texts, labels = two_classes()
    few, of_few = many("three", FEWEST_ROWS - 1)
    table = read_table([*texts, *few], [*labels, *of_few])
    assert table.corpus.label_names == ["one", "two"]
    assert sorted(set(table.corpus.train.labels.tolist())) == [0, 1]
    assert table.left_out == ["9 of 1 class with fewer than 10 such texts (three)"]


def test_labels_may_be_numbers() -> None:
    texts, _ = two_classes()
    table = read_table(texts, np.repeat([5, 1], 10))
    assert table.corpus.label_names == ["1", "5"]
    assert table.corpus.train.labels.tolist() == [1] * 10 + [0] * 10


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], "none of the 0 rows has a label"),
        (["a text"], [None], "none of the 1 rows has a label"),
        (["a text"], ["a", "b"], "1 texts came with 2 labels"),
        ("a text", ["a"], "texts is one string"),
        (*many("one"), "1 class has 10 different texts or more, expected at least two"),
        (["text"] * 40, ["one", "two"] * 20, "no class has 10 different texts"),
        ([f"text{row}" for row in range(40)], list(range(40)), "40 different values"),
        (["text", "other"], ["one", 2], "give all labels the same type"),
        ([3, "other"], ["one", "two"], "text 0 is 3, expected a string"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said_in_a_sentence(
    texts: Any, labels: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_table(texts, labels)

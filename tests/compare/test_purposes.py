from __future__ import annotations

import numpy as np
import pytest

from tests.compare.made import texts_of
from textmetric.compare.purposes import CHOOSING, LABELS, PURPOSES, by_name, rows_apart
from textmetric.compare.table import read_table
from textmetric.errors import UserError
from textmetric.text import LabelledTokens, TokenizedCorpus

NAMES = [purpose.name for purpose in PURPOSES]


@pytest.fixture(scope="module")
def corpus() -> TokenizedCorpus:
    texts, labels = texts_of(8, 160)
    # the same words again, spelt otherwise: they may not be on both sides
    return read_table([*texts, *map(str.upper, texts)], [*labels, *labels]).corpus


def own_words(corpus: TokenizedCorpus, part: LabelledTokens) -> set[str]:
    """The words that one text alone has, of those that the vocabulary knows."""
    words = {corpus.vocabulary.tokens[token] for token in np.unique(part.tokens.whole().ids)}
    return {word for word in words if word.startswith("id")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_no_text_that_is_measured_or_chosen_by_is_learnt_from(
    corpus: TokenizedCorpus, name: str, seed: int
) -> None:
    split = by_name(name).parts(corpus, seed)
    assert len(own_words(split, split.train)) == len(split.train)
    # the vocabulary is that of the train part, so a word of a text elsewhere is not in it
    assert own_words(split, split.test) == set()
    assert own_words(split, split.validation) == set()


@pytest.mark.parametrize("name", NAMES)
def test_each_seed_draws_other_parts_and_the_same_seed_the_same(
    corpus: TokenizedCorpus, name: str
) -> None:
    first, again, other = (by_name(name).parts(corpus, seed) for seed in (3, 3, 4))
    assert first.vocabulary == again.vocabulary
    assert first.test.tokens.whole().ids.tolist() == again.test.tokens.whole().ids.tolist()
    assert first.vocabulary != other.vocabulary


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_in_one_part_and_each_class_in_all(corpus: TokenizedCorpus, seed: int) -> None:
    parts = rows_apart(corpus, seed)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(corpus.train)))
    for part, least in zip(parts, (4, 2, 2), strict=True):
        counts = np.bincount(corpus.train.labels[part], minlength=8)
        assert counts.min() >= least
    assert len(parts[2]) == 32
    assert len(parts[1]) == 19


def test_the_smallest_class_still_has_a_pair_in_every_part() -> None:
    texts, labels = texts_of(2, 20)
    parts = rows_apart(read_table(texts, labels).corpus, 0)
    assert [len(part) for part in parts] == [12, 4, 4]


def test_few_labels_are_as_many_of_each_class() -> None:
    texts, labels = texts_of(3, 150)
    split = by_name("few-labels").parts(read_table(texts, labels).corpus, 0)
    chosen_by = round(CHOOSING * LABELS)
    assert np.bincount(split.train.labels).tolist() == [LABELS - chosen_by] * 3
    assert np.bincount(split.validation.labels).tolist() == [chosen_by] * 3
    assert len(split.test) == 30


def test_new_classes_are_trained_on_nowhere(corpus: TokenizedCorpus) -> None:
    split = by_name("new-classes").parts(corpus, 0)
    parts = [
        {split.label_names[label] for label in np.unique(part.labels)}
        for part in (split.train, split.validation, split.test)
    ]
    assert [len(names) for names in parts] == [4, 2, 2]
    assert len(set.union(*parts)) == 8
    assert split.trained_labels == sorted(parts[0])


def test_new_classes_need_classes_enough() -> None:
    purpose = by_name("new-classes")
    texts, labels = texts_of(5, 60)
    with pytest.raises(UserError, match=r"new-classes needs 6 classes or more, .* there are 5"):
        purpose.check(read_table(texts, labels).corpus)
    texts, labels = texts_of(6, 60)
    six = read_table(texts, labels).corpus
    purpose.check(six)
    split = purpose.parts(six, 0)
    assert (len(split.trained_labels), len(split.held_out), len(split.unseen)) == (2, 2, 2)
    assert purpose.test_to_train(6) == 2 / 4


def test_the_ratio_is_that_of_test_rows_to_the_others() -> None:
    assert by_name("classify").test_to_train(20) == pytest.approx(0.2 / 0.8)
    assert by_name("few-labels").test_to_train(20) == pytest.approx(0.2 / 0.8)
    assert by_name("new-classes").test_to_train(20) == pytest.approx(5 / 15)


def test_an_unknown_purpose_is_an_error() -> None:
    with pytest.raises(UserError, match="unknown purpose 'classy'; did you mean 'classify'"):
        by_name("classy")

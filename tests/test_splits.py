from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.text.plainly import vocabulary_of
from textmetric.errors import UserError
from textmetric.files import write_json
from textmetric.grid import Layout, Split
from textmetric.params import SplitEntry
from textmetric.splits import (
    cut_labels,
    few_rows,
    full,
    make_split,
    open_classes,
    read_entries,
    rows_of_test,
    write_entries,
)
from textmetric.text import (
    BASIC_ENGLISH,
    LabelledTokens,
    RaggedTokens,
    TokenizedCorpus,
    Tokenizer,
    Vocabulary,
    tokenize_corpus,
)
from textmetric.types import PARTS

SIZES = {"a": 40, "b": 25, "c": 25, "d": 1}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Random words; every text has a token that no other has, so that cutting rows drops tokens."""
    rng = np.random.default_rng(7)
    rows = [
        (" ".join([f"{part}{label}{row}", *rng.choice(list("uvwxyz"), row % 4)]), label, part)
        for part in PARTS
        for label, size in SIZES.items()
        for row in range(size)
    ]
    # Validation and test also hold tokens that only some train rows know.
    rows += [(f"traina{row} trainb{row} u", "a", "test") for row in range(25)]
    return pd.DataFrame(rows, columns=["text", "label", "split"]).sample(frac=1, random_state=3)


@pytest.fixture(scope="module")
def corpus(frame: pd.DataFrame) -> TokenizedCorpus:
    return tokenize_corpus(frame, progress=False)


def words(corpus: TokenizedCorpus, part: str) -> list[list[str]]:
    tokens = getattr(corpus, part).tokens.whole()
    return [
        [corpus.vocabulary.tokens[i] for i in tokens.ids[start:end]]
        for start, end in pairwise(tokens.offsets)
    ]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_full_is_the_corpus(corpus: TokenizedCorpus) -> None:
    split = full(corpus)
    assert split.scarce == []
    assert split.vocabulary == corpus.vocabulary
    assert [words(split, part) for part in PARTS] == [words(corpus, part) for part in PARTS]


@pytest.mark.parametrize(("rare", "marked"), [(0, []), (1, [3]), (2, [1, 3]), (3, [1, 2, 3])])
def test_rare_marks_the_labels_with_the_fewest_train_rows_ties_by_id(
    corpus: TokenizedCorpus, rare: int, marked: list[int]
) -> None:
    assert full(corpus, rare).scarce == marked
    assert len(full(corpus, rare).train) == len(corpus.train)
    assert corpus.scarce == []


def test_only_the_train_rows_of_the_scarce_labels_are_cut(corpus: TokenizedCorpus) -> None:
    split = cut_labels(corpus, [0, 2], keep=0.2, seed=0)
    assert split.train_counts.tolist() == [8, 25, 5, 1]
    assert split.scarce == [0, 2]
    assert split.label_names == corpus.label_names
    for part in ("validation", "test"):
        assert getattr(split, part).labels.tolist() == getattr(corpus, part).labels.tolist()


@pytest.mark.parametrize(
    ("label", "keep", "rows"),
    [(0, 1.0, 40), (0, 0.26, 10), (0, 0.03, 2), (0, 1e-9, 2), (3, 0.1, 1), (3, 1.0, 1)],
)
def test_a_scarce_label_keeps_its_share_and_at_least_two_rows(
    corpus: TokenizedCorpus, label: int, keep: float, rows: int
) -> None:
    assert cut_labels(corpus, [label], keep, seed=0).train_counts[label] == rows


def test_rows_that_stay_keep_their_order(corpus: TokenizedCorpus) -> None:
    kept = words(cut_labels(corpus, [0], 0.3, seed=1), "train")
    everything = words(corpus, "train")
    places = [everything.index(row) for row in kept]
    assert places == sorted(places)
    assert len(set(places)) == len(kept)


def test_a_split_equals_tokenizing_the_kept_texts_again(
    frame: pd.DataFrame, corpus: TokenizedCorpus
) -> None:
    split = cut_labels(corpus, [0, 1], keep=0.2, seed=5)
    kept = {row[0] for row in words(split, "train")}  # the token that no other text has
    stays = (frame["split"] != "train") | frame["text"].str.split().str[0].isin(kept)
    again = tokenize_corpus(frame[stays], progress=False)
    assert len(again.vocabulary) < len(corpus.vocabulary)
    assert split.vocabulary == again.vocabulary
    for part in PARTS:
        one: LabelledTokens = getattr(split, part)
        other: LabelledTokens = getattr(again, part)
        np.testing.assert_array_equal(one.tokens.whole().ids, other.tokens.whole().ids)
        np.testing.assert_array_equal(one.tokens.whole().offsets, other.tokens.whole().offsets)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert split.empty_rows == again.empty_rows


def test_a_split_has_the_vocabulary_of_its_own_train_rows(corpus: TokenizedCorpus) -> None:
    split = cut_labels(corpus, [1], keep=0.1, seed=0)
    counts = Counter(word for row in words(split, "train") for word in row)
    assert split.vocabulary == vocabulary_of(counts)
    assert split.train.tokens.whole().ids.min() == 1


def test_a_split_keeps_the_tokenizer(corpus: TokenizedCorpus) -> None:
    other = Tokenizer("other", BASIC_ENGLISH.separated)
    vocabulary = Vocabulary(corpus.vocabulary.tokens, other)
    split = cut_labels(replace(corpus, vocabulary=vocabulary), [0], 0.2, seed=0)
    assert split.vocabulary.tokenizer is other


def test_keeping_everything_only_marks_the_label(corpus: TokenizedCorpus) -> None:
    split = cut_labels(corpus, [0], keep=1, seed=0)
    assert split.vocabulary == corpus.vocabulary
    assert words(split, "train") == words(corpus, "train")
    assert split.scarce == [0]


def test_same_seed_same_bytes(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cut_labels(corpus, [0, 1], 0.2, seed=3).save(tmp_path / name)
    cut_labels(corpus, [1, 0, 1], 0.2, seed=3).save(tmp_path / "other-order")
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "other-order")


def test_a_split_of_a_loaded_corpus_is_the_same(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    corpus.save(tmp_path / "whole")
    cut_labels(corpus, [0], 0.2, seed=3).save(tmp_path / "one")
    cut_labels(TokenizedCorpus.load(tmp_path / "whole"), [0], 0.2, seed=3).save(tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert TokenizedCorpus.load(tmp_path / "one").scarce == [0]


@pytest.mark.parametrize(
    "entry", [{}, {"rare": 1}, {"scarce": [1], "keep": 0.3}, {"open_share": 0.5}]
)
def test_every_text_keeps_its_row_among_the_vectors(
    frame: pd.DataFrame, entry: dict[str, object], tmp_path: Path
) -> None:
    mixed = frame.sample(frac=1, random_state=0, ignore_index=True)
    split = make_split(tokenize_corpus(mixed, keep_rows=True, progress=False), **entry)
    split.save(tmp_path / "split")
    for corpus in (split, TokenizedCorpus.load(tmp_path / "split")):
        for part in PARTS:
            rows = getattr(corpus, part)
            assert len(rows) == len(rows.texts)
            assert len(rows) or (part == "validation" and "open_share" in entry)
            encoded = corpus.vocabulary.encode(mixed["text"][rows.texts])
            np.testing.assert_array_equal(encoded.ids, rows.tokens.whole().ids)
            np.testing.assert_array_equal(encoded.offsets, rows.tokens.whole().offsets)
            assert mixed["label"][rows.texts].tolist() == [
                corpus.label_names[label] for label in rows.labels
            ]
    plain = make_split(tokenize_corpus(mixed, progress=False), **entry)
    assert all(getattr(plain, part).texts is None for part in PARTS)


def rows_of_label(split: TokenizedCorpus, label: int) -> list[str]:
    """The first token of each train row of a label; no other row has it."""
    rows = zip(words(split, "train"), split.train.labels.tolist(), strict=True)
    return [row[0] for row, its_label in rows if its_label == label]


def test_another_seed_keeps_other_rows(corpus: TokenizedCorpus) -> None:
    first, second = (rows_of_label(cut_labels(corpus, [0], 0.2, seed), 0) for seed in (0, 1))
    assert first != second


def test_the_rows_of_a_label_do_not_depend_on_other_labels(corpus: TokenizedCorpus) -> None:
    alone = rows_of_label(cut_labels(corpus, [1], 0.2, seed=4), 1)
    assert alone == rows_of_label(cut_labels(corpus, [0, 1, 2], 0.2, seed=4), 1)


def test_labels_are_cut_independently_of_one_another(corpus: TokenizedCorpus) -> None:
    # b and c have the same number of rows, so a shared random state would keep the same places.
    whole, split = corpus, cut_labels(corpus, [1, 2], 0.4, seed=0)
    places = [
        [rows_of_label(whole, label).index(row) for row in rows_of_label(split, label)]
        for label in (1, 2)
    ]
    assert places[0] != places[1]


def test_a_smaller_share_is_part_of_a_larger_one(corpus: TokenizedCorpus) -> None:
    small, large = (set(rows_of_label(cut_labels(corpus, [0], k, seed=0), 0)) for k in (0.1, 0.5))
    assert small < large


def test_make_split_takes_the_values_of_an_entry(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    assert make_split(corpus).scarce == []
    assert make_split(corpus, rare=1).scarce == [3]
    make_split(corpus, scarce=[0], keep=0.1, seed=2).save(tmp_path / "one")
    cut_labels(corpus, [0], 0.1, 2).save(tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"scarce": [4], "keep": 0.1},
            "scarce label 4 does not exist, expected an id of the 4 labels of the corpus: "
            "choose among 0 = a, 1 = b, 2 = c, 3 = d",
        ),
        ({"scarce": [-1], "keep": 0.1}, "scarce label -1 does not exist"),
        ({"scarce": [0, 9], "keep": 0.1}, "scarce label 9 does not exist"),
        ({"scarce": [0], "keep": 0}, "keep is 0, expected a share above 0 and at most 1"),
        ({"scarce": [0], "keep": 1.5}, "keep is 1.5"),
        ({"scarce": [0], "keep": float("nan")}, "keep is nan"),
        ({"scarce": [0], "keep": 0.1, "seed": -1}, "seed is -1"),
        ({"scarce": [0], "keep": 0.1, "rare": 1}, "scarce and rare are both given"),
        ({"open_share": 0.5, "rare": 1}, "rare and open are both given"),
        ({"open_share": 0.5, "keep": 0.1}, "keep is 0.1 but scarce names no label"),
        ({"unlabel": True}, "unlabel is true but scarce names no label"),
        ({"unlabel": True, "rare": 1}, "unlabel is true but scarce names no label"),
        ({"open_share": 0.5, "unlabel": True}, "unlabel is true but scarce names no label"),
        ({"open_share": 1.0}, "open is 1.0, expected a share of the labels"),
        ({"open_share": 0.5, "seed": -1}, "seed is -1"),
        ({"open_share": 0.1}, "so of the 4 labels of the corpus 0 are for training and 4 for test"),
        ({"open_share": 0.25}, "of the 4 labels of the corpus 1 are for training and 3 for test"),
        ({"open_share": 0.75}, "of the 4 labels of the corpus 3 are for training and 1 for test"),
        ({"open_share": 0.9}, "so of the 4 labels of the corpus 4 are for training and 0 for test"),
        ({"keep": 0.1}, "keep is 0.1 but scarce names no label"),
        ({"rare": 4}, "rare is 4, expected 0 to 3, since the corpus has 4 labels"),
        ({"rare": -1}, "rare is -1"),
    ],
)
def test_a_value_out_of_range_is_named(
    corpus: TokenizedCorpus, entry: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as error:
        make_split(corpus, **entry)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_scarce_needs_a_label(corpus: TokenizedCorpus) -> None:
    with pytest.raises(UserError, match="scarce names no label"):
        cut_labels(corpus, [], 0.5, seed=0)


def test_a_corpus_of_one_label_can_be_cut() -> None:
    frame = pd.DataFrame({"text": ["a b", "c", "c"], "label": "x", "split": "train"})
    split = cut_labels(tokenize_corpus(frame, progress=False), [0], 0.5, seed=0)
    assert split.train_counts.tolist() == [2]


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """Ten labels; every text has a token of its own, and words that texts of all labels share."""
    rng = np.random.default_rng(5)
    rows = [
        (" ".join([f"{label}{part}{row}", *rng.choice(list("uvwxyz"), 3)]), label, part)
        for label in "qwertasdfg"
        for part, size in (("train", 6), ("validation", 2), ("test", 3))
        for row in range(size)
    ]
    return pd.DataFrame(rows, columns=["text", "label", "split"]).sample(frac=1, random_state=3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_open_split_equals_tokenizing_its_texts_again(many: pd.DataFrame, seed: int) -> None:
    split = open_classes(tokenize_corpus(many, progress=False), 0.6, seed)
    names = split.label_names
    assert sorted(names) == sorted(set(many["label"]))
    assert split.trained_labels == names[:4]
    assert (split.held_out, split.unseen, split.scarce) == ([4, 5], [6, 7, 8, 9], [])
    train = many[(many["split"] == "train") & many["label"].isin(names[:4])]
    texts = [train.assign(split="train")]
    for part, labels in (("validation", names[4:6]), ("test", names[6:])):
        for origin in PARTS:
            rows = many[(many["split"] == origin) & many["label"].isin(labels)]
            texts.append(rows.assign(split=part))
    again = tokenize_corpus(pd.concat(texts), progress=False)
    assert split.vocabulary == again.vocabulary
    for part, size in (("train", 4 * 6), ("validation", 2 * 11), ("test", 4 * 11)):
        one: LabelledTokens = getattr(split, part)
        other: LabelledTokens = getattr(again, part)
        assert len(one) == size
        np.testing.assert_array_equal(one.tokens.whole().ids, other.tokens.whole().ids)
        np.testing.assert_array_equal(one.tokens.whole().offsets, other.tokens.whole().offsets)
        assert [names[i] for i in one.labels] == [again.label_names[i] for i in other.labels]


@pytest.mark.parametrize("seed", range(4))
def test_no_label_of_an_open_split_is_in_two_parts(many: pd.DataFrame, seed: int) -> None:
    split = open_classes(tokenize_corpus(many, progress=False), 0.5, seed)
    labels = [{split.label_names[label] for label in getattr(split, part).labels} for part in PARTS]
    assert sum(map(len, labels)) == len(set.union(*labels)) == 10


@pytest.mark.parametrize(
    ("labels", "share", "trained", "held_out"),
    [
        (4, 0.5, 2, 0),  # two labels must remain to train on
        (10, 0.3, 3, 0),
        (8, 0.5, 2, 2),
        (10, 0.5, 3, 2),
        (24, 0.5, 10, 2),
        (26, 0.5, 10, 3),
        (40, 0.5, 16, 4),
        (10, 0.8, 6, 2),
    ],
)
def test_a_fifth_of_the_labels_that_are_not_tested_is_held_out_but_at_least_two(
    labels: int, share: float, trained: int, held_out: int
) -> None:
    names = [f"label{number}" for number in range(labels)]
    frame = pd.DataFrame({"text": names, "label": names, "split": "train"})
    split = open_classes(tokenize_corpus(frame, progress=False), share, seed=0)
    assert [len(split.trained_labels), len(split.held_out)] == [trained, held_out]
    sizes = [len(getattr(split, part)) for part in PARTS]
    assert sizes == [trained, held_out, labels - trained - held_out]


def test_the_labels_of_an_open_split_are_drawn_by_seed(many: pd.DataFrame, tmp_path: Path) -> None:
    corpus = tokenize_corpus(many, progress=False)
    splits = [open_classes(corpus, 0.5, seed) for seed in range(40)]
    for ids in ([0, 1, 2], [3, 4], [5, 6, 7, 8, 9]):
        drawn = [{split.label_names[label] for label in ids} for split in splits]
        assert set.union(*drawn) == set(corpus.label_names)  # each label has each place
    for name in ("one", "two"):
        make_split(corpus, open_share=0.5, seed=3).save(tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    loaded = TokenizedCorpus.load(tmp_path / "one")
    assert (loaded.held_out, loaded.unseen) == ([3, 4], [5, 6, 7, 8, 9])
    assert loaded.trained_labels == splits[3].label_names[:3]


def test_an_open_split_without_train_rows_is_refused(many: pd.DataFrame) -> None:
    corpus = tokenize_corpus(many, progress=False)
    names = open_classes(corpus, 0.5, seed=0).trained_labels
    left = many[(many["split"] != "train") | ~many["label"].isin(names)]
    with pytest.raises(UserError, match="no train row is left for the open split"):
        open_classes(tokenize_corpus(left, progress=False), 0.5, seed=0)


def test_rows_of_test_are_the_texts_of_the_test_part(many: pd.DataFrame) -> None:
    corpus = tokenize_corpus(many, progress=False)
    split = open_classes(corpus, 0.5, seed=0)
    found = many.iloc[rows_of_test(many, [split.label_names[label] for label in split.unseen])]
    assert len(found) == len(split.test) == 5 * 11
    assert found["label"].tolist() == [split.label_names[i] for i in split.test.labels]
    # the train rows come first, then validation and test
    assert found["split"].tolist() == ["train"] * 30 + ["validation"] * 10 + ["test"] * 15
    closed = many.iloc[rows_of_test(many, [])]
    assert closed["label"].tolist() == [corpus.label_names[i] for i in corpus.test.labels]


def written(root: Path, entries: dict[Split, SplitEntry]) -> Layout:
    layout = Layout(root)
    write_entries(layout.splits, entries)
    return layout


def test_the_entries_are_read_as_they_were_written_role_by_role(tmp_path: Path) -> None:
    entries = {
        Split("source", "open"): SplitEntry(role="source", open=0.5),
        Split("target", "all"): SplitEntry(role="target"),
        Split("target", "few"): SplitEntry(role="target", scarce=[1, 0], keep=0.25),
        Split("target", "text"): SplitEntry(role="target", scarce=[0], keep=0.5, unlabel=True),
    }
    layout = written(tmp_path, entries)
    found = read_entries(layout)
    assert found == entries
    assert [split.name for split in found] == ["all", "few", "text", "open"]
    written_ = json.loads(layout.entries("target").read_text())
    assert ["unlabel" in entry for entry in written_.values()] == [False, False, True]
    assert list(read_entries(layout, ["source"])) == [Split("source", "open")]
    written(tmp_path, {Split("target", "all"): SplitEntry(role="target")})
    assert read_entries(layout, ["source"]) == {}


def test_missing_or_damaged_entries_are_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(UserError, match=r"splits\.json is missing: run the stage"):
        read_entries(layout)
    write_json(layout.entries("target"), {"all": {"role": "goal"}})
    with pytest.raises(UserError, match="goal"):
        read_entries(layout, ["target"])


def test_an_entry_whose_name_is_a_path_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_json(layout.entries("target"), {"../../precious": {"role": "target"}})
    with pytest.raises(UserError, match=r"'\.\./\.\./precious', but a name becomes a folder"):
        read_entries(layout, ["target"])


# --- texts without a label --------------------------------------------------------------------


@pytest.fixture(scope="module")
def more() -> pd.DataFrame:
    rows = [(f"more{row} {word}", None, "unlabelled") for row, word in enumerate("uvwxyzab")]
    return pd.DataFrame(rows, columns=["text", "label", "split"])


def unlabelled_words(corpus: TokenizedCorpus) -> list[list[str]]:
    rows = LabelledTokens(corpus.unlabelled, np.zeros(len(corpus.unlabelled), np.int32))
    return words(replace(corpus, train=rows), "train")


@pytest.mark.parametrize("unlabel", [False, True])
def test_a_scarce_split_equals_tokenizing_with_its_texts_without_a_label(
    frame: pd.DataFrame, more: pd.DataFrame, unlabel: bool
) -> None:
    both = pd.concat([frame, more])
    corpus = tokenize_corpus(both, progress=False)
    split = make_split(corpus, scarce=[0, 1], keep=0.2, seed=5, unlabel=unlabel)
    kept = {row[0] for row in words(split, "train")}  # the token that no other text has
    gone = (frame["split"] == "train") & ~frame["text"].str.split().str[0].isin(kept)
    assert gone.sum() > 20
    parts = [frame[~gone], more]
    if unlabel:
        parts.append(frame[gone].assign(label=None, split="unlabelled"))
    again = tokenize_corpus(pd.concat(parts), progress=False)
    assert split.vocabulary == again.vocabulary
    assert len(split.unlabelled) == len(more) + (gone.sum() if unlabel else 0)
    assert unlabelled_words(split) == unlabelled_words(again)
    for part in PARTS:
        assert words(split, part) == words(again, part)
        assert getattr(split, part).labels.tolist() == getattr(again, part).labels.tolist()
    plain = make_split(tokenize_corpus(frame, progress=False), scarce=[0, 1], keep=0.2, seed=5)
    assert words(split, "train") == words(plain, "train")
    assert split.train_counts.tolist() == plain.train_counts.tolist()


def test_no_split_without_such_texts_has_any(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    for number, entry in enumerate(({}, {"scarce": [0], "keep": 0.2}, {"open_share": 0.5})):
        make_split(corpus, **entry).save(tmp_path / str(number))  # type: ignore[arg-type]
        assert not [name for name in files(tmp_path / str(number)) if "unlabelled" in name]
    keeping_all = make_split(corpus, scarce=[0], keep=1.0, unlabel=True)
    assert len(keeping_all.unlabelled) == 0


def test_full_and_open_splits_carry_texts_without_a_label(
    many: pd.DataFrame, more: pd.DataFrame
) -> None:
    corpus = tokenize_corpus(pd.concat([many, more]), progress=False)
    for split in (make_split(corpus, rare=2), make_split(corpus, open_share=0.5)):
        assert unlabelled_words(split) == unlabelled_words(corpus)
    opened = make_split(corpus, open_share=0.5)
    plain = make_split(tokenize_corpus(many, progress=False), open_share=0.5)
    for part in PARTS:
        assert getattr(opened, part).labels.tolist() == getattr(plain, part).labels.tolist()
    assert set(opened.vocabulary.tokens) - set(plain.vocabulary.tokens) == {
        "a", "b", *(f"more{row}" for row in range(8))
    }  # fmt: skip


def test_few_rows_of_every_label_keep_the_other_parts_and_maybe_the_other_texts() -> None:
    corpus = tiny.corpus()
    few = few_rows(corpus, 3, seed=1)
    assert np.bincount(few.train.labels).tolist() == [3] * len(corpus.label_names)
    assert len(few.unlabelled) == 0
    assert set(few.vocabulary.tokens) < set(corpus.vocabulary.tokens)
    for part in ("validation", "test"):
        assert len(getattr(few, part)) == len(getattr(corpus, part))
    texts = few_rows(corpus, 3, seed=1, unlabel=True)
    assert texts.train.labels.tolist() == few.train.labels.tolist()
    assert len(texts.unlabelled) == len(corpus.train) - len(few.train)
    assert sorted(texts.vocabulary.tokens) == sorted(corpus.vocabulary.tokens)

    def words(rows: RaggedTokens, tokens: list[str]) -> list[list[str]]:
        return [[tokens[i] for i in rows.take([row]).ids] for row in range(len(rows))]

    # every train text is there once, with or without its label
    both = [*words(texts.train.tokens, texts.vocabulary.tokens),
            *words(texts.unlabelled, texts.vocabulary.tokens)]  # fmt: skip
    assert sorted(both) == sorted(words(corpus.train.tokens, corpus.vocabulary.tokens))


ENTRIES: list[dict[str, object]] = [
    {},
    {"rare": 1},
    {"scarce": [0, 2], "keep": 0.2},
    {"scarce": [0, 2], "keep": 0.2, "unlabel": True},
    {"open_share": 0.5},
]


@pytest.mark.parametrize("unlabelled", [0, 3])
@pytest.mark.parametrize("entry", ENTRIES)
def test_rows_over_the_tokens_are_read_as_the_split_itself(
    frame: pd.DataFrame, entry: dict[str, object], unlabelled: int, tmp_path: Path
) -> None:
    """Against the split written with its own tokens."""
    more = [(f"extra{row} u v", None, "unlabelled") for row in range(unlabelled)]
    mixed = pd.concat([frame, pd.DataFrame(more, columns=frame.columns)], ignore_index=True)
    tokenize_corpus(mixed, keep_rows=True, progress=False).save(tmp_path / "tokens")
    split = make_split(TokenizedCorpus.load(tmp_path / "tokens"), **entry)  # type: ignore[arg-type]
    split.save(tmp_path / "whole")
    split.save(tmp_path / "splits" / "one", tokens="../../tokens")
    assert not list((tmp_path / "splits" / "one").glob("*.ids.npy"))
    assert not list((tmp_path / "splits" / "one").glob("*.offsets.npy"))
    TokenizedCorpus.load(tmp_path / "splits" / "one").save(tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "whole")


@pytest.fixture
def stored(corpus: TokenizedCorpus, tmp_path: Path) -> Path:
    corpus.save(tmp_path / "tokens")
    split = cut_labels(TokenizedCorpus.load(tmp_path / "tokens"), [0], 0.2, seed=0)
    split.save(tmp_path / "split", tokens="../tokens")
    return tmp_path / "split"


def test_rows_that_are_not_among_the_tokens_are_named(
    stored: Path, corpus: TokenizedCorpus
) -> None:
    total = sum(len(getattr(corpus, part)) for part in PARTS)
    for wrong in (-1, total):
        rows = np.load(stored / "test.rows.npy")
        np.save(stored / "test.rows.npy", np.where(rows == rows[0], wrong, rows).astype(np.int32))
        with pytest.raises(
            UserError, match=rf"test\.rows\.npy holds an id outside 0 to {total - 1}"
        ):
            TokenizedCorpus.load(stored)
        np.save(stored / "test.rows.npy", rows)
    TokenizedCorpus.load(stored)


def test_a_new_id_that_the_vocabulary_lacks_is_named(stored: Path) -> None:
    vocabulary = TokenizedCorpus.load(stored).vocabulary
    new_ids = np.load(stored / "new_ids.npy")
    new_ids[1] = len(vocabulary)
    np.save(stored / "new_ids.npy", new_ids)
    with pytest.raises(UserError, match=r"new_ids\.npy holds an id outside"):
        TokenizedCorpus.load(stored)


def test_a_token_without_a_new_id_is_named(stored: Path) -> None:
    np.save(stored / "new_ids.npy", np.load(stored / "new_ids.npy")[:-1])
    with pytest.raises(UserError, match=r"train\.ids\.npy holds an id outside"):
        TokenizedCorpus.load(stored)


def test_tokens_that_are_missing_or_others_are_named(stored: Path, corpus: TokenizedCorpus) -> None:
    replace(corpus, test=corpus.test.take([0])).save(stored.parent / "tokens")
    with pytest.raises(UserError, match=r"labels\.json is of other tokens than those of .*tokens"):
        TokenizedCorpus.load(stored)
    (stored.parent / "tokens" / "train.ids.npy").unlink()
    with pytest.raises(UserError, match=r"tokens.train\.ids\.npy is missing"):
        TokenizedCorpus.load(stored)


@pytest.mark.parametrize("wrong", [3, {}, {"folder": "../tokens"}, {"folder": 1, "rows": []}])
def test_a_split_that_does_not_say_what_it_is_of_is_damaged(stored: Path, wrong: object) -> None:
    about = json.loads((stored / "labels.json").read_text())
    write_json(stored / "labels.json", about | {"tokens": wrong})
    with pytest.raises(UserError, match=r"labels\.json cannot be read as JSON that says"):
        TokenizedCorpus.load(stored)


def test_only_a_split_is_saved_as_rows(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no view of those of a corpus"):
        corpus.save(tmp_path / "split", tokens="../tokens")
    assert list(tmp_path.iterdir()) == []

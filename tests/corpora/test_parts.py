from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchtext.data import get_tokenizer

from textmetric.corpora import parts, readers
from textmetric.errors import UserError
from textmetric.types import PARTS

TOKENS = get_tokenizer("basic_english")


def table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["text", "label", "split"])


def classes(*sizes: int, part: str = "train") -> pd.DataFrame:
    """A table with a class a, b, ... of each size and no repeated text."""
    return table(
        [
            (f"{part} text {letter} {row}", letter, part)
            for letter, size in zip("abcdefghij", sizes, strict=False)
            for row in range(size)
        ]
    )


def clean_and_cut(
    frame: pd.DataFrame, *, limit: int | None = None, seed: int = 0, **changes: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    return finished(cut_corpus(frame, seed=seed, **changes), limit, seed)


FRAMES: dict[int, tuple[object, pd.DataFrame]] = {}
"""The table of a corpus, by the list of its class names, which it keeps as long as it lives."""


def cut_corpus(frame: pd.DataFrame, *, seed: int = 0, **changes: Any) -> parts.Parted:
    keys = parts.Keys(seed)
    for block in readers.of_frame(frame, {}):
        keys.add(block.texts, block.labels, block.parts)
    options = {"name": "toy", "test": 0.2, "validation": 0.1, "min_rows": None}
    corpus = parts.clean_and_cut(keys.done(), **{**options, **changes})  # type: ignore[arg-type]
    FRAMES[id(corpus.names)] = corpus.names, frame
    return corpus


def frame_of(corpus: parts.Parted) -> pd.DataFrame:
    return FRAMES[id(corpus.names)][1]


def finished(
    corpus: parts.Parted, limit: int | None, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows that are kept in their order, and the counts."""
    last, counts = parts.finished(corpus, limit, seed)
    kept = [
        frame_of(corpus)[["text", "label"]].iloc[rows].assign(split=[*PARTS, "unlabelled"][number])
        for rows, _, number in parts.in_order(last)
    ]
    for frame, (_, labels, number) in zip(kept, parts.in_order(last), strict=True):
        named = [None if number == parts.NO_PART else corpus.names[label] for label in labels]
        assert frame["label"].where(frame["label"].notna(), None).tolist() == named
    return pd.concat(kept, ignore_index=True), counts


def sizes(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {
        str(part): group["label"].value_counts().to_dict() for part, group in frame.groupby("split")
    }


def obvious_clean(rows: list[tuple[str, str, str]]) -> tuple[list[int], Counter[str]]:
    """The rule of the module, row by row."""
    same = [" ".join(TOKENS(text)) for text, _, _ in rows]
    reasons = Counter[str]()
    tested = {same[i] for i, row in enumerate(rows) if row[2] == "test"}
    pool = [i for i, row in enumerate(rows) if row[2] != "test" and same[i] not in tested]
    reasons["leaked_rows"] = sum(row[2] != "test" for row in rows) - len(pool)
    labels = {text: {rows[i][1] for i in pool if same[i] == text} for text in same}
    conflicting = [i for i in pool if len(labels[same[i]]) > 1]
    reasons["conflicting_rows"] = len(conflicting)
    pool = [i for i in pool if len(labels[same[i]]) == 1]
    validated = {same[i] for i in pool if rows[i][2] == "validation"}
    kept: list[int] = []
    for i in pool:
        if rows[i][2] == "train" and same[i] in validated:
            reasons["leaked_rows"] += 1
        elif same[i] in {same[j] for j in kept}:
            reasons["duplicate_rows"] += 1
        else:
            kept.append(i)
    return sorted(kept + [i for i, row in enumerate(rows) if row[2] == "test"]), reasons


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "a cat",
                    "A  cat ",
                    "ac at",
                    "a\xa0cat",
                    "É",
                    "é",
                    "ΟΔΟΣ",
                    "οδος",
                    "οδοσ",
                    "tab\tbed",
                    "tab bed",
                    "x",
                    "x\u2003",
                    "K",
                    "\u212a",
                    "a<br />cat",
                    'a "c"at;',
                    "a c at",
                    "a\x1ccat",
                    ":",
                    '"',
                ]
            ),
            st.sampled_from("pq"),
            st.sampled_from(PARTS),
        ),
        max_size=14,
    )
)
def test_cleaning_equals_the_rule_row_by_row(rows: list[tuple[str, str, str]]) -> None:
    frame = table(rows)
    labels = np.array([ord(label) for _, label, _ in rows], dtype=np.int64)
    part = np.array([PARTS.index(row[2]) for row in rows], dtype=np.int64)
    texts = parts.text_hashes(frame["text"].astype(str), seed=0)[:, 0]
    keep, counts = parts.clean(texts, labels, part)
    kept, reasons = obvious_clean(rows)
    assert np.flatnonzero(keep).tolist() == kept
    assert counts == {
        key: reasons[key] for key in ("leaked_rows", "conflicting_rows", "duplicate_rows")
    }


def test_a_given_test_part_is_never_changed() -> None:
    given_test = [("t", "a", "test"), ("t", "a", "test"), ("t", "b", "test"), ("u", "b", "test")]
    frame = pd.concat([table([*given_test, ("T ", "a", "train")]), classes(5, 5)])
    result, summary = clean_and_cut(frame)
    assert result[result["split"] == "test"]["text"].tolist() == ["t", "t", "t", "u"]
    assert summary["leaked_rows"] == 1
    assert summary["test_rows"] == 4


@pytest.mark.parametrize(
    ("size", "train", "validation", "test"),
    [(2, 2, 0, 0), (3, 2, 0, 1), (10, 7, 1, 2), (100, 72, 8, 20)],
)
def test_train_gets_two_rows_first_then_test_then_validation(
    size: int, train: int, validation: int, test: int
) -> None:
    result, _ = clean_and_cut(classes(size, size))
    for part, rows in (("train", train), ("validation", validation), ("test", test)):
        assert sizes(result).get(part, {}) == ({"a": rows, "b": rows} if rows else {})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=2, max_size=8),
    st.floats(0.05, 0.6),
    st.floats(0.0, 0.5),
    st.integers(0, 3),
    st.integers(0, 60),
)
def test_parts_keep_every_promise(
    counts: list[int], test: float, validation: float, seed: int, extra: int
) -> None:
    frame = classes(*counts)
    limit = 2 * len(counts) + extra
    for cap in (None, limit):
        result, summary = clean_and_cut(
            frame, test=test, validation=validation, seed=seed, limit=cap
        )
        again, _ = clean_and_cut(frame, test=test, validation=validation, seed=seed, limit=cap)
        pd.testing.assert_frame_equal(result, again)
        assert result["text"].is_unique
        assert set(result["text"]) <= set(frame["text"])
        by = sizes(result)
        assert min(by["train"].values()) >= 2
        assert set(by["train"]) == set(frame["label"])
        assert set(by.get("test", {})) == {
            label for label, size in frame["label"].value_counts().items() if size >= 3
        }
        if cap is None:
            assert len(result) == len(frame)
        else:
            assert summary["train_rows"] <= cap
        for part in PARTS:
            assert summary[f"{part}_rows"] == sum(by.get(part, {}).values())


def test_another_seed_draws_other_rows() -> None:
    first, _ = clean_and_cut(classes(50, 50), seed=0)
    second, _ = clean_and_cut(classes(50, 50), seed=1)
    assert set(first[first["split"] == "test"]["text"]) != set(
        second[second["split"] == "test"]["text"]
    )


def test_a_text_is_in_the_same_part_of_any_table_of_the_same_class_sizes() -> None:
    first, _ = clean_and_cut(classes(50, 50))
    longer = classes(50, 50).assign(text=lambda frame: '"' + frame["text"].str.upper() + ' :"')
    second, _ = clean_and_cut(longer.sample(frac=1, random_state=0))
    plain = second["text"].str.strip(':" ').str.lower()
    assert dict(zip(plain, second["split"], strict=True)) == dict(
        zip(first["text"], first["split"], strict=True)
    )


def test_the_hash_of_a_text_is_the_same_on_every_machine() -> None:
    hashes = parts.text_hashes(["Don't panic!"], seed=7)
    digest = hashlib.blake2b(b"7 don ' t panic !", digest_size=16).digest()
    assert hashes.tolist() == [
        [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")]
    ]


def test_parts_come_in_order_and_rows_keep_theirs() -> None:
    frame = classes(30, 30).sample(frac=1, random_state=0).reset_index(drop=True)
    result, _ = clean_and_cut(frame)
    assert result["split"].drop_duplicates().tolist() == ["train", "validation", "test"]
    place = {text: row for row, text in enumerate(frame["text"])}
    for _, group in result.groupby("split"):
        order = group["text"].map(place)
        assert order.is_monotonic_increasing


def test_the_limit_is_exact_stratified_and_shrinks_the_other_parts_alike() -> None:
    frame = pd.concat([classes(400, 100), classes(80, 20, part="test")])
    result, summary = clean_and_cut(frame, limit=90, validation=0.1)
    assert sizes(result)["train"] == {"a": 72, "b": 18}
    assert sizes(result)["test"] == {"a": 16, "b": 4}
    assert sizes(result)["validation"] == {"a": 8, "b": 2}
    assert summary["limit"] == 90


def test_a_limit_above_the_rows_changes_nothing() -> None:
    free, _ = clean_and_cut(classes(20, 20))
    capped, _ = clean_and_cut(classes(20, 20), limit=1000)
    pd.testing.assert_frame_equal(free, capped)


def test_a_single_class_is_an_error() -> None:
    with pytest.raises(UserError, match="corpus toy has only the class 'a'"):
        clean_and_cut(classes(5))
    with pytest.raises(UserError, match="has no class"):
        clean_and_cut(table([("x", "a", "train"), ("x", "b", "train")]))


def test_a_class_with_one_row_is_an_error_and_min_rows_is_the_remedy() -> None:
    frame = classes(5, 1, 5, 1)
    with pytest.raises(
        UserError, match=r"'b' \(and 1 other classes\) of corpus toy has only one.*min_rows: 2"
    ):
        clean_and_cut(frame)
    result, summary = clean_and_cut(frame, min_rows=2)
    assert set(result["label"]) == {"a", "c"}
    assert summary["small_classes"] == 2
    assert summary["small_class_rows"] == 2
    assert summary["classes"] == 2


def test_a_class_whose_texts_all_have_another_label_too_is_an_error() -> None:
    frame = pd.concat([classes(5, 5), table([("both", "c", "train"), ("both", "a", "train")])])
    with pytest.raises(UserError, match="class 'c' of corpus toy has no train row once repeated"):
        clean_and_cut(frame)
    _, summary = clean_and_cut(frame, min_rows=2)
    assert (summary["small_classes"], summary["conflicting_rows"]) == (1, 2)


def test_a_class_that_only_the_test_part_has_is_an_error() -> None:
    frame = pd.concat([classes(5, 5), table([("t", "a", "test"), ("u", "z", "test")])])
    with pytest.raises(UserError, match="class 'z' of corpus toy has no train row"):
        clean_and_cut(frame)
    result, summary = clean_and_cut(frame, min_rows=2)
    assert sizes(result)["test"] == {"a": 1}
    assert summary["small_class_rows"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 3}, "data.limit is 3, but corpus toy needs at least 4 train rows"),
        ({"validation": 1.0}, "data.validation must be at least 0 and below 1, not 1.0"),
        ({"validation": -0.1}, "data.validation"),
        ({"test": 0.0}, "the test fraction"),
    ],
)
def test_numbers_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        clean_and_cut(classes(9, 9), **changes)


def roles(
    target: pd.DataFrame, source: pd.DataFrame, **changes: Any
) -> tuple[parts.Parted, parts.Parted]:
    return cut_corpus(target, **changes), cut_corpus(source, reverse=True, **changes)


def rows_of(corpus: parts.Parted) -> list[tuple[str, str, str]]:
    """Text, class and part of each row; texts in the eyes of the tokenizer."""
    kept = frame_of(corpus).iloc[corpus.rows]
    texts = [" ".join(TOKENS(text)) for text in kept["text"]]
    return list(zip(texts, kept["label"], [PARTS[part] for part in corpus.part], strict=True))


def crossing_texts(target: parts.Parted, source: parts.Parted) -> set[str]:
    """The texts that are in other parts of the two roles than train and train, test and test."""
    return {
        text
        for text, _, part in rows_of(target)
        for other, _, there in rows_of(source)
        if text == other and (part, there) not in {("train", "train"), ("test", "test")}
    }


@st.composite
def overlapping(draw: st.DrawFn, *given_parts: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables with texts in common, each with the parts of one of ``given_parts``."""
    frames = []
    for _ in range(2):
        texts = draw(st.lists(st.integers(0, 24), min_size=6, max_size=25, unique=True))
        classes_ = draw(st.integers(2, 3))
        own = draw(st.sampled_from(given_parts))
        rows = [
            (f"Text {text}", f"c{text % classes_}", draw(st.sampled_from(own))) for text in texts
        ]
        frames.append(table(rows))
    return frames[0], frames[1]


@settings(max_examples=300, deadline=None)
@given(
    overlapping(PARTS[:1], PARTS[::2], PARTS), st.sampled_from([0.1, 0.3, 0.6]), st.integers(0, 3)
)
def test_no_text_crosses_the_roles_and_no_row_is_dropped_without_need(
    frames: tuple[pd.DataFrame, pd.DataFrame], validation: float, seed: int
) -> None:
    try:
        before = roles(*frames, min_rows=2, validation=validation, seed=seed)
        after = parts.uncrossed(*before)
    except UserError:  # fewer than two classes are large enough
        return
    assert crossing_texts(*after) == set()
    crossed = crossing_texts(*before)
    kept = [{text: (label, part) for text, label, part in rows_of(role)} for role in after]
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        train = Counter(label for label, part in kept[place].values() if part == "train")
        gone = [row for row in rows_of(old) if row[0] not in kept[place]]
        of_small_class = [row for row in gone if row[1] not in train]
        assert min(train.values()) >= 2
        left_out = {
            key: new.counts[key] - old.counts[key]
            for key in ("crossing_rows", "small_class_rows", "small_classes")
        }
        assert left_out["crossing_rows"] + left_out["small_class_rows"] == len(gone)
        old_train = {label for _, label, part in rows_of(old) if part == "train"}
        assert left_out["small_classes"] == len(old_train - set(train))
        for text, _, part in (row for row in gone if row not in of_small_class):
            assert text in crossed
            if text not in kept[1 - place]:  # the other role lost its class
                continue
            label, there = kept[1 - place][text]
            if PARTS.index(part) > PARTS.index(there):  # it saved a class of the other role
                assert there == "train"
                assert sum(row == (label, "train") for row in kept[1 - place].values()) == 2
                assert not (part == "test" and old.brings_test)
        if old.brings_test:
            assert [row for row in rows_of(old) if row[2] == "test" and row[1] in train] == [
                row for row in rows_of(new) if row[2] == "test"
            ]


@settings(max_examples=200, deadline=None)
@given(overlapping(PARTS[:1]), st.integers(0, 3))
def test_classes_keep_two_train_rows_where_no_corpus_brings_a_test_part(
    frames: tuple[pd.DataFrame, pd.DataFrame], seed: int
) -> None:
    frames_ = [frame[frame.groupby("label")["text"].transform("size") > 1] for frame in frames]
    if min(frame["label"].nunique() for frame in frames_) > 1:
        for new in parts.uncrossed(*roles(*frames_, seed=seed, test=0.4, validation=0.4)):
            rows = finished(new, None, 0)[0]
            kept = rows[rows["split"] == "train"].groupby("label").size()
            assert set(kept.index) == set(rows["label"])
            assert kept.min() >= 2


def test_a_cut_test_part_leaves_most_of_the_other_roles_validation_part() -> None:
    rows = classes(1000, 1000)
    brings_test = pd.concat([rows, classes(9, 9, part="test")])
    target, _ = parts.uncrossed(*roles(brings_test, rows))
    found = sizes(finished(target, None, 0)[0])["validation"]
    assert 140 < sum(found.values()) < 180  # of 200, a fifth is in the test part of the source


def test_the_earlier_part_gives_way_and_validation_rows_are_shared_out() -> None:
    """Every pair of parts that a text can have in two corpora that bring all parts, 40 times."""
    pairs = [(part, there) for part in PARTS for there in PARTS]
    target, source = (
        pd.concat(
            [classes(9, 9, part=f"{role} {part}").assign(split=part) for part in PARTS]
            + [
                table([(f"{pair[0]} {pair[1]} {n}", "a", pair[place])])
                for pair in pairs
                for n in range(40)
            ]
        )
        for place, role in enumerate(("target", "source"))
    )
    kept = [
        {tuple(text.split()) for text, _, _ in rows_of(role)}
        for role in parts.uncrossed(*roles(target, source))
    ]
    for part, there in pairs:
        texts = {(part, there, str(n)) for n in range(40)}
        in_target, in_source = (texts & found for found in kept)
        assert in_target | in_source == texts
        if part == there != "validation":
            assert in_target == in_source
        elif part == there:
            assert not in_target & in_source
            assert 10 < len(in_target) < 30
        else:
            later = in_target if PARTS.index(part) > PARTS.index(there) else in_source
            assert (later, in_target & in_source) == (texts, set())


@pytest.mark.parametrize("size", [2, 3, 4, 5, 30, 300])
def test_both_roles_may_be_the_same_table(size: int) -> None:
    frame = classes(size, size)
    target, source = parts.uncrossed(*roles(frame, frame, min_rows=size))  # before the cuts
    assert crossing_texts(target, source) == set()
    for role in (target, source):
        found = sizes(finished(role, None, 0)[0])
        assert min(found["train"].values()) >= 2
        assert set(found.get("test", {})) == ({"a", "b"} if size > 2 else set())
    if size == 300:  # each role loses the other's validation part, 48 rows, and nothing else
        lost = [role.counts["crossing_rows"] for role in (target, source)]
        assert lost == [48, 48]


def test_a_class_that_the_other_roles_test_part_holds_is_an_error_or_left_out() -> None:
    few = table([("x one", "c", "train"), ("x two", "c", "train")])
    target = pd.concat([classes(9, 9), few])
    source = pd.concat([classes(9, 9, part="test"), classes(5, 5), few.assign(split="test")])
    source["label"] = source["label"].replace("c", "a")
    message = "class 'c' of corpus toy has no train row once texts that are validated or tested"
    with pytest.raises(UserError, match=rf"{message} on in the other role.*min_rows: 2"):
        parts.uncrossed(*roles(target, source))
    left, _ = parts.uncrossed(*roles(target, source, min_rows=2))
    assert left.counts["small_classes"] == 1
    assert set(finished(left, None, 0)[0]["label"]) == {"a", "b"}


# --- rows without a label ---------------------------------------------------------------------


def unlabelled_texts(frame: pd.DataFrame) -> list[str]:
    return [" ".join(TOKENS(text)) for text in frame["text"][frame["split"] == "unlabelled"]]


def obvious_unlabelled(
    frame: pd.DataFrame, own: parts.Parted, other: parts.Parted
) -> tuple[list[str], Counter[str]]:
    """The rule of the module, row by row."""
    measured = {text for role in (own, other) for text, _, part in rows_of(role) if part != "train"}
    known = {text for text, _, part in rows_of(own) if part == "train"}
    kept: list[str] = []
    reasons = Counter[str]()
    for text in frame["text"][frame["label"].isna()]:
        same = " ".join(TOKENS(text))
        if same in measured:
            reasons["unlabelled_leaked_rows"] += 1
        elif same in known or same in kept:
            reasons["unlabelled_duplicate_rows"] += 1
        else:
            kept.append(same)
    return kept, reasons


@settings(max_examples=200, deadline=None)
@given(
    overlapping(PARTS[:1], PARTS[::2], PARTS),
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=2, max_size=2),
    st.randoms(use_true_random=False),
)
def test_no_text_without_a_label_is_measured_on_and_no_row_is_dropped_without_need(
    frames: tuple[pd.DataFrame, pd.DataFrame], more: list[list[int]], random: Any
) -> None:
    mixed = []
    for frame, texts in zip(frames, more, strict=True):
        # as the tokenizer sees them these are texts of the tables above
        rows = [(random.choice([f"Text {n}", f'text  "{n}"']), None, "train") for n in texts]
        both = pd.concat([frame, table(rows)])
        mixed.append(both.sample(frac=1, random_state=random.randrange(1000)))
    try:
        cut = roles(*mixed, min_rows=2)
        labelled = roles(
            *(frame[frame["label"].notna()].reset_index(drop=True) for frame in mixed), min_rows=2
        )
        target, source = parts.uncrossed(*cut)
        alone = parts.uncrossed(*labelled)
    except UserError:  # fewer than two classes are large enough
        return
    for frame, own, other, without in (
        (mixed[0], target, source, alone[0]),
        (mixed[1], source, target, alone[1]),
    ):
        found, summary = finished(parts.with_unlabelled(own, [other]), None, 0)
        expected, reasons = obvious_unlabelled(frame, own, other)
        assert unlabelled_texts(found) == expected
        assert found["label"].isna().tolist() == (found["split"] == "unlabelled").tolist()
        assert summary["unlabelled_rows"] == len(expected)
        for reason in ("unlabelled_leaked_rows", "unlabelled_duplicate_rows"):
            assert summary[reason] == reasons[reason]
        # they change nothing about the labelled rows
        plain, counts = finished(without, None, 0)
        pd.testing.assert_frame_equal(
            found[found["split"] != "unlabelled"].reset_index(drop=True), plain, check_dtype=False
        )
        assert counts.items() <= summary.items()


def test_the_limit_shrinks_texts_without_a_label_in_proportion_by_seed() -> None:
    frame = pd.concat(
        [classes(60, 40), table([(f"only text {n}", None, "train") for n in range(50)])]  # type: ignore[list-item]
    )
    corpus = parts.with_unlabelled(cut_corpus(frame))
    whole, summary = finished(corpus, None, 0)
    assert summary["train_rows"] == 72
    assert len(unlabelled_texts(whole)) == 50
    one, same, other = (finished(corpus, 36, seed)[0] for seed in (0, 0, 1))
    assert len(unlabelled_texts(one)) == 25
    places = [unlabelled_texts(whole).index(text) for text in unlabelled_texts(one)]
    assert places == sorted(places) != list(range(25))
    assert unlabelled_texts(one) == unlabelled_texts(same) != unlabelled_texts(other)
    assert len(unlabelled_texts(finished(corpus, 72, 0)[0])) == 50


def test_a_table_without_a_single_label_is_an_error() -> None:
    with pytest.raises(UserError, match="corpus toy has no class"):
        cut_corpus(table([(f"text {n}", None, "train") for n in range(5)]))  # type: ignore[list-item]

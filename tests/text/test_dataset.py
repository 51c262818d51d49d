from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torchtext.data import get_tokenizer
from torchtext.vocab import Vocab

from textmetric.errors import UserError
from textmetric.text import (
    BASIC_ENGLISH,
    NGRAMS,
    LabelledTokens,
    RaggedTokens,
    TokenizedCorpus,
    tokenize_corpus,
    tokenize_file,
)
from textmetric.text import dataset as dataset_module
from textmetric.types import PARTS


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["text", "label", "split"])


def small() -> pd.DataFrame:
    return frame(
        ("The cat sat.", "pets", "train"),
        ("unseen words here", "pets", "test"),
        ("Stocks fell, stocks rose", "money", "train"),
        ("the cat", "money", "validation"),
        ("", "money", "train"),
        ("the stocks", "money", "test"),
    )


def rows_of(part: LabelledTokens) -> list[list[int]]:
    tokens = part.tokens.whole()
    return [tokens.ids[start:end].tolist() for start, end in pairwise(tokens.offsets)]


def test_vocabulary_knows_train_rows_only() -> None:
    corpus = tokenize_corpus(small(), progress=False)
    assert corpus.vocabulary.tokens == [
        "<unk>", "stocks", ",", ".", "cat", "fell", "rose", "sat", "the",
    ]  # fmt: skip
    assert rows_of(corpus.train) == [[8, 4, 7, 3], [1, 5, 2, 1, 6], []]
    assert rows_of(corpus.validation) == [[8, 4]]
    assert rows_of(corpus.test) == [[], [8, 1]]


def test_labels_follow_the_sorted_names() -> None:
    corpus = tokenize_corpus(small(), progress=False)
    assert corpus.label_names == ["money", "pets"]
    assert corpus.train.labels.tolist() == [1, 0, 0]
    assert corpus.test.labels.tolist() == [1, 0]
    assert corpus.train_counts.tolist() == [2, 1]
    assert corpus.scarce == []


def test_rows_without_a_known_token_are_kept_and_counted() -> None:
    corpus = tokenize_corpus(small(), progress=False)
    assert corpus.empty_rows == {"train": 1, "validation": 0, "test": 1}


@pytest.mark.parametrize(("min_freq", "max_size"), [(1, None), (3, None), (2, 50)])
def test_a_corpus_equals_a_plain_loop_over_torchtext(
    docstrings: list[str], min_freq: int, max_size: int | None
) -> None:
    splits = np.random.default_rng(0).choice(PARTS, len(docstrings), p=[0.7, 0.1, 0.2])
    table = pd.DataFrame({"text": docstrings, "label": "one", "split": splits})
    corpus = tokenize_corpus(table, min_freq=min_freq, max_size=max_size, progress=False)

    original = get_tokenizer("basic_english")
    train_texts = table["text"][table["split"] == "train"]
    counter = Counter(token for text in train_texts for token in original(text))
    vocabulary = Vocab(counter, min_freq=min_freq, max_size=max_size, specials=["<unk>"])
    assert corpus.vocabulary.tokens == vocabulary.itos
    for part in PARTS:
        texts = table["text"][table["split"] == part]
        expected = [[vocabulary[token] for token in original(text)] for text in texts]
        assert rows_of(getattr(corpus, part)) == [[i for i in row if i] for row in expected]


def test_a_file_gives_the_corpus_of_its_table(docstrings: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "text": docstrings,
            "label": rng.choice(["b", "a", "é", "10", "2"], len(docstrings)),
            "split": rng.choice(PARTS, len(docstrings), p=[0.7, 0.1, 0.2]),
        }
    )
    for name, rows, tokenizer in (
        ("mixed", table, BASIC_ENGLISH),
        ("in order", table.sort_values("split"), BASIC_ENGLISH),
        ("n-grams", table, NGRAMS),
    ):
        options: dict[str, Any] = {"min_freq": 2, "tokenizer": tokenizer, "progress": False}
        expected = tokenize_corpus(rows, **options)
        assert expected.vocabulary.tokenizer is tokenizer
        assert any(token[0] == "·" for token in expected.vocabulary.tokens) == (name == "n-grams")
        expected.save(tmp_path / "expected")
        rows.to_parquet(tmp_path / f"{name}.parquet", row_group_size=100)
        tokenize_file(tmp_path / f"{name}.parquet", **options).save(tmp_path / name)
        for path in (tmp_path / "expected").iterdir():
            assert (tmp_path / name / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame(("a", None, "train")), "row 0 .* has no label"),  # type: ignore[arg-type]
        (frame((None, "b", "train")), "text 0 .*expected a string"),  # type: ignore[arg-type]
        (frame(("a", "b", "train"), ("a", "b", None)), "column split holds 'nan'"),  # type: ignore[arg-type]
        (frame(("a", "b", "test")), "no train row"),
        (frame(("a", "b", "train")).drop(columns="text"), "cannot be read as a parquet.*text"),
        (frame(("a", "b", "train")).drop(columns="split"), "cannot be read as a parquet.*split"),
    ],
)
def test_errors_of_a_file_name_what_is_wrong(
    tmp_path: Path, table: pd.DataFrame, message: str
) -> None:
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        tokenize_file(tmp_path / "a.parquet", progress=False)


def test_a_missing_or_damaged_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.parquet is missing: run the stage that writes it"):
        tokenize_file(tmp_path / "a.parquet", progress=False)
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"a\.parquet cannot be read as a parquet table"):
        tokenize_file(tmp_path / "a.parquet", progress=False)


# The texts are generated, so that they take no memory; there are enough of them to exceed what the
# imports take.
MEMORY = """
import numpy as np
from textmetric.text import tokenize_train

words = [f"w{word}" for word in range(5000)]

def texts(rows):
    rng = np.random.default_rng(0)
    for _ in range(rows):
        yield " ".join(words[word] for word in rng.integers(5000, size=12))

def memory(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

tokenize_train(texts(2000))
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of the imports
before = memory("VmRSS")
_, rows = tokenize_train(texts(200_000))
print(memory("VmHWM") - before, rows.ids.nbytes + rows.offsets.nbytes)
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not reset the peak"
)
def test_tokenising_takes_the_memory_of_its_arrays_and_one_chunk() -> None:
    root = Path(dataset_module.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=root, capture_output=True, text=True, check=True
    )
    grown, arrays = map(int, result.stdout.split())
    # An array that grows keeps a sixteenth in reserve. A chunk of 16,384 characters with its ids
    # takes less than 1 MiB, and so does the table of 5,000 tokens; lists of the tokens would take
    # over 100 MiB.
    assert arrays > 10 * 2**20
    assert grown < arrays * 17 / 16 + 4 * 2**20


def test_a_saved_corpus_reads_back_the_same(tmp_path: Path) -> None:
    corpus = tokenize_corpus(small(), progress=False)
    corpus.save(tmp_path / "target")
    loaded = TokenizedCorpus.load(tmp_path / "target")
    assert loaded.vocabulary == corpus.vocabulary
    assert loaded.label_names == corpus.label_names
    assert loaded.scarce == corpus.scarce
    for part in PARTS:
        assert rows_of(getattr(loaded, part)) == rows_of(getattr(corpus, part))
        assert getattr(loaded, part).labels.tolist() == getattr(corpus, part).labels.tolist()
    assert json.loads((tmp_path / "target/labels.json").read_text(encoding="utf-8")) == {
        "names": ["money", "pets"],
        "train_rows": [2, 1],
        "scarce": [],
        "held_out": [],
        "unseen": [],
        "empty_rows": {"train": 1, "validation": 0, "test": 1},
    }


def test_saving_replaces_the_folder_that_the_corpus_was_read_from(tmp_path: Path) -> None:
    tokenize_corpus(small(), progress=False).save(tmp_path / "target")
    before = {path.name: path.read_bytes() for path in (tmp_path / "target").iterdir()}
    assert set(before) == {"labels.json", "vocabulary.txt"} | {
        f"{part}.{kind}.npy" for part in PARTS for kind in ("ids", "offsets", "labels")
    }
    (tmp_path / "target/stale.npy").touch()
    TokenizedCorpus.load(tmp_path / "target").save(tmp_path / "target")
    assert {path.name: path.read_bytes() for path in (tmp_path / "target").iterdir()} == before


def test_a_corpus_may_have_one_row(tmp_path: Path) -> None:
    tokenize_corpus(frame(("word", "only", "train")), progress=False).save(tmp_path / "one")
    corpus = TokenizedCorpus.load(tmp_path / "one")
    assert rows_of(corpus.train) == [[1]]
    assert len(corpus.validation) == len(corpus.test) == 0


def test_labelled_rows_are_taken_together() -> None:
    taken = tokenize_corpus(small(), progress=False).train.take([1, 0])
    assert rows_of(taken) == [[1, 5, 2, 1, 6], [8, 4, 7, 3]]
    assert taken.labels.tolist() == [0, 1]
    assert len(taken.take([])) == 0


def test_the_row_of_each_text_in_the_frame_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    table = small().sample(frac=1, random_state=0, ignore_index=True)
    table.to_parquet(tmp_path / "corpus.parquet")
    asked = {"keep_rows": True, "progress": False}
    made = tokenize_file(tmp_path / "corpus.parquet", **asked)
    made.save(tmp_path / "rows")
    for corpus in (made, tokenize_corpus(table, **asked), TokenizedCorpus.load(tmp_path / "rows")):
        for part in PARTS:
            rows = getattr(corpus, part)
            assert rows.texts.dtype == np.int32
            assert table["split"][rows.texts].unique().tolist() == [part] * bool(len(rows))
            assert table["label"][rows.texts].tolist() == [
                corpus.label_names[label] for label in rows.labels
            ]
            taken = rows.take(np.arange(len(rows))[::-1])
            assert taken.texts.tolist() == rows.texts[::-1].tolist()
    tokenize_corpus(table, progress=False).save(tmp_path / "plain")
    files = {path.name for path in (tmp_path / "plain").iterdir()}
    assert not any("texts" in name for name in files)
    assert {path.name for path in (tmp_path / "rows").iterdir()} == files | {
        f"{part}.texts.npy" for part in PARTS
    }


def test_by_text_each_row_is_one_token_that_names_its_vector(tmp_path: Path) -> None:
    corpus = tokenize_corpus(small(), keep_rows=True, progress=False)
    by_text = corpus.by_text(len(small()))
    for part in PARTS:
        rows, before = getattr(by_text, part), getattr(corpus, part)
        assert rows_of(rows) == [[text] for text in before.texts]
        assert rows.labels is before.labels
    assert by_text.vocabulary.tokens == ["<unk>"]
    assert by_text.label_names == corpus.label_names
    for wrong, texts in ((corpus, 1), (tokenize_corpus(small(), progress=False), 99)):
        with pytest.raises(UserError, match="do not match the vectors of the texts"):
            wrong.by_text(texts)
    corpus.save(tmp_path / "corpus")
    for texts in (np.zeros(1, np.int32), np.full(len(corpus.train), -1, np.int32)):
        np.save(tmp_path / "corpus" / "train.texts.npy", texts)
        with pytest.raises(UserError, match=r"train\.texts\.npy does not hold a row for each"):
            TokenizedCorpus.load(tmp_path / "corpus")


def test_there_is_one_label_for_each_row() -> None:
    tokens = RaggedTokens(np.zeros(0, np.int32), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="one for each of the 2 rows"):
        LabelledTokens(tokens, np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="int64"):
        LabelledTokens(tokens, np.zeros(2, np.int64))
    for texts in (np.zeros(2, np.int64), np.zeros(1, np.int32)):
        with pytest.raises(ValueError, match=r"texts are .* expected int32, one for each of the 2"):
            LabelledTokens(tokens, np.zeros(2, np.int32), texts)


@pytest.mark.parametrize(
    ("table", "limits", "message"),
    [
        (small()[:0], {}, "no train row"),
        (frame(("a", "b", "test")), {}, "no train row"),
        (frame(("a", "b", "train"), ("a", "b", "valid")), {}, "column split holds 'valid'"),
        (frame(("", "b", "train")), {}, "no token"),
        (frame(("a", None, "train")), {}, "row 0 .* has no label"),  # type: ignore[arg-type]
        (frame((None, "b", "train")), {}, "text 0 .*expected a string"),  # type: ignore[arg-type]
        (small(), {"min_freq": 0}, "min_freq"),
        (small(), {"min_freq": 3}, "min_freq is 3, but no token occurs more than 2 times"),
        (small(), {"max_size": 0}, "max_size"),
    ],
)
def test_errors_of_a_table_name_what_is_wrong(
    table: pd.DataFrame, limits: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        tokenize_corpus(table, progress=False, **limits)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.ids.npy", np.array([0, 1, 2, 3, 4, 5, 6, 7, 8], np.int32), "outside 1 to 8"),
        ("train.ids.npy", np.array([1, 1, 2, 3, 4, 5, 6, 7, 9], np.int32), "outside 1 to 8"),
        ("train.labels.npy", np.array([0, 1, 2], np.int32), "outside 0 to 1"),
        ("train.labels.npy", np.array([0, 1], np.int32), "holds 2 labels, expected .* 3 rows"),
        ("train.labels.npy", np.array([0, 1, 1]), "holds int64"),
        (
            "labels.json",
            {"names": ["money", "pets"], "scarce": [2], "held_out": [], "unseen": []},
            "outside 0 to 1",
        ),
        (
            "labels.json",
            {"names": ["money", "pets"], "scarce": [], "held_out": [], "unseen": [0]},
            "expected the last of the 2",
        ),
        (
            "labels.json",
            {"names": ["money", "pets"], "scarce": [], "held_out": [0], "unseen": []},
            "expected the last of the 2 in this order",
        ),
        (
            "labels.json",
            {
                "names": ["money", "pets"],
                "scarce": [],
                "held_out": [],
                "unseen": [],
                "unlabelled_rows": "two",
            },
            "JSON with the lists",
        ),
        ("labels.json", {"names": ["money", "pets"]}, "lists names, scarce, held_out and unseen"),
        ("labels.json", [], "lists names, scarce, held_out and unseen"),
    ],
)
def test_files_that_do_not_match_are_named(
    tmp_path: Path, file: str, content: object, message: str
) -> None:
    tokenize_corpus(small(), progress=False).save(tmp_path / "target")
    path = tmp_path / "target" / file
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        TokenizedCorpus.load(tmp_path / "target")
    assert str(path) in str(error.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.*is missing"):
        TokenizedCorpus.load(tmp_path / "nowhere")


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    tokenize_corpus(small(), progress=False)
    assert capsys.readouterr().err == ""
    tokenize_corpus(small(), progress=True)
    assert "tokenize train" in capsys.readouterr().err


HEAVY = {"torch", "torchtext", "pandas", "pyarrow", "numba", "sklearn"}


@pytest.mark.parametrize(
    "module", ["textmetric.text", "textmetric.splits", "stages.download", "stages.tokenize"]
)
def test_the_text_rooms_import_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(sorted({HEAVY} & set(sys.modules)))"
    root = Path(dataset_module.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


# --- texts without a label --------------------------------------------------------------------


def mixed() -> pd.DataFrame:
    more = frame(
        ("a dog, a dog", None, "unlabelled"),  # type: ignore[arg-type]
        ("!?", None, "unlabelled"),  # type: ignore[arg-type]
        ("the cat", None, "unlabelled"),  # type: ignore[arg-type]
    )
    # anywhere in the table
    return pd.concat([more[:1], small()[:3], more[1:2], small()[3:], more[2:]], ignore_index=True)


def test_texts_without_a_label_count_for_the_vocabulary_and_for_nothing_else() -> None:
    corpus = tokenize_corpus(mixed(), progress=False)
    before = tokenize_corpus(small(), progress=False)
    assert corpus.vocabulary.tokens == [
        "<unk>", ",", "a", "cat", "dog", "stocks", "the", "!", ".", "?", "fell", "rose", "sat",
    ]  # fmt: skip
    words = [
        [[corpus.vocabulary.tokens[i] for i in row] for row in rows_of(part)]
        for part in (corpus.train, LabelledTokens(corpus.unlabelled, np.zeros(3, np.int32)))
    ]
    assert words == [
        [["the", "cat", "sat", "."], ["stocks", "fell", ",", "stocks", "rose"], []],
        [["a", "dog", ",", "a", "dog"], ["!", "?"], ["the", "cat"]],
    ]
    assert corpus.label_names == before.label_names
    assert corpus.train_counts.tolist() == before.train_counts.tolist()
    for part in PARTS:
        assert getattr(corpus, part).labels.tolist() == getattr(before, part).labels.tolist()
    assert len(corpus.validation) == 1
    assert rows_of(corpus.test)[0] == []  # no token of a test text is learnt from it
    texts = LabelledTokens(corpus.texts, np.zeros(6, np.int32))
    assert rows_of(texts)[:3] == rows_of(corpus.train)
    assert len(rows_of(texts)) == 6
    assert before.texts is before.train.tokens


def test_min_freq_and_max_size_count_texts_without_a_label() -> None:
    corpus = tokenize_corpus(mixed(), min_freq=2, max_size=3, progress=False)
    assert corpus.vocabulary.tokens == ["<unk>", ",", "a", "cat"]


def test_a_file_gives_the_same_texts_without_a_label(tmp_path: Path) -> None:
    mixed().to_parquet(tmp_path / "a.parquet", row_group_size=2)
    tokenize_corpus(mixed(), progress=False).save(tmp_path / "frame")
    tokenize_file(tmp_path / "a.parquet", progress=False).save(tmp_path / "file")
    expected = {path.name: path.read_bytes() for path in (tmp_path / "frame").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "file").iterdir()} == expected
    loaded = TokenizedCorpus.load(tmp_path / "file")
    assert loaded.unlabelled.lengths.tolist() == [5, 2, 2]
    before = tmp_path / "before"
    tokenize_corpus(small(), progress=False).save(before)
    assert set(expected) - {path.name for path in before.iterdir()} == {
        "unlabelled.ids.npy",
        "unlabelled.offsets.npy",
    }
    assert json.loads(expected["labels.json"])["unlabelled_rows"] == 3


def test_damaged_texts_without_a_label_are_named(tmp_path: Path) -> None:
    tokenize_corpus(mixed(), progress=False).save(tmp_path / "a")
    ids = tmp_path / "a/unlabelled.ids.npy"
    found = np.load(ids)
    np.save(ids, found + np.int32(12))
    with pytest.raises(UserError, match=r"unlabelled\.ids\.npy.* outside 1 to 12"):
        TokenizedCorpus.load(tmp_path / "a")
    np.save(ids, found[:5])
    np.save(tmp_path / "a/unlabelled.offsets.npy", np.array([0, 5]))
    with pytest.raises(UserError, match=r"unlabelled\.offsets\.npy.* 1 rows, expected the 3"):
        TokenizedCorpus.load(tmp_path / "a")
    ids.unlink()
    with pytest.raises(UserError, match=r"unlabelled\.ids\.npy.* is missing"):
        TokenizedCorpus.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("x", None, "train"), r"row 0 .* has no label: .*write unlabelled in its column split"),
        (("x", None, "test"), r"row 0 .* has no label"),
        (("x", "pets", "unlabelled"), r"row 0 .* has a label, but unlabelled in its column split"),
    ],
)
def test_a_row_has_a_label_or_is_unlabelled(row: tuple[str, str, str], message: str) -> None:
    table = pd.concat([frame(row), small()], ignore_index=True)
    with pytest.raises(UserError, match=message):
        tokenize_corpus(table, progress=False)


def test_a_corpus_needs_a_train_row_with_a_label() -> None:
    with pytest.raises(UserError, match="no train row"):
        tokenize_corpus(mixed()[mixed()["split"] == "unlabelled"], progress=False)

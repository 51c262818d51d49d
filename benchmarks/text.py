"""From texts to numbers: tokens, vocabulary and ids, and reading tables."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from torchtext.data.utils import get_tokenizer
from torchtext.vocab import Vocab

from benchmarks.corpora import texts
from benchmarks.rounds import Case, Options, Side
from textmetric.corpora import dbpedia14, load, readers
from textmetric.corpora.published import titled
from textmetric.text import RaggedTokens, Vocabulary, tokenize_train

TOKENISED = 40_000
READ = 560_000  # the train rows of DBpedia-14
QUICK = 2_000
TITLE = 3  # words of a text that serve as its title

Tokenised = tuple[Vocabulary, RaggedTokens]
Theirs = tuple[Vocab, list[list[int]]]


def cases(options: Options) -> Iterator[Case]:
    """Tokenising, then reading."""
    yield from tokenising(options)
    with tempfile.TemporaryDirectory() as folder:
        yield from reading(options, Path(folder))


def tokenising(options: Options) -> Iterator[Case]:
    """Against torchtext 0.6.0, whose tokens ours are: the train texts, then new ones."""
    some, _ = texts(options, 2 * (QUICK if options.quick else TOKENISED))
    train, new = some[::2], some[1::2]
    split = get_tokenizer("basic_english")

    def theirs() -> Theirs:
        tokens = [split(text) for text in train]
        counter: Counter[str] = Counter()
        for row in tokens:
            counter.update(row)
        vocabulary = Vocab(counter, specials=["<unk>"])
        return vocabulary, [[vocabulary.stoi[token] for token in row] for row in tokens]

    def same(ours: Tokenised, others: Theirs) -> str:
        vocabulary, rows = ours
        assert vocabulary.tokens == others[0].itos, "the vocabularies differ"
        return _same_rows(rows, others[1]) + f", {len(vocabulary) - 1:,} different"

    yield Case(
        "text",
        f"tokens, vocabulary and ids of {len(train):,} texts",
        lambda: tokenize_train(train),
        "torchtext",
        theirs,
        goal=None if options.quick else 1 / 3,
        check=same,
    )
    vocabulary, _ = tokenize_train(train)
    other = theirs()[0]
    yield Case(
        "text",
        f"ids of {len(new):,} new texts",
        lambda: vocabulary.encode(new),
        "torchtext",
        lambda: [[other.stoi[token] for token in split(text)] for text in new],
        goal=None if options.quick else 1 / 3,
        check=_same_rows,
    )


def _same_rows(ours: RaggedTokens, others: list[list[int]]) -> str:
    known = [[id_ for id_ in row if id_] for row in others]
    assert ours.lengths.tolist() == [len(row) for row in known], "the lengths of the texts differ"
    assert ours.ids.tolist() == list(chain.from_iterable(known)), "the ids differ"
    return f"the same {ours.ids.size:,} ids"


def reading(options: Options, folder: Path) -> Iterator[Case]:
    """Against pandas with its fastest engine, and all of a download against reading alone."""
    rows = QUICK if options.quick else READ
    user, original = folder / "user.csv", folder / "original.csv"
    some, labels = texts(options, rows)
    _write(user, original, some, labels)
    del some
    note = f"{user.stat().st_size / 2**20:.0f} MiB in the page cache; all cores on both sides"
    frames = (
        (
            "a user's table",
            _reads(user),
            "pandas.read_csv(engine='pyarrow')",
            partial(pd.read_csv, user, engine="pyarrow"),
        ),
        (
            "the layout of DBpedia-14",
            lambda: titled(original.read_bytes(), "original.csv", dbpedia14.CLASSES).assign(
                split="train"
            ),
            "pandas.read_csv(engine='pyarrow'), titles joined, classes named",
            partial(_joined, original),
        ),
    )
    for name, ours, peer, theirs in frames:
        yield Case(
            "text",
            f"{name} of {rows:,} rows, read",
            ours,
            peer,
            theirs,
            goal=None if options.quick else 1.5,
            note=note,
            check=_same_texts,
            threads=pa.cpu_count(),
        )

    def downloaded() -> None:
        spec = {"path": str(user), "text": "content", "label": "label"}
        frame = load(spec, progress=False).frame
        frame.to_parquet(folder / "corpus.parquet", index=False, row_group_size=1 << 16)

    yield Case(
        "text",
        f"{rows:,} rows read, cleaned, cut and written, as stages.download does",
        downloaded,
        "reading alone",
        _reads(user),
        note=note,
        threads=pa.cpu_count(),
    )


def _reads(path: Path) -> Side:
    return lambda: readers.read(path, readers.Options(text="content"))[0]


def _write(user: Path, original: Path, some: list[str], labels: np.ndarray) -> None:
    """The same rows as a table with a header, and as Zhang, Zhao and LeCun write theirs."""
    with user.open("w", newline="", encoding="utf-8") as ours, original.open("w") as theirs:
        plain = csv.writer(ours)
        plain.writerow(["label", "title", "content"])
        for text, label in zip(some, labels.tolist(), strict=True):
            words = text.split()
            title, content = " ".join(words[:TITLE]), " ".join(words[TITLE:]) or "none"
            plain.writerow([dbpedia14.CLASSES[label % 14], title, content])
            quoted = (
                f'"{part}"' for part in (title.replace('"', '""'), content.replace('"', '""'))
            )
            theirs.write(",".join([str(label % 14 + 1), *quoted]) + "\n")


def _joined(original: Path) -> pd.DataFrame:
    """What a user of pandas does with that layout."""
    names = ["label", "title", "content"]
    frame = pd.read_csv(original, engine="pyarrow", header=None, names=names)
    frame["content"] = frame["title"] + " " + frame["content"]
    frame["label"] = frame["label"].map(dict(enumerate(dbpedia14.CLASSES, start=1)))
    return frame


def _same_texts(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    assert list(ours) == ["text", "label", "split"], "the frame has other columns"
    for name, other in (("text", "content"), ("label", "label")):
        same = ours[name].to_numpy(object) == theirs[other].astype(str).to_numpy(object)
        assert same.all(), f"the {name}s differ"
    return "the same texts and labels"

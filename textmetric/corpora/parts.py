"""Train, validation and test: cleaning, seeded stratified cuts, two roles, and the limit.

One rule for every corpus: the test part that a corpus brings is never changed. Of all other rows,
those whose text is also in the test part are left out (leaked), then those whose text has two
labels (conflicting), then repeats (duplicates). Two texts are the same when their tokens are equal.

One rule for two corpora, target and source: a text that both have is in the train part of both or
in the test part of both. So nothing that one role is validated or tested on is in what the other
trains or validates on. Parts are cut by a hash of the text, which puts most shared texts into the
same part of both; :func:`uncrossed` drops the others.

A row without a label is in no part. It is left out if its text is in the validation or test part
of this role or the other (``unlabelled_leaked_rows``), or in this role's train part or another row
without a label (``unlabelled_duplicate_rows``); see :func:`with_unlabelled`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.sampling.draws import apportion, first_of_each
from textmetric.text.tokenizer import BASIC_ENGLISH, END, chunks
from textmetric.types import PARTS, Bools, Int8, Int32, Int64, Integers

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN, VALIDATION, TEST = range(len(PARTS))
NO_PART = len(PARTS)
"""The number of a text without a label, after those of ``PARTS``."""

Hashes = npt.NDArray[np.uint64]

_PARTITION = 1 << 20  # texts that are compared at a time, about
# white space for str.split and not for bytes.split, and that of both
_SPACES = bytes.maketrans(b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f", b" " * 9)


class Keys:
    """What memory keeps of the rows of a corpus: a hash, a class and a part each.

    Args:
        seed: of the hash.

    Attributes:
        names: the class names, sorted, after :meth:`done`.
        hashes: (n, 2) see :func:`text_hashes`.
        labels: (n,) class numbers; -1 where a row has no label.
        part: (n,) numbers of ``PARTS``.
    """

    names: list[str]
    hashes: Hashes
    labels: Int32
    part: Int8

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self._blocks: list[tuple[Hashes, Int32, Int8]] = []

    def add(self, texts: pa.ChunkedArray, labels: pa.ChunkedArray, part: Int8) -> None:
        """Add rows of texts; a label is null where there is none."""
        encoded = labels.combine_chunks().dictionary_encode()
        known = [
            self._numbers.setdefault(name, len(self._numbers))
            for name in encoded.dictionary.to_pylist()
        ]
        codes = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        hashes = text_hashes(texts.to_numpy(), self._seed)
        self._blocks.append((hashes, np.array([*known, -1], np.int32)[codes], part))

    def done(self) -> Keys:
        """All rows have been added."""
        order = sorted(self._numbers)
        hashes, labels, parts = zip(*self._blocks, strict=True)
        self._blocks = []
        renumbered = np.full(len(order) + 1, -1, np.int32)  # the last one of rows without a label
        for number, name in enumerate(order):
            renumbered[self._numbers[name]] = number
        self.names = order
        self.hashes = np.concatenate(hashes)
        self.labels = renumbered[np.concatenate(labels)]
        self.part = np.concatenate(parts)
        return self


@dataclass(frozen=True)
class Parted:
    """The rows of a corpus that are kept, each in its part; a text is in one part only.

    Attributes:
        name: of the corpus, for messages.
        names: (C,) the class names.
        min_rows: classes with fewer train rows were left out; None if that was an error.
        brings_test: the test part is the corpus's own.
        rows: (n,) which rows of the corpus are kept, rising.
        texts: (n,) the first hash of each text, equal for the same text.
        labels: (n,) class numbers.
        part: (n,) numbers of ``PARTS``.
        counts: the rows that were left out by reason.
        unlabelled: (u,) which rows of the corpus are text without a label, rising; None if it has
            no such row.
        unlabelled_texts: (u,) the first hash of each of these texts.
    """

    name: str
    names: Sequence[str]
    min_rows: int | None
    brings_test: bool
    rows: Int64
    texts: Hashes
    labels: Int32
    part: Int8
    counts: dict[str, int]
    unlabelled: Int64 | None = None
    unlabelled_texts: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    def take(self, chosen: Bools | Int64) -> Parted:
        """The corpus with some of its rows, as a mask or as rising places."""
        return replace(
            self,
            rows=self.rows[chosen],
            texts=self.texts[chosen],
            labels=self.labels[chosen],
            part=self.part[chosen],
        )

    def train_counts(self) -> Int64:
        """(C,) train rows of each class."""
        return np.bincount(self.labels[self.part == TRAIN], minlength=len(self.names))


def clean_and_cut(
    keys: Keys,
    *,
    name: str,
    test: float,
    validation: float,
    min_rows: int | None,
    reverse: bool = False,
) -> Parted:
    """Clean the rows of a corpus and cut the parts that are missing.

    Args:
        keys: all rows. A corpus without a test (validation) part has no such row. A row without a
            label is in no part. The seed of their hash decides the cuts.
        name: of the corpus, for messages.
        test: fraction of a class's rows to cut for test, in (0, 1).
        validation: fraction of a class's train rows to cut for validation, in [0, 1).
        min_rows: drop classes with fewer train rows than this, counted before the cuts.
        reverse: take the validation part from the other end of the hash. Two roles that take it
            from different ends hardly ever validate on the same text.

    Raises:
        UserError: a fraction out of range, one class only, or a class with fewer than two train
            rows.
    """
    if not 0 < test < 1:
        raise UserError(f"the test fraction must lie between 0 and 1, not {test}")
    if not 0 <= validation < 1:
        raise UserError(f"data.validation must be at least 0 and below 1, not {validation}")
    rows, unlabelled = np.flatnonzero(keys.labels >= 0), np.flatnonzero(keys.labels < 0)
    texts, labels, part = keys.hashes[rows, 0], keys.labels[rows], keys.part[rows]
    keep, counts = clean(texts, labels, part)
    counts |= {"small_classes": 0, "small_class_rows": 0, "crossing_rows": 0}
    everything = Parted(
        name=name,
        names=keys.names,
        min_rows=min_rows,
        brings_test=bool((part == TEST).any()),
        rows=rows,
        texts=texts,
        labels=labels,
        part=part,
        counts=counts,
        unlabelled=unlabelled if unlabelled.size else None,
        unlabelled_texts=keys.hashes[unlabelled, 0],
    )
    corpus = _large_enough(
        everything.take(keep),
        np.ones(len(keys.names), dtype=bool),
        min_rows,
        "repeated and leaked texts are left out",
    )
    labels, part = corpus.labels, corpus.part.copy()
    if not corpus.brings_test:
        drawn = cut(labels, np.flatnonzero(part == TRAIN), test, 1, corpus.texts)
        part[drawn] = TEST
    if not (part == VALIDATION).any() and validation > 0:
        order = keys.hashes[corpus.rows, 1]
        order = ~order if reverse else order
        drawn = cut(labels, np.flatnonzero(part == TRAIN), validation, 0, order)
        part[drawn] = VALIDATION
    return replace(corpus, part=part)


def uncrossed(target: Parted, source: Parted) -> tuple[Parted, Parted]:
    """Leave out the rows whose text is in another part of the other role.

    A text of both roles may stay in train and train, or in test and test. Otherwise the row in the
    earlier part (train, validation, test) goes; of two validation rows, either with a chance of
    one half, so that corpora that bring the same validation part keep half of it each. A class
    keeps two train rows if it can: then the other role's row goes instead, unless it is in a test
    part that its corpus brings.

    Raises:
        UserError: a class has fewer than two train rows then, and its corpus has no ``min_rows``.
    """
    roles = (target, source)
    # the part of each row's text in the other role, -1 where that does not have it
    there = [np.full(len(role.part), -1, np.int8) for role in roles]
    drop = [np.zeros(len(role.part), dtype=bool) for role in roles]
    for some in zip(*_partitions(target.texts, source.texts), strict=True):
        texts_of = [role.texts[rows] for role, rows in zip(roles, some, strict=True)]
        numbers = numbered(np.concatenate(texts_of))
        codes = np.split(numbers, [len(some[0])])
        # (2, texts)
        parts = np.full((2, int(numbers.max(initial=-1)) + 1), -1, np.int8)
        even = np.empty(parts.shape[1], dtype=bool)
        for role, rows, texts, part in zip(roles, some, codes, parts, strict=True):
            part[texts] = role.part[rows]
            even[texts] = role.texts[rows] % 2 == 0
        of_target, of_source = parts
        crossing = (parts >= 0).all(axis=0) & ((of_target != of_source) | (of_target == VALIDATION))
        target_keeps = np.where(of_target == of_source, even, of_target > of_source)
        for place, (rows, texts) in enumerate(zip(some, codes, strict=True)):
            there[place][rows] = parts[1 - place, texts]
            drop[place][rows] = (crossing & (target_keeps == bool(place)))[texts]

    for place, role in enumerate(roles):
        other = roles[1 - place]
        stay = _needed_in_train(role, drop[place], there[place], other.brings_test)
        for each, dropped in zip(roles, drop, strict=True):
            changed = np.isin(each.texts, role.texts[stay])
            dropped[changed] = ~dropped[changed]

    def remaining(place: int) -> Parted:
        role = roles[place]
        gone = drop[place]
        counts = role.counts | {"crossing_rows": int(gone.sum())}
        return _large_enough(
            replace(role.take(~gone), counts=counts),
            role.train_counts() > 0,
            None if role.min_rows is None else 2,
            "texts that are validated or tested on in the other role are left out",
        )

    return remaining(0), remaining(1)


def _needed_in_train(role: Parted, drop: Bools, there: Int8, test_is_fixed: bool) -> Int64:
    """Choose the train rows that stay, so that each class has two if it can.

    Args:
        role: the rows.
        drop: (n,) the rows to leave out.
        there: (n,) the part of each row's text in the other role.
        test_is_fixed: the other role's test part may not be changed.

    Returns:
        The rows of ``drop`` that stay after all, rising; the other role leaves them out.
    """
    train = role.part == TRAIN
    left = np.bincount(role.labels[train & ~drop], minlength=len(role.names))
    rows = np.flatnonzero(train & drop & ((there == VALIDATION) | (not test_is_fixed)))
    return first_of_each(rows, role.labels, np.maximum(2 - left, 0))


def with_unlabelled(corpus: Parted, others: Sequence[Parted] = ()) -> Parted:
    """Leave out and count the texts without a label that another row has.

    Args:
        corpus: the rows and their final parts.
        others: the other role, with its final parts.
    """
    if corpus.unlabelled is None:
        return corpus
    texts = corpus.unlabelled_texts
    measured = [role.texts[role.part != TRAIN] for role in (corpus, *others)]
    leaked = np.isin(texts, np.concatenate(measured))
    repeated = np.ones(len(texts), dtype=bool)
    repeated[np.unique(texts, return_index=True)[1]] = False  # the first row of each text
    repeated |= np.isin(texts, corpus.texts[corpus.part == TRAIN])
    keep = ~(leaked | repeated)
    counts = {
        "unlabelled_leaked_rows": int(leaked.sum()),
        "unlabelled_duplicate_rows": int((repeated & ~leaked).sum()),
    }
    return replace(
        corpus,
        unlabelled=corpus.unlabelled[keep],
        unlabelled_texts=texts[keep],
        counts=corpus.counts | counts,
    )


def finished(
    corpus: Parted, limit: int | None, seed: int
) -> tuple[Parted, dict[str, int | str | None]]:
    """Apply the limit.

    Args:
        corpus: the rows and their parts.
        limit: at most this many train rows; None for all.
        seed: of the draw.

    Returns:
        The corpus, and the counts.

    Raises:
        UserError: the limit is too low.
    """
    if limit is not None:
        train = int((corpus.part == TRAIN).sum())
        if limit < train and corpus.unlabelled is not None:
            share = _rounded(limit / train * len(corpus.unlabelled))
            chosen = _shuffled(corpus.unlabelled, [seed, 3 + len(PARTS)])[:share]
            corpus = replace(corpus, unlabelled=np.sort(chosen))
        corpus = corpus.take(limited(corpus.labels, corpus.part, limit, seed, corpus.name))
    sizes = {
        f"{name}_rows": int((corpus.part == number).sum()) for number, name in enumerate(PARTS)
    }
    if corpus.unlabelled is not None:
        sizes["unlabelled_rows"] = len(corpus.unlabelled)
    classes = int((corpus.train_counts() > 0).sum())
    return corpus, {**corpus.counts, **sizes, "classes": classes, "limit": limit}


def in_order(corpus: Parted) -> Iterator[tuple[Int64, Int32, int]]:
    """The rows of a corpus in the order of its file, part by part.

    Yields:
        For train, validation, test, and the texts without a label: which rows of the corpus,
        rising; their class numbers, -1 for no label; the number of the part.
    """
    for number in range(len(PARTS)):
        chosen = corpus.part == number
        yield corpus.rows[chosen], corpus.labels[chosen], number
    if corpus.unlabelled is not None:
        yield corpus.unlabelled, np.full(len(corpus.unlabelled), -1, np.int32), NO_PART


def text_hashes(texts: Iterable[str], seed: int) -> Hashes:
    """Hash the tokens of n texts (BLAKE2b), the same on every machine.

    Args:
        texts: n strings.
        seed: another seed gives unrelated hashes.

    Returns:
        (n, 2) two independent numbers of 64 bits. Each is equal for texts whose tokens are equal.
        Among a million other texts one number repeats with a chance of one in 30 million.
    """
    salt = f"{seed} ".encode()
    digests = b"".join(
        hashlib.blake2b(salt + tokens, digest_size=16).digest()
        for tokens in chain.from_iterable(map(_spaced, chunks(texts)))
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def _spaced(texts: Sequence[str]) -> list[bytes]:
    """The tokens of each text in UTF-8, with one space between."""
    values = np.frombuffer(BASIC_ENGLISH.separated(texts).translate(_SPACES), np.uint8)
    keep = values != ord(" ")
    keep[1:] |= keep[:-1] & (values[:-1] != ord(END))  # a space after a token
    spaced: bytes = values[keep].tobytes()
    return spaced.replace(b" " + END, END).split(END)[:-1]


def numbered(texts: Hashes) -> Int64:
    """Number the texts (n,) from 0 in the order in which they first occur."""
    import pandas as pd

    return pd.factorize(texts)[0].astype(np.int64)


def _partitions(*texts: Hashes) -> list[Iterator[Int64]]:
    """Split the rows so that equal texts are together: by the first bits of their hashes.

    Args:
        texts: hashes of one or more corpora.

    Returns:
        For each of them, the rows of each partition, rising.
    """
    bits = (max(map(len, texts)) // _PARTITION).bit_length()

    def rows_of(hashes: Hashes) -> Iterator[Int64]:
        if not bits:
            yield np.arange(len(hashes))
            return
        place = (hashes >> np.uint64(64 - bits)).astype(np.uint16)
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place, minlength=1 << bits))
        yield from np.split(order, ends[:-1])

    return [rows_of(hashes) for hashes in texts]


def clean(texts: Hashes, labels: Integers, part: Integers) -> tuple[Bools, dict[str, int]]:
    """Find the rows to keep by the rule of this module.

    Args:
        texts: (n,) equal hashes for the same text.
        labels: (n,) class numbers.
        part: (n,) the number of each row's part in ``PARTS``.

    Returns:
        A mask (n,) of the rows to keep, and the counts of the others by reason.
    """
    keep = np.empty(len(texts), dtype=bool)
    counts = dict.fromkeys(("leaked_rows", "conflicting_rows", "duplicate_rows"), 0)
    (partitions,) = _partitions(texts)
    for rows in partitions:
        keep[rows], more = _cleaned(numbered(texts[rows]), labels[rows], part[rows])
        counts = {reason: count + more[reason] for reason, count in counts.items()}
    return keep, counts


def _cleaned(texts: Int64, labels: Integers, part: Integers) -> tuple[Bools, dict[str, int]]:
    """See :func:`clean`; the texts are numbered."""
    count = int(texts.max(initial=-1)) + 1
    pool = part != TEST

    in_test = np.zeros(count, dtype=bool)
    in_test[texts[~pool]] = True
    leaked = pool & in_test[texts]

    rest = pool & ~leaked
    lowest = np.full(count, np.iinfo(np.int64).max)
    highest = np.full(count, -1)
    numbers = labels.astype(np.int64)  # of one type `at` is fast
    np.minimum.at(lowest, texts[rest], numbers[rest])
    np.maximum.at(highest, texts[rest], numbers[rest])
    conflicting = rest & (lowest != highest)[texts]

    # A text in both validation and train leaks as a test text does: the train row is left out.
    rest &= ~conflicting
    in_validation = np.zeros(count, dtype=bool)
    in_validation[texts[rest & (part == VALIDATION)]] = True
    in_both = rest & (part == TRAIN) & in_validation[texts]
    leaked |= in_both
    rest &= ~in_both

    # Now no text is in two parts, so the first row of each text is the one to keep.
    first = np.full(count, len(texts))
    np.minimum.at(first, texts[rest], np.flatnonzero(rest))
    duplicate = rest & (first[texts] != np.arange(len(texts)))
    return ~(leaked | conflicting | duplicate), {
        "leaked_rows": int(leaked.sum()),
        "conflicting_rows": int(conflicting.sum()),
        "duplicate_rows": int(duplicate.sum()),
    }


def _large_enough(corpus: Parted, known: Bools, least: int | None, after: str) -> Parted:
    """Leave out and count classes with fewer than ``least`` train rows; refuse what is too few.

    Args:
        corpus: the rows.
        known: (C,) the classes to look at.
        least: train rows of a class; None to leave no class out.
        after: what happened, for messages.

    Raises:
        UserError: fewer than two classes, or a class with fewer than two train rows.
    """
    train = corpus.train_counts()
    small = known & (train < (least or 0))
    keep = ~small[corpus.labels]
    known = known & ~small
    filled = np.flatnonzero(known & (train > 0))
    if len(filled) < 2:
        only = f"only the class {corpus.names[int(filled[0])]!r}" if len(filled) else "no class"
        enough = "" if least is None else f" with {least} train rows or more (min_rows)"
        raise UserError(
            f"corpus {corpus.name} has {only}{enough} once {after}: give a table with at least two"
            " classes"
        )
    for count, found in ((0, "no train row"), (1, "only one train row")):
        scarce = np.flatnonzero(known & (train == count))
        if scarce.size:
            others = f" (and {scarce.size - 1} other classes)" if scarce.size > 1 else ""
            raise UserError(
                f"class {corpus.names[int(scarce[0])]!r}{others} of corpus {corpus.name} has"
                f" {found} once {after}, where at least 2 are needed: add rows, or give the corpus"
                " as a mapping with min_rows: 2 to leave such classes out"
            )
    counts = corpus.counts | {
        "small_classes": corpus.counts["small_classes"] + int(small.sum()),
        "small_class_rows": corpus.counts["small_class_rows"] + int((~keep).sum()),
    }
    return replace(corpus.take(keep), counts=counts)


def cut(labels: Integers, rows: Int64, fraction: float, least: int, order: Hashes) -> Int64:
    """Take about ``fraction`` of ``rows`` for another part, stratified.

    Two rows of each class always stay: none of a class of two is taken, and at most one of a
    class of three.

    Args:
        labels: (n,) class numbers of all rows.
        rows: the row numbers to take from.
        fraction: of the rows to take.
        least: rows to take of each class that keeps two rows then.
        order: (n,) the rows of a class with the lowest numbers are taken.

    Returns:
        The row numbers that are taken, rising.
    """
    counts = np.bincount(labels[rows])
    spare = np.maximum(counts - 2, 0)
    share = apportion(counts, _rounded(fraction * len(rows)), np.minimum(spare, least), spare)
    return first_of_each(rows[np.argsort(order[rows], kind="stable")], labels, share)


def limited(labels: Integers, part: Integers, limit: int, seed: int, name: str) -> Int64:
    """Draw at most ``limit`` train rows, and validation and test rows in proportion, stratified.

    Each class keeps two train rows and, where it has one, a test row.

    Raises:
        UserError: the limit is too low for two train rows of each class.
    """
    train = np.flatnonzero(part == TRAIN)
    if limit >= len(train):
        return np.arange(len(part))
    needed = int(np.minimum(np.bincount(labels[train]), 2).sum())
    if limit < needed:
        raise UserError(
            f"data.limit is {limit}, but corpus {name} needs at least {needed} train rows for two"
            " in each class: raise the limit"
        )
    chosen = []
    for number, least in ((TRAIN, 2), (VALIDATION, 0), (TEST, 1)):
        rows = np.flatnonzero(part == number)
        counts = np.bincount(labels[rows])
        total = max(_rounded(limit / len(train) * len(rows)), min(len(rows), 1))
        share = apportion(counts, total, np.minimum(counts, least), counts)
        chosen.append(first_of_each(_shuffled(rows, [seed, 3 + number]), labels, share))
    return np.sort(np.concatenate(chosen))


def _rounded(rows: float) -> int:
    return int(np.floor(rows + 0.5))  # half up; Python rounds half to even


def _shuffled(rows: Int64, seed: Sequence[int]) -> Int64:
    return rows[np.argsort(np.random.default_rng(seed).random(len(rows)), kind="stable")]

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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.sampling.draws import apportion, first_of_each
from textmetric.text.tokenizer import BASIC_ENGLISH, chunks
from textmetric.types import PARTS, UNLABELLED, Bools, Int64

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATION, TEST = range(len(PARTS))

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Parted:
    """The rows of a corpus that are kept, each in its part; a text is in one part only.

    Attributes:
        name: of the corpus, for messages.
        frame: every row of the corpus: ``text``, ``label``.
        names: (C,) the class names.
        min_rows: classes with fewer train rows were left out; None if that was an error.
        brings_test: the test part is the corpus's own.
        rows: (n,) which rows of the frame are kept, rising.
        texts: (n,) the first hash of each text, equal for the same text.
        labels: (n,) class numbers.
        part: (n,) numbers of ``PARTS``.
        counts: the rows that were left out by reason.
        unlabelled: (u,) which rows of the frame are text without a label, rising; None if the
            frame has no such row.
        unlabelled_texts: (u,) the first hash of each of these texts.
    """

    name: str
    frame: pd.DataFrame
    names: Sequence[str]
    min_rows: int | None
    brings_test: bool
    rows: Int64
    texts: Hashes
    labels: Int64
    part: Int64
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
    frame: pd.DataFrame,
    *,
    name: str,
    test: float,
    validation: float,
    min_rows: int | None,
    seed: int,
    reverse: bool = False,
) -> Parted:
    """Clean the rows of a corpus and cut the parts that are missing.

    Args:
        frame: columns ``text``, ``label``, and ``split``, which holds the part. A corpus without
            a test (validation) part has no such row. A row whose label is missing is text without
            a label, in no part.
        name: of the corpus, for messages.
        test: fraction of a class's rows to cut for test, in (0, 1).
        validation: fraction of a class's train rows to cut for validation, in [0, 1).
        min_rows: drop classes with fewer train rows than this, counted before the cuts.
        seed: of the hash that decides the cuts.
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
    import pandas as pd

    hashes = text_hashes(frame["text"], seed)
    codes, index = pd.factorize(frame["label"], sort=True)
    names = [str(name) for name in index]
    rows, unlabelled = np.flatnonzero(codes >= 0), np.flatnonzero(codes < 0)
    labels = codes[rows].astype(np.int64)
    given = frame["split"].to_numpy(dtype=object)[rows]
    part = np.select([given == name for name in PARTS], range(len(PARTS))).astype(np.int64)

    keep, counts = clean(numbered(hashes[rows, 0]), labels, part)
    counts |= {"small_classes": 0, "small_class_rows": 0, "crossing_rows": 0}
    everything = Parted(
        name=name,
        frame=frame,
        names=names,
        min_rows=min_rows,
        brings_test=bool((part == TEST).any()),
        rows=rows,
        texts=hashes[rows, 0],
        labels=labels,
        part=part,
        counts=counts,
        unlabelled=unlabelled if unlabelled.size else None,
        unlabelled_texts=hashes[unlabelled, 0],
    )
    corpus = _large_enough(
        everything.take(keep),
        np.ones(len(names), dtype=bool),
        min_rows,
        "repeated and leaked texts are left out",
    )
    labels, part = corpus.labels, corpus.part.copy()
    if not corpus.brings_test:
        drawn = cut(labels, np.flatnonzero(part == TRAIN), test, 1, corpus.texts)
        part[drawn] = TEST
    if not (part == VALIDATION).any() and validation > 0:
        order = hashes[corpus.rows, 1]
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
    hashes = np.concatenate([target.texts, source.texts])
    numbers = numbered(hashes)
    codes = np.split(numbers, [len(target.texts)])
    count = int(numbers.max(initial=-1)) + 1
    # (2, texts): the part of each text in each role, -1 where the role does not have it
    parts = np.full((2, count), -1)
    for place, role in enumerate(roles):
        parts[place, codes[place]] = role.part
    of_target, of_source = parts
    crossing = (parts >= 0).all(axis=0) & ((of_target != of_source) | (of_target == VALIDATION))
    even = np.empty(count, dtype=bool)
    even[numbers] = hashes % 2 == 0
    target_keeps = np.where(of_target == of_source, even, of_target > of_source)
    drop = np.stack([crossing & ~target_keeps, crossing & target_keeps])

    for place, role in enumerate(roles):
        there, other = parts[1 - place, codes[place]], roles[1 - place]
        stay = _needed_in_train(role, drop[place, codes[place]], there, other.brings_test)
        drop[:, codes[place][stay]] = ~drop[:, codes[place][stay]]

    def remaining(place: int) -> Parted:
        role = roles[place]
        gone = drop[place, codes[place]]
        counts = role.counts | {"crossing_rows": int(gone.sum())}
        return _large_enough(
            replace(role.take(~gone), counts=counts),
            role.train_counts() > 0,
            None if role.min_rows is None else 2,
            "texts that are validated or tested on in the other role are left out",
        )

    return remaining(0), remaining(1)


def _needed_in_train(role: Parted, drop: Bools, there: Int64, test_is_fixed: bool) -> Int64:
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
) -> tuple[pd.DataFrame, dict[str, int | str | None]]:
    """Apply the limit.

    Args:
        corpus: the rows and their parts.
        limit: at most this many train rows; None for all.
        seed: of the draw.

    Returns:
        The columns ``text``, ``label``, ``row`` if the frame has it, and ``split`` (train,
        validation, test, then texts without a label, each in the given order), and the counts.

    Raises:
        UserError: the limit is too low.
    """
    unlabelled = np.empty(0, np.int64) if corpus.unlabelled is None else corpus.unlabelled
    if limit is not None:
        train = int((corpus.part == TRAIN).sum())
        if limit < train:
            share = _rounded(limit / train * len(unlabelled))
            unlabelled = np.sort(_shuffled(unlabelled, [seed, 3 + len(PARTS)])[:share])
        corpus = corpus.take(limited(corpus.labels, corpus.part, limit, seed, corpus.name))
    order = np.argsort(corpus.part, kind="stable")
    rows = np.concatenate([corpus.rows[order], unlabelled])
    kept = [name for name in ("text", "label", "row") if name in corpus.frame]
    result = corpus.frame[kept].iloc[rows].reset_index(drop=True)
    parts = np.array([*PARTS, UNLABELLED], dtype=object)
    result["split"] = parts[np.concatenate([corpus.part[order], np.full_like(unlabelled, 3)])]
    sizes = {
        f"{name}_rows": int((corpus.part == number).sum()) for number, name in enumerate(PARTS)
    }
    if corpus.unlabelled is not None:
        sizes["unlabelled_rows"] = len(unlabelled)
    classes = int((corpus.train_counts() > 0).sum())
    return result, {**corpus.counts, **sizes, "classes": classes, "limit": limit}


def text_hashes(texts: Iterable[str], seed: int) -> Hashes:
    """Hash the tokens of n texts (BLAKE2b), the same on every machine.

    Args:
        texts: n strings.
        seed: another seed gives unrelated hashes.

    Returns:
        (n, 2) two independent numbers of 64 bits. Each is equal for texts whose tokens are equal.
        Among a million other texts one number repeats with a chance of one in 30 million.
    """
    salt = f"{seed} "
    digests = b"".join(
        hashlib.blake2b(
            (salt + " ".join(tokens)).encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()
        for chunk in chunks(texts)
        for tokens in BASIC_ENGLISH.split(chunk)
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def numbered(texts: Hashes) -> Int64:
    """Number the texts (n,) from 0 in the order in which they first occur."""
    import pandas as pd

    return pd.factorize(texts)[0].astype(np.int64)


def clean(texts: Int64, labels: Int64, part: Int64) -> tuple[Bools, dict[str, int]]:
    """Find the rows to keep by the rule of this module.

    Args:
        texts: (n,) equal numbers for the same text.
        labels: (n,) class numbers.
        part: (n,) the number of each row's part in ``PARTS``.

    Returns:
        A mask (n,) of the rows to keep, and the counts of the others by reason.
    """
    count = int(texts.max(initial=-1)) + 1
    pool = part != TEST

    in_test = np.zeros(count, dtype=bool)
    in_test[texts[~pool]] = True
    leaked = pool & in_test[texts]

    rest = pool & ~leaked
    lowest = np.full(count, np.iinfo(np.int64).max)
    highest = np.full(count, -1)
    np.minimum.at(lowest, texts[rest], labels[rest])
    np.maximum.at(highest, texts[rest], labels[rest])
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


def cut(labels: Int64, rows: Int64, fraction: float, least: int, order: Hashes) -> Int64:
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


def limited(labels: Int64, part: Int64, limit: int, seed: int, name: str) -> Int64:
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

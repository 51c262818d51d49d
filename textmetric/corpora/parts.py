"""Train, validation and test: cleaning, seeded stratified cuts, and the limit.

One rule for every corpus: the test part that a corpus brings is never changed. Of all other rows,
those whose text is also in the test part are left out (leaked), then those whose text has two
labels (conflicting), then repeats (duplicates). Two texts are the same when they are equal except
for case and white space, since the tokenizer sees neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from textmetric.errors import UserError
from textmetric.sampling.draws import apportion, first_of_each
from textmetric.types import PARTS, Bools, Int64

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATION, TEST = range(len(PARTS))


def clean_and_cut(
    frame: pd.DataFrame,
    *,
    name: str,
    test: float,
    validation: float,
    limit: int | None,
    min_rows: int | None,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, int | str | None]]:
    """Clean the rows of a corpus, cut the parts that are missing, apply the limit.

    Args:
        frame: columns ``text``, ``label``, and ``split``, which holds the part. A corpus without
            a test (validation) part has no such row.
        name: of the corpus, for messages.
        test: fraction of a class's rows to cut for test, in (0, 1).
        validation: fraction of a class's train rows to cut for validation, in [0, 1).
        limit: at most this many train rows; None for all.
        min_rows: drop classes with fewer train rows than this, counted before the cuts.
        seed: of every draw.

    Returns:
        The frame (train, validation, test, each in the given order) and the counts.

    Raises:
        UserError: a fraction or the limit out of range, one class only, a class with one row, or
            a class that only test or validation has.
    """
    if not 0 < test < 1:
        raise UserError(f"the test fraction must lie between 0 and 1, not {test}")
    if not 0 <= validation < 1:
        raise UserError(f"data.validation must be at least 0 and below 1, not {validation}")
    import pandas as pd

    texts = same_text(frame["text"])
    codes, index = pd.factorize(frame["label"], sort=True)
    labels, names = codes.astype(np.int64), [str(name) for name in index]
    given = frame["split"].to_numpy(dtype=object)
    part = np.select([given == name for name in PARTS], range(len(PARTS))).astype(np.int64)

    keep, summary = clean(texts, labels, part)
    keep = _large_enough(keep, labels, part, names, min_rows, name, summary)

    rows = np.flatnonzero(keep)
    labels, part = labels[rows], part[rows]
    if not (part == TEST).any():
        drawn = cut(labels, np.flatnonzero(part == TRAIN), test, 1, [seed, 1])
        part[drawn] = TEST
    if not (part == VALIDATION).any() and validation > 0:
        drawn = cut(labels, np.flatnonzero(part == TRAIN), validation, 0, [seed, 2])
        part[drawn] = VALIDATION
    if limit is not None:
        chosen = limited(labels, part, limit, seed, name)
        rows, labels, part = rows[chosen], labels[chosen], part[chosen]

    order = np.argsort(part, kind="stable")
    result = frame[["text", "label"]].iloc[rows[order]].reset_index(drop=True)
    result["split"] = np.array(PARTS, dtype=object)[part[order]]
    for number, kind in enumerate(PARTS):
        summary[f"{kind}_rows"] = int((part == number).sum())
    summary["classes"] = int(np.unique(labels[part == TRAIN]).size)
    summary["limit"] = limit
    return result, summary


def same_text(texts: pd.Series[str]) -> Int64:
    """Number the texts (n,), equal where they are equal except for case and white space."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(" ".join(text.lower().split()), len(numbers)) for text in texts],
        dtype=np.int64,
    )


def clean(texts: Int64, labels: Int64, part: Int64) -> tuple[Bools, dict[str, int | str | None]]:
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


def _large_enough(
    keep: Bools,
    labels: Int64,
    part: Int64,
    names: Sequence[str],
    min_rows: int | None,
    name: str,
    summary: dict[str, int | str | None],
) -> Bools:
    """Drop classes below ``min_rows``, add their counts to ``summary``, refuse too few rows."""
    train = np.bincount(labels[keep & (part == TRAIN)], minlength=len(names))
    summary["small_classes"] = summary["small_class_rows"] = 0
    if min_rows is not None:
        small = train < min_rows
        summary["small_classes"] = int(small.sum())
        summary["small_class_rows"] = int((keep & small[labels]).sum())
        keep = keep & ~small[labels]
        train = np.where(small, 0, train)
    present = np.bincount(labels[keep], minlength=len(names)) > 0
    if present.sum() < 2:
        only = f"only the class {names[int(present.argmax())]!r}" if present.any() else "no class"
        after = "" if min_rows is None else f" with {min_rows} train rows or more (min_rows)"
        raise UserError(
            f"corpus {name} has {only}{after} once repeated and leaked texts are left out:"
            " give a table with at least two classes"
        )
    for count, found in ((0, "no train row"), (1, "only one train row")):
        scarce = np.flatnonzero(present & (train == count))
        if scarce.size:
            others = f" (and {scarce.size - 1} other classes)" if scarce.size > 1 else ""
            raise UserError(
                f"class {names[int(scarce[0])]!r}{others} of corpus {name} has {found}, where at"
                " least 2 are needed: add rows, or give the corpus as a mapping with min_rows: 2"
                " to leave such classes out"
            )
    return keep


def cut(labels: Int64, rows: Int64, fraction: float, least: int, seed: Sequence[int]) -> Int64:
    """Draw about ``fraction`` of ``rows`` for another part, stratified.

    Two rows of each class always stay: none of a class of two is drawn, and at most one of a
    class of three.

    Args:
        labels: (n,) class numbers of all rows.
        rows: the row numbers to draw from.
        fraction: of the rows to draw.
        least: rows to draw of each class that keeps two rows then.
        seed: of the draw.

    Returns:
        The drawn row numbers, rising.
    """
    counts = np.bincount(labels[rows])
    spare = np.maximum(counts - 2, 0)
    share = apportion(counts, _rounded(fraction * len(rows)), np.minimum(spare, least), spare)
    return first_of_each(_shuffled(rows, seed), labels, share)


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

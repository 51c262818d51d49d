"""Train, validation and test: cleaning, seeded stratified cuts, and the limit.

One rule for every corpus: the test part that a corpus brings is never changed. Of all other rows,
those whose text stands in the test part go (leaked), those whose text has two labels go
(conflicting), and repeats go (duplicates). Two texts are the same when they are equal but for
case and white space, since the tokenizer sees neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from textmetric.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

SPLITS = ("train", "validation", "test")

_ROWS_AT_ONCE = 1 << 14

# What str.lower and str.split do to ASCII, for bytes.translate.
_LOWER = bytes(range(256)).lower()
_WHITE = bytes(code for code in range(128) if chr(code).isspace())


def prepare(
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
        frame: columns ``text``, ``label``, ``split``; a corpus without a test (validation) part
            has no row with that split.
        name: of the corpus, for messages.
        test: fraction of a class's rows to cut for test, in (0, 1).
        validation: fraction of a class's train rows to cut for validation, in [0, 1).
        limit: at most this many train rows.
        min_rows: drop classes with fewer rows than this outside a given test part.
        seed: of every draw.

    Returns:
        The frame (train, validation, test, each in the old order) and the counts.

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
    split = frame["split"].to_numpy(dtype=object)
    part = np.select([split == other for other in SPLITS], [0, 1, 2]).astype(np.int64)

    keep, summary = clean(texts, labels, part)
    keep = _large_enough(keep, labels, part, names, min_rows, name, summary)

    rows = np.flatnonzero(keep)
    labels, part = labels[rows], part[rows]
    if not (part == 2).any():
        part[cut(labels, np.flatnonzero(part == 0), test, 1, np.random.default_rng([seed, 1]))] = 2
    if not (part == 1).any() and validation > 0:
        drawn = cut(labels, np.flatnonzero(part == 0), validation, 0, _generator(seed, 2))
        part[drawn] = 1
    if limit is not None:
        chosen = limited(labels, part, limit, seed, name)
        rows, labels, part = rows[chosen], labels[chosen], part[chosen]

    order = np.argsort(part, kind="stable")
    result = frame[["text", "label"]].iloc[rows[order]].reset_index(drop=True)
    result["split"] = np.array(SPLITS, dtype=object)[part[order]]
    for number, other in enumerate(SPLITS):
        summary[f"{other}_rows"] = int((part == number).sum())
    summary["classes"] = int(np.unique(labels[part == 0]).size)
    summary["limit"] = limit
    return result, summary


def same_text(texts: pd.Series[str]) -> Ints:
    """Numbers that are equal where two texts are equal but for case and white space: (n,)."""
    # Without their white space most texts differ already, and that is soon seen: only the texts
    # that share a key are looked at. The hashes differ from run to run, the numbers do not.
    keys = np.fromiter(map(_key, _strings(texts)), np.int64)
    _, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
    numbers = numbers.astype(np.int64)
    shared = np.flatnonzero(counts[numbers] > 1)
    exact: dict[str, int] = {}
    for row, text in zip(shared.tolist(), _strings(texts.iloc[shared]), strict=True):
        numbers[row] = len(counts) + exact.setdefault(" ".join(text.lower().split()), len(exact))
    return numbers


def _strings(texts: pd.Series[str]) -> Iterator[str]:
    # Blocks: one by one takes three times as long, all at once has every text in memory twice.
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        yield from texts.iloc[start : start + _ROWS_AT_ONCE].to_numpy(dtype=object)


def _key(text: str) -> int:
    """A hash of the text in lower case without its white space."""
    if text.isascii():
        return hash(text.encode().translate(_LOWER, _WHITE))
    lowered = text.lower()
    if not text.isprintable():  # it may hold white space beyond ASCII, none of which is printable
        lowered = "".join(lowered.split())
    return hash(lowered.encode("utf-8", "surrogatepass").translate(None, _WHITE))


def clean(texts: Ints, labels: Ints, part: Ints) -> tuple[Bools, dict[str, int | str | None]]:
    """Find the rows to keep by the rule of this module.

    Args:
        texts: (n,) equal numbers for the same text.
        labels: (n,) class numbers.
        part: (n,) 0 for train, 1 for validation, 2 for test.

    Returns:
        A mask (n,) of the rows to keep, and the counts of the others by reason.
    """
    count = int(texts.max(initial=-1)) + 1
    pool = part < 2

    in_test = np.zeros(count, dtype=bool)
    in_test[texts[~pool]] = True
    leaked = pool & in_test[texts]

    rest = pool & ~leaked
    lowest = np.full(count, np.iinfo(np.int64).max)
    highest = np.full(count, -1)
    np.minimum.at(lowest, texts[rest], labels[rest])
    np.maximum.at(highest, texts[rest], labels[rest])
    conflicting = rest & (lowest != highest)[texts]

    # A validation text that also stands in train leaks as a test text does: train gives way.
    rest &= ~conflicting
    in_validation = np.zeros(count, dtype=bool)
    in_validation[texts[rest & (part == 1)]] = True
    told = rest & (part == 0) & in_validation[texts]
    leaked |= told
    rest &= ~told

    # No text is in two parts any more, so the first row of a text is the one to keep.
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
    labels: Ints,
    part: Ints,
    names: Sequence[str],
    min_rows: int | None,
    name: str,
    summary: dict[str, int | str | None],
) -> Bools:
    """Drop classes under ``min_rows``, then refuse what no training could use."""
    train = np.bincount(labels[keep & (part == 0)], minlength=len(names))
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
    for few, told in ((0, "no train row"), (1, "only one train row")):
        scarce = np.flatnonzero(present & (train == few))
        if scarce.size:
            others = f" (and {scarce.size - 1} other classes)" if scarce.size > 1 else ""
            raise UserError(
                f"class {names[int(scarce[0])]!r}{others} of corpus {name} has {told}, where at"
                " least 2 are needed: add rows, or give the corpus as a mapping with min_rows: 2"
                " to leave such classes out"
            )
    return keep


def cut(
    labels: Ints, rows: Ints, fraction: float, least: int, generator: np.random.Generator
) -> Ints:
    """Draw about ``fraction`` of ``rows`` for another part, stratified.

    Two rows of each class always stay: a class of two gives nothing away, one of three at most
    one row. A class that can spare it gives at least ``least`` rows.

    Args:
        labels: (n,) class numbers of all rows.
        rows: the row numbers to draw from.
        fraction: of the rows to draw.
        least: rows that each class gives if two are left then.
        generator: of the draw.

    Returns:
        The drawn row numbers, rising.
    """
    counts = np.bincount(labels[rows])
    spare = np.maximum(counts - 2, 0)
    total = int(np.floor(fraction * len(rows) + 0.5))
    return _draw(labels, rows, apportion(counts, total, np.minimum(spare, least), spare), generator)


def limited(labels: Ints, part: Ints, limit: int, seed: int, name: str) -> Ints:
    """Draw at most ``limit`` train rows, and validation and test rows in proportion, stratified.

    Each class keeps two train rows and, where it has one, a test row.

    Raises:
        UserError: the limit has no room for two train rows a class.
    """
    train = np.flatnonzero(part == 0)
    if limit >= len(train):
        return np.arange(len(part))
    needed = int(np.minimum(np.bincount(labels[train]), 2).sum())
    if limit < needed:
        raise UserError(
            f"data.limit is {limit}, but corpus {name} needs at least {needed} train rows for two"
            " in each class: raise the limit"
        )
    chosen = []
    for index, least in ((0, 2), (1, 0), (2, 1)):
        rows = np.flatnonzero(part == index)
        counts = np.bincount(labels[rows])
        total = max(int(np.floor(limit / len(train) * len(rows) + 0.5)), min(len(rows), 1))
        share = apportion(counts, total, np.minimum(counts, least), counts)
        chosen.append(_draw(labels, rows, share, _generator(seed, 3 + index)))
    return np.sort(np.concatenate(chosen))


def apportion(counts: Ints, total: int, least: Ints, most: Ints) -> Ints:
    """Share ``total`` among classes in proportion to ``counts``, by the largest remainder.

    Every share lies between ``least`` and ``most``, and ties go to the lower class number. The
    shares add up to ``total`` unless the bounds forbid it; then the bounds win.

    Args:
        counts: (C,) rows of each class.
        total: rows to share out.
        least: (C,) the smallest share of each class.
        most: (C,) the largest share of each class.

    Returns:
        (C,) rows for each class.
    """
    quota = total * counts / max(int(counts.sum()), 1)
    share = np.clip(np.floor(quota).astype(np.int64), least, most)
    total = min(max(total, int(least.sum())), int(most.sum()))
    # Each round moves every class that can still move at most once, the most wronged first.
    while (missing := total - int(share.sum())) != 0:
        step = 1 if missing > 0 else -1
        free = np.flatnonzero(share < most if step > 0 else share > least)
        wronged = step * (share - quota)[free]
        share[free[np.argsort(wronged, kind="stable")[: abs(missing)]]] += step
    return share


def _draw(labels: Ints, rows: Ints, share: Ints, generator: np.random.Generator) -> Ints:
    """``share[c]`` of the ``rows`` of each class c, at random; rising row numbers."""
    order = np.lexsort((generator.random(len(rows)), labels[rows]))
    classes = labels[rows][order]
    counts = np.bincount(classes, minlength=len(share))
    rank = np.arange(len(rows)) - (np.cumsum(counts) - counts)[classes]
    return np.sort(rows[order[rank < share[classes]]])


def _generator(seed: int, use: int) -> np.random.Generator:
    return np.random.default_rng([seed, use])

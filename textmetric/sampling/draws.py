"""Stratified draws: how many rows of each class, and which. No torch."""

from __future__ import annotations

import numpy as np

from textmetric.errors import UserError
from textmetric.types import Int64, Integers

# One row of a label has no positive, so neither a triplet nor the cohesion is defined.
_FEWEST_ROWS = 2


def apportion(counts: Int64, total: int, least: Int64, most: Int64) -> Int64:
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
    # Each round moves a class by one row at most, the classes farthest from their quota first.
    while (missing := total - int(share.sum())) != 0:
        step = 1 if missing > 0 else -1
        free = np.flatnonzero(share < most if step > 0 else share > least)
        excess = step * (share - quota)[free]
        share[free[np.argsort(excess, kind="stable")[: abs(missing)]]] += step
    return share


def first_of_each(shuffled: Int64, labels: Integers, share: Int64) -> Int64:
    """Take the first ``share[c]`` rows of each class c from rows in random order.

    Args:
        shuffled: (m,) row numbers in the order to take them; the caller shuffles them.
        labels: (n,) class numbers of all rows, in 0 … C - 1.
        share: (C,) rows to take of each class; all of a class that has fewer.

    Returns:
        The chosen row numbers, rising.
    """
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    classes = labels[by_class]
    counts = np.bincount(classes, minlength=len(share))
    place = np.arange(len(by_class)) - (np.cumsum(counts) - counts)[classes]
    return np.sort(by_class[place < share[classes]])


def share_of_rows(labels: Integers, share: float, seed: int) -> Int64:
    """Choose a share of the rows of every label.

    Of n rows of a label ``round(share * n)`` are chosen, but at least 2, and never more than n.
    Which ones depends on the seed and the label's own rows alone, and the rows of a smaller share
    are among those of a larger one.

    Args:
        labels: (n,) label id of every row, >= 0.
        share: how much of each label to choose, in (0, 1].
        seed: chooses the rows, >= 0.

    Returns:
        The chosen row ids, rising.

    Raises:
        UserError: ``share`` out of range.
    """
    if not 0 < share <= 1:
        raise UserError(
            f"share is {share}, expected a share above 0 and at most 1: 0.1 chooses a tenth"
        )
    chosen = [share_of_label(labels, label, share, seed) for label in np.unique(labels).tolist()]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def share_of_label(labels: Integers, label: int, share: float, seed: int) -> Int64:
    """The rows that :func:`share_of_rows` chooses of one label, in random order.

    A larger share appends to a smaller one.
    """
    shuffled = _shuffled_rows(labels, label, seed)
    return shuffled[: max(_FEWEST_ROWS, round(share * shuffled.size))]


def rows_of_each(labels: Integers, rows: int, seed: int) -> Int64:
    """Choose as many rows of every label, or all of one that has fewer.

    More rows contain fewer, as in :func:`share_of_rows`.

    Args:
        labels: (n,) label id of every row, >= 0.
        rows: how many of each label, at least 2.
        seed: chooses the rows, >= 0.

    Returns:
        The chosen row ids, rising.

    Raises:
        UserError: ``rows`` out of range.
    """
    if rows < _FEWEST_ROWS:
        raise UserError(
            f"rows of each label is {rows}, expected {_FEWEST_ROWS} or more: a single row has no "
            "other of its label"
        )
    chosen = [_shuffled_rows(labels, label, seed)[:rows] for label in np.unique(labels).tolist()]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def _shuffled_rows(labels: Integers, label: int, seed: int) -> Int64:
    rows = np.flatnonzero(labels == label)
    return np.random.default_rng([seed, label]).permutation(rows)

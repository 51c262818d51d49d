"""Checks of embeddings and labels, unit rows, and means and sums by class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.types import Float64, Floats, Integers

_CHECKED_AT_ONCE = 1 << 16  # rows


def unit(embeddings: Floats, *, first: int = 0) -> Float64:
    """Every row divided by its Euclidean norm; zero rows stay zero.

    The embedding of a text without a known token is the zero vector. Its cosine with every row is
    0, as in scikit-learn.

    Args:
        embeddings: (n, d), any float type.
        first: the number of the first row in messages, if the rows are a block of a larger array.

    Returns:
        (n, d) float64.

    Raises:
        UserError: the array does not have two axes, or holds NaN or infinity.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    rows = scaled(embeddings, first=first)
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    rows /= np.where(norms > 0, norms, 1.0)
    return rows


def scaled(embeddings: Floats, *, first: int = 0) -> Float64:
    """Every row divided by its largest coordinate; zero rows stay zero.

    The squares of tiny and of huge rows are then in the range of floats.

    Args, errors: see :func:`unit`.
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2:
        raise UserError(
            f"embeddings have shape {rows.shape}, expected (rows, width): pass a matrix"
        )
    # The maximum keeps NaN and infinity.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    broken = np.flatnonzero(~np.isfinite(largest[:, 0]))
    if len(broken):
        raise UserError(
            f"row {first + broken[0]} of the embeddings holds NaN or infinity, expected finite "
            "numbers: train with a lower learning rate"
        )
    return rows / np.where(largest > 0, largest, 1.0)


def check_rows(embeddings: Floats) -> None:
    """Check what :func:`unit` checks, a block at a time, so that nothing is copied whole.

    Args, errors: see :func:`unit`.
    """
    scaled(embeddings[:0] if np.ndim(embeddings) == 2 else embeddings)
    for start in range(0, len(embeddings), _CHECKED_AT_ONCE):
        block = embeddings[start : start + _CHECKED_AT_ONCE]
        if not np.isfinite(block).all():
            scaled(block, first=start)


def checked_labels(labels: Integers, rows: int, classes: int | None = None) -> Integers:
    """Check that there is one class id for each row, and return them.

    Args:
        labels: (n,) integers.
        rows: n.
        classes: C, the number of classes; None for any.

    Raises:
        UserError: the shape is wrong, labels are not integers, or an id is outside 0 … C − 1.
    """
    ids = np.asarray(labels)
    if ids.shape != (rows,):
        raise UserError(
            f"labels have shape {ids.shape}, expected ({rows},): pass one label for each "
            "row of the embeddings"
        )
    if not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"labels are {ids.dtype}, expected integers: pass class ids")
    if rows and (ids.min() < 0 or (classes is not None and ids.max() >= classes)):
        wrong = int(np.flatnonzero((ids < 0) | (ids >= (classes or ids.max() + 1)))[0])
        upper = "" if classes is None else f" below {classes}"
        raise UserError(
            f"row {wrong} has the label {ids[wrong]}, expected a class id from 0{upper}: "
            "number the classes from 0"
        )
    return ids


def mean(values: npt.ArrayLike) -> float:
    """Mean of the values that are not NaN; NaN without a warning if there are none.

    >>> mean([1.0, float("nan"), 3.0]), mean([])
    (2.0, nan)
    """
    flat = np.asarray(values, dtype=np.float64)
    counted = flat[~np.isnan(flat)]
    return float(counted.mean()) if len(counted) else float("nan")


def class_means(values: Float64, labels: Integers, classes: int) -> Float64:
    """Mean of the rows' values in each class; NaN values do not count.

    Args:
        values: (n,), NaN where undefined.
        labels: (n,) class ids below ``classes``.
        classes: C.

    Returns:
        (C,), NaN for a class without a value.

    >>> class_means(np.array([1.0, 0.0, np.nan]), np.array([0, 0, 1]), 2)
    array([0.5, nan])
    """
    counted = ~np.isnan(values)
    sums = np.bincount(labels[counted], weights=values[counted], minlength=classes)
    counts = np.bincount(labels[counted], minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


class ByClass:
    """Rows put in the order of their classes, to sum them.

    Args:
        labels: (n,) class ids from 0.

    Attributes:
        present: the ids of the classes that have rows, rising.
    """

    def __init__(self, labels: Integers) -> None:
        self._order = np.argsort(labels, kind="stable")
        ordered = labels[self._order]
        self._starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self.present: Integers = ordered[self._starts]

    def sums(self, rows: Float64) -> Float64:
        """(classes that are present, d) the sum of the rows (n, d) of each."""
        if not len(self.present):
            return np.zeros((0, rows.shape[1]))
        return np.asarray(np.add.reduceat(rows[self._order], self._starts, axis=0))


def class_sums(rows: Float64, labels: Integers, classes: int) -> Float64:
    """Sum of the rows of each class: (C, d), zero for a class without rows."""
    by_class = ByClass(labels)
    sums = np.zeros((classes, rows.shape[1]))
    sums[by_class.present] = by_class.sums(rows)
    return sums

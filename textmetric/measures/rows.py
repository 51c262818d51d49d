"""Checks of embeddings and labels, unit rows, and means and sums by class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.types import Float64, Floats, Integers

_ROWS_AT_ONCE = 1 << 14  # some megabytes in double precision, so that they fit in a cache


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


def class_sums(rows: Float64, labels: Integers, classes: int) -> Float64:
    """Sum of the rows of each class: (C, d), zero for a class without rows."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(classes))
    counts = np.bincount(labels, minlength=classes)
    sums = np.zeros((classes, rows.shape[1]))
    present = counts > 0  # reduceat would give an empty class the row at its start index
    if present.any():
        sums[present] = np.add.reduceat(rows[order], starts[present], axis=0)
    return sums


def unit_sums(embeddings: Floats, labels: Integers, classes: int) -> tuple[Float64, Float64]:
    """Sum of the unit rows of each class (C, d), and of their squared lengths (C,).

    Rows are processed in blocks: all rows in double precision would not fit in a cache, so the
    time would not be proportional to their number.

    Args:
        embeddings: (n, d), any float type.
        labels: (n,) class ids from 0.
        classes: C, the number of classes.

    Raises:
        UserError: see :func:`unit` and :func:`checked_labels`.
    """
    embeddings = np.asarray(embeddings)
    labels = checked_labels(labels, len(embeddings), classes)
    sums: Float64 | float = 0.0
    squares: Float64 | float = 0.0
    for start in range(0, max(len(embeddings), 1), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        rows = unit(embeddings[block], first=start)
        sums = sums + class_sums(rows, labels[block], classes)
        lengths = (rows * rows).sum(axis=1, keepdims=True)
        squares = squares + class_sums(lengths, labels[block], classes)[:, 0]
    return np.asarray(sums), np.asarray(squares)

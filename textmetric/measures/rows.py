"""Embeddings and labels as the measures take them: checked, and of length one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.types import Float64, Floats, Integers

_ROWS_AT_ONCE = 1 << 14  # some megabytes in double precision, which a cache holds


def unit(embeddings: Floats, *, first: int = 0) -> Float64:
    """Every row divided by its Euclidean norm; zero rows stay zero.

    A text without a known token has the zero vector as its embedding. Left as it is, its cosine
    with every row is 0, as in scikit-learn.

    Args:
        embeddings: (n, d), any float type.
        first: the number of the first row in a message, where these are a block of others.

    Returns:
        (n, d) float64.

    Raises:
        UserError: the array has not two axes, or holds NaN or infinity.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2:
        raise UserError(
            f"embeddings have shape {rows.shape}, expected (rows, width): pass a matrix"
        )
    # Dividing by the largest coordinate first keeps the squares of tiny and of huge rows
    # inside the range of floats. NaN and infinity come through the maximum.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    broken = np.flatnonzero(~np.isfinite(largest[:, 0]))
    if len(broken):
        raise UserError(
            f"row {first + broken[0]} of the embeddings holds NaN or infinity, expected finite "
            "numbers: train with a lower learning rate"
        )
    scaled = rows / np.where(largest > 0, largest, 1.0)
    norms = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    scaled /= np.where(norms > 0, norms, 1.0)
    return scaled


def checked_labels(labels: Integers, rows: int, classes: int | None = None) -> Integers:
    """The labels, if there is one a row and each is a class id.

    Args:
        labels: (n,) integers.
        rows: how many there must be.
        classes: C, the number of classes; None for any.

    Raises:
        UserError: wrong shape, no integers, or an id outside 0 … C − 1.
    """
    ids = np.asarray(labels)
    if ids.shape != (rows,):
        raise UserError(
            f"labels have shape {ids.shape}, expected ({rows},): pass one label a row of the "
            "embeddings"
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
    """Mean of the values that are not NaN; NaN, and no warning, if there are none.

    >>> mean([1.0, float("nan"), 3.0]), mean([])
    (2.0, nan)
    """
    flat = np.asarray(values, dtype=np.float64)
    counted = flat[~np.isnan(flat)]
    return float(counted.mean()) if len(counted) else float("nan")


def class_means(values: Float64, labels: Integers, classes: int) -> Float64:
    """Mean of a value a row, class by class; NaN values do not count.

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
    present = counts > 0  # reduceat would give an empty class the row at its start
    if present.any():
        sums[present] = np.add.reduceat(rows[order], starts[present], axis=0)
    return sums


def unit_sums(embeddings: Floats, labels: Integers, classes: int) -> tuple[Float64, Float64]:
    """Of each class the sum of its unit rows (C, d), and of their squared lengths (C,).

    A block of rows at a time: in double precision all of them would leave the cache, and a row
    would cost the more, the more there are.

    Args:
        embeddings: (n, d), any float type.
        labels: (n,) class ids from 0.
        classes: C, the number of classes.

    Raises:
        UserError: see :func:`unit`; a label that is no class id.
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

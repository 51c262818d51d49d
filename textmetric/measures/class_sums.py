"""Sums of the unit rows of each class, from which cohesion and separation follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.rows import ByClass, checked_labels, unit
from textmetric.types import Float64, Floats, Int64, Integers

_ROWS_AT_ONCE = 1 << 14  # some megabytes in double precision, so that they fit in a cache


@dataclass(frozen=True)
class ClassSums:
    """What cohesion and separation need of the rows, so that parts of a test set can be added up.

    The cohesions and the centroids of two parts do not give those of both together. Their sums do:
    ``(ClassSums.of(a, …) + ClassSums.of(b, …)).cohesion()`` is the cohesion of the rows of a and b.
    It takes the memory of C rows, whatever the number of rows that were summed.

    Attributes:
        counts: (C,) rows of each class.
        sums: (C, d) sum of the unit rows of each class.
        squares: (C,) sum of their squared lengths: the rows of the class that are not zero.

    >>> one = ClassSums.of(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0, 0]), 2)
    >>> other = ClassSums.of(np.array([[3.0, 0.0]]), np.array([0]), 2)
    >>> (one + other).cohesion().round(3)
    array([0.333,   nan])
    """

    counts: Int64
    sums: Float64
    squares: Float64

    @classmethod
    def of(cls, embeddings: Floats, labels: Integers, classes: int) -> ClassSums:
        """Sum up rows, a block at a time, so that a mapped array is never copied whole.

        Args:
            embeddings: (n, d), any float type; it may be mapped (``np.load(…, mmap_mode="r")``).
            labels: (n,) class ids from 0.
            classes: C, the number of classes.

        Raises:
            UserError: see :func:`.unit` and :func:`.checked_labels`.
        """
        embeddings = np.asarray(embeddings)
        labels = checked_labels(labels, len(embeddings), classes)
        sums, squares = np.zeros((classes, unit(embeddings[:0]).shape[1])), np.zeros((classes, 1))
        for start in range(0, len(embeddings), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            rows, by_class = unit(embeddings[block], first=start), ByClass(labels[block])
            sums[by_class.present] += by_class.sums(rows)
            squares[by_class.present] += by_class.sums((rows * rows).sum(axis=1, keepdims=True))
        return cls(np.bincount(labels, minlength=classes), sums, squares[:, 0])

    def merge(self, other: ClassSums) -> ClassSums:
        """The sums of the rows of both; ``+`` is the same.

        Sums of floats depend on their order in the last bits: other parts, or another order of
        the parts, give the same up to some 1e-16 of the sums.

        Raises:
            UserError: the number of classes or the width differs.
        """
        if self.sums.shape != other.sums.shape:
            raise UserError(
                f"sums of shape {other.sums.shape} cannot be added to those of shape "
                f"{self.sums.shape}: sum up all parts with the same classes and the same model"
            )
        return ClassSums(
            self.counts + other.counts, self.sums + other.sums, self.squares + other.squares
        )

    __add__ = merge

    def cohesion(self) -> Float64:
        """(C,) the mean cosine of two different rows of each class, see :func:`.cohesion`."""
        counts = self.counts.astype(np.float64)
        pairs = counts * (counts - 1)
        total = (self.sums * self.sums).sum(axis=1) - self.squares
        # Rounding can exceed 1 in the last bit if all rows of a class are equal.
        return np.where(pairs > 0, np.clip(total / np.maximum(pairs, 1), -1.0, 1.0), np.nan)

    def centroids(self) -> Float64:
        """(C, d) the mean of the unit rows of each class, NaN for a class without rows."""
        counts = self.counts[:, None]
        return np.where(counts > 0, self.sums / np.maximum(counts, 1), np.nan)

"""The measures of wide, sparse embeddings, such as TF-IDF vectors, without densifying them.

The same definitions as for dense embeddings, by products of sparse matrices. Rows must be unit or
zero rows. Neighbours whose cosines agree in 40 binary digits tie, and ties are in the order of the
rows: the last digits of a cosine depend on the order of its sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from textmetric.errors import UserError, needing

with needing("a measure of sparse embeddings", "train"):
    from scipy.sparse import csr_array

from textmetric.measures.clustering import clustering_of
from textmetric.measures.evaluation import (
    CLUSTERED,
    KS,
    PAIRS,
    STARTS,
    Evaluation,
    Space,
    evaluated,
)
from textmetric.measures.neighbours import majority
from textmetric.measures.query_sample import FEWEST, QUERIES
from textmetric.measures.retrieval import Retrieval, scored
from textmetric.measures.rows import checked_labels
from textmetric.measures.verification import Verification, draw_pairs, verification_of
from textmetric.types import Float64, Int64, Integers

_BLOCK_BYTES = 32 * 2**20  # the cosines of one block of queries
_PAIRS = 1 << 32  # of a query and a row: those of the largest test set whose rows all are queries
_COMMON = 64  # columns


def evaluate_sparse(
    rows: csr_array,
    labels: Integers,
    *,
    classes: int,
    scarce: Sequence[int] = (),
    predictions: Mapping[str, Integers] | None = None,
) -> Evaluation:
    """All measures of :func:`textmetric.measures.evaluate`, with the same keys.

    Time grows with the square of the rows, up to 65,536 rows. Blocks of queries bound the memory.

    Args:
        rows: (n, d) sparse unit or zero rows.
        labels: (n,) class ids below ``classes``.
        classes: C, the number of classes; some may have no row.
        scarce: ids of the scarce or rare classes.
        predictions: name → (n,) predicted class ids.

    Raises:
        UserError: labels or predictions have another shape, or an id is out of range.

    >>> rows = csr_array(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    >>> evaluate_sparse(rows, np.array([0, 0, 1, 1]), classes=2).flat["cohesion"]
    0.5
    """
    labels = checked_labels(labels, rows.shape[0], classes)
    sums = class_sums(rows, labels, classes)
    counts = np.bincount(labels, minlength=classes)
    pairs = counts * (counts - 1.0)
    lengths = np.bincount(labels, weights=_squares(rows), minlength=classes)
    within = np.clip((_squares(sums) - lengths) / np.maximum(pairs, 1), -1.0, 1.0)
    centroids = _unit(sums)
    between = np.clip((centroids @ centroids.T).toarray(), -1.0, 1.0)
    between[counts == 0, :] = np.nan
    between[:, counts == 0] = np.nan
    return evaluated(
        Space(
            retrieval_sparse(rows, labels, KS),
            np.where(pairs > 0, within, np.nan),
            between,
            clustering_of(rows, labels, STARTS, most=max(CLUSTERED, classes)),
            verification_sparse(rows, labels, most=PAIRS),
        ),
        labels,
        classes=classes,
        scarce=scarce,
        predictions=predictions,
    )


def retrieval_sparse(rows: csr_array, labels: Integers, ks: Sequence[int] = KS) -> Retrieval:
    """The values of :func:`textmetric.measures.retrieval`, of sparse unit or zero rows (n, d).

    Of more than 65,536 rows, the sample has no more queries than 2³² pairs of a query and a row.

    Args:
        rows: (n, d) sparse unit or zero rows.
        labels: (n,) class ids from 0.
        ks: the k of Recall@k, each at least 1.

    Raises:
        UserError: the labels have another shape, or a k is below 1.
    """
    cosines = _Cosines(rows)
    return scored(
        checked_labels(labels, rows.shape[0]),
        ks,
        lambda ids, depths: cosines.ranked(rows[ids], depths, ids),
        max(FEWEST, min(QUERIES, _PAIRS // max(1, rows.shape[0]))),
    )


def verification_sparse(rows: csr_array, labels: Integers, *, most: int = PAIRS) -> Verification:
    """The values of :func:`textmetric.measures.verification`, of sparse unit or zero rows.

    Args:
        rows: (n, d) sparse unit or zero rows.
        labels: (n,) class ids from 0.
        most: how many pairs are drawn at most.
    """
    pairs = draw_pairs(labels, most=most)
    cosines = rows[pairs.first].multiply(rows[pairs.second]).sum(axis=1)
    return verification_of(pairs, np.asarray(cosines, dtype=np.float64))


def knn_predict_sparse(
    reference: csr_array, reference_labels: Integers, queries: csr_array, k: int = 10
) -> Integers:
    """The most frequent class among the k nearest rows, as :func:`.knn_predict` finds it.

    Args:
        reference: (n, d) sparse unit or zero rows.
        reference_labels: (n,) class ids.
        queries: (q, d) sparse unit or zero rows.
        k: the number of neighbours that vote; all vote if there are fewer.

    Returns:
        (q,) int32.

    Raises:
        UserError: there are no reference rows, or k is below 1.
    """
    labels = checked_labels(reference_labels, reference.shape[0])
    if not len(labels) or k < 1:
        raise UserError(
            f"the reference has {len(labels)} rows and k is {k}, expected at least one: pass "
            "train rows and another k"
        )
    depths = np.full(queries.shape[0], min(k, len(labels)), dtype=np.int64)
    found = np.empty((len(depths), min(k, len(labels))), dtype=np.int64)
    for part, ids in _Cosines(reference).ranked(queries, depths):
        found[part] = ids
    return majority(labels[found])


def centroid_predict_sparse(
    reference: csr_array, reference_labels: Integers, queries: csr_array
) -> Integers:
    """The class whose centroid has the highest cosine with each query.

    Args:
        reference: (n, d) sparse unit or zero rows, at least one.
        reference_labels: (n,) class ids; a class without rows is never chosen.
        queries: (q, d) sparse unit or zero rows.

    Returns:
        (q,) int32; of equal cosines, that of the lower class id.
    """
    labels = checked_labels(reference_labels, reference.shape[0])
    present, places = np.unique(labels, return_inverse=True)
    centroids = _Cosines(_unit(class_sums(reference, places, len(present))))
    found = np.empty(queries.shape[0], dtype=np.int32)
    for part, ids in centroids.ranked(queries, np.ones(len(found), dtype=np.int64)):
        found[part] = present[ids[:, 0]]
    return found


def class_sums(rows: csr_array, labels: Integers, classes: int) -> csr_array:
    """The sum of the rows of each class: (C, d), sparse, zero for a class without rows."""
    ones = np.ones(len(labels))
    members = csr_array((ones, (labels, np.arange(len(labels)))), shape=(classes, len(labels)))
    return members @ rows


def _squares(rows: csr_array) -> Float64:
    """(n,) the squared length of each row."""
    return np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float64)


def _unit(rows: csr_array) -> csr_array:
    """Every row divided by its length; zero rows stay zero."""
    lengths = np.sqrt(_squares(rows))
    unit = rows.copy()
    unit.data = unit.data / np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(rows.indptr))
    return unit


class _Cosines:
    """The cosines of queries with all rows of a reference.

    Most of the work of a sparse product is about the few columns that nearly all rows have, so
    those are multiplied as dense matrices.

    Args:
        reference: (n, d) sparse unit or zero rows.
    """

    def __init__(self, reference: csr_array) -> None:
        frequency = np.bincount(reference.indices, minlength=reference.shape[1])
        self._common = np.argsort(-frequency, kind="stable")[:_COMMON]
        self._others = np.setdiff1d(np.arange(reference.shape[1]), self._common)
        self._dense = np.ascontiguousarray(reference[:, self._common].toarray().T)
        self._sparse = reference[:, self._others].T.tocsr()
        self._rows = reference.shape[0]

    def ranked(
        self, queries: csr_array, depths: Int64, left_out: Int64 | None = None
    ) -> Iterator[tuple[slice, Int64]]:
        """The nearest rows of the queries, see :func:`.ranked_blocks`."""
        dense, others = queries[:, self._common].toarray(), queries[:, self._others]
        at_once = max(1, _BLOCK_BYTES // (8 * max(1, self._rows)))
        digits = self._rows.bit_length()
        scale = 2.0 ** min(40, 61 - digits)
        for start in range(0, len(depths), at_once):
            part = slice(start, min(start + at_once, len(depths)))
            cosines = (others[part] @ self._sparse).toarray() + dense[part] @ self._dense
            # A distance and the place of its row in one number, so that numbers sort pairs.
            keys = np.rint((1.0 - cosines) * scale).astype(np.int64)
            keys <<= digits
            keys |= np.arange(self._rows)
            if left_out is not None:
                keys[np.arange(len(keys)), left_out[part]] = np.iinfo(np.int64).max
            depth = int(depths[part].max())
            keys.partition(depth - 1, axis=1)
            nearest = np.sort(keys[:, :depth], axis=1)
            yield part, nearest & ((1 << digits) - 1)

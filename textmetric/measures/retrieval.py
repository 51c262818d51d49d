"""Retrieval: does a query find the other rows of its class?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.distances import Distance, check_distance
from textmetric.measures.neighbours import (
    Ranked,
    euclidean_rows,
    exact_rows,
    ranked_blocks,
    ranked_in,
)
from textmetric.measures.query_sample import (
    FEWEST,
    MEASURED_WHOLE,
    NEIGHBOURS,
    QUERIES,
    QuerySample,
    draw_queries,
    mean_of,
)
from textmetric.measures.rows import check_rows, checked_labels, mean
from textmetric.types import Bools, Float64, Floats, Int64, Integers


@dataclass(frozen=True)
class Retrieval:
    """Retrieval measures of every query; NaN where the query has no other row of its class.

    Attributes:
        recall: by k, (n,) of 0, 1 or NaN: is a row of the class among the k nearest rows?
        r_precision: (n,) in [0, 1] or NaN.
        map_at_r: (n,) in [0, 1] or NaN, at most ``r_precision``.
        of_recall: the queries of ``recall`` if they are a sample; the values of the other rows are
            NaN. None if every row is a query.
        of_map: the same of ``r_precision`` and ``map_at_r``.
    """

    recall: dict[int, Float64]
    r_precision: Float64
    map_at_r: Float64
    of_recall: QuerySample | None = None
    of_map: QuerySample | None = None

    def means(self, among: Bools | None = None) -> dict[str, float]:
        """Means over the queries, without NaN: recall_at_<k>, r_precision and map_at_r.

        Args:
            among: (n,) the rows whose queries count; None for all.
        """
        return {
            name: mean_of(values, sample, among)
            for name, (values, sample) in self._by_name().items()
        }

    def sampled(self, among: Bools | None = None) -> dict[str, float]:
        """For each of :meth:`means` that is of a sample, its queries and its margin of error.

        Args:
            among: see :meth:`means`.

        Returns:
            ``<name>_queries``, and ``<name>_margin``, half the width of the 95 % interval; empty if
            every row is a query.
        """
        found: dict[str, float] = {}
        for name, (values, sample) in self._by_name().items():
            if sample is not None:
                found |= sample.of(name, values, among)
        return found

    def _by_name(self) -> dict[str, tuple[Float64, QuerySample | None]]:
        named = {f"recall_at_{k}": (hits, self.of_recall) for k, hits in self.recall.items()}
        return named | {
            "r_precision": (self.r_precision, self.of_map),
            "map_at_r": (self.map_at_r, self.of_map),
        }


def retrieval(
    embeddings: Floats,
    labels: Integers,
    ks: Sequence[int] = (1, 10, 100),
    distance: Distance = "cosine",
) -> Retrieval:
    """Recall@k, R-precision and MAP@R of every row among all other rows.

    Every row is a query once. All other rows are ordered by falling cosine, equal cosines by
    rising row id (``textmetric.measures.neighbours.keys`` defines equal). The query is left out by
    its id, so duplicates of it stay in. With rel(i) = 1 where the i-th row has the class of the
    query, P(i) the share of such rows among the first i, and R the number of other rows of the
    class:

    * Recall@k = 1 if rel(i) = 1 for some i ≤ k, as defined in metric learning;
    * R-precision = P(R);
    * MAP@R = 1/R · Σ_{i ≤ R} P(i)·rel(i)   (Musgrave, Belongie, Lim 2020, "A Metric Learning
      Reality Check", arXiv 2003.08505).

    The result is exact, and blocks of queries bound the memory. With fewer than k other rows,
    Recall@k looks at all of them. The neighbours of a zero vector are in the order of their ids.

    Up to 65,536 rows every row is a query. Of more rows a stratified sample is
    (:func:`.draw_queries`): 10,000 queries, each exact among all rows. MAP@R and R-precision look
    at as many neighbours as the class has rows, so they have fewer queries where classes are
    large: as many as need 2²⁸ neighbours together, and 100 at least.

    Args:
        embeddings: (n, d) float32.
        labels: (n,) class ids from 0.
        ks: the k of Recall@k, each at least 1.
        distance: ``euclidean`` orders rows by rising Euclidean distance instead of falling cosine.

    Returns:
        Values for each query. They are NaN for the only row of a class, which counts in no mean
        but is a neighbour of the other queries.

    Raises:
        UserError: see ``unit``; a negative label; a k below 1; there is no such distance.

    The first row finds its class at rank 2 of R = 2, the third at 1 and 2:

    >>> found = retrieval(np.array([[1.0, 0.0], [0.9, 0.1], [0.7, 0.7], [0.6, 0.8]]),
    ...                   np.array([0, 1, 0, 0]), ks=[1])
    >>> found.map_at_r
    array([0.25,  nan, 0.5 , 0.5 ])
    >>> found.r_precision
    array([0.5, nan, 0.5, 0.5])
    >>> found.means()["recall_at_1"].__round__(3)
    0.667
    """
    embeddings = np.asarray(embeddings)
    if check_distance(distance) == "euclidean":
        rows, asked = euclidean_rows(embeddings)
        return scored(
            checked_labels(labels, len(rows)),
            ks,
            lambda queries, depths: ranked_blocks(rows, asked[queries], depths, left_out=queries),
        )
    check_rows(embeddings)

    def ranked(queries: Int64, depths: Int64) -> Ranked:
        search = ranked_in(embeddings, len(queries))
        return search(exact_rows(embeddings[queries]), depths, queries)

    return scored(checked_labels(labels, len(embeddings)), ks, ranked)


def scored(
    labels: Integers,
    ks: Sequence[int],
    ranked: Callable[[Int64, Int64], Ranked],
    most: int = QUERIES,
) -> Retrieval:
    """The measures of :func:`retrieval`, of rows that ``ranked`` orders.

    Args:
        labels: (n,) class ids from 0.
        ks: the k of Recall@k, each at least 1.
        ranked: from the ids of queries (q,) and how many neighbours each needs (q,), rising, to
            blocks: some of the queries, and (as many, depth of the block) ids, the nearest first,
            without the query itself.
        most: the queries of a sample.

    Raises:
        UserError: a k below 1.
    """
    if not ks or min(ks) < 1:
        raise UserError(f"ks is {list(ks)}, expected whole numbers from 1: name at least one")

    partners = np.bincount(labels)[labels] - 1 if len(labels) else np.zeros(0, dtype=np.int64)
    able = partners > 0
    of_recall = of_map = None
    for_recall = for_map = able
    if len(labels) > MEASURED_WHOLE:
        of_recall = draw_queries(labels, able, most)
        affordable = NEIGHBOURS // max(1, round(mean(partners[able]))) if able.any() else 0
        of_map = draw_queries(labels, able, min(most, max(FEWEST, affordable)))
        for_recall, for_map = of_recall.among(len(labels)), of_map.among(len(labels))
    recall = {int(k): np.full(len(labels), np.nan) for k in ks}
    r_precision = np.full(len(labels), np.nan)
    map_at_r = np.full(len(labels), np.nan)

    # Small classes first: a block is as deep as its largest class.
    depth_of = np.minimum(np.maximum(np.where(for_map, partners, 0), max(ks)), len(labels) - 1)
    queries = np.lexsort((partners, depth_of))
    queries = queries[(for_recall | for_map)[queries]]
    for part, ids in ranked(queries, depth_of[queries]):
        block = queries[part]
        related = labels[ids] == labels[block][:, None]
        for k, hits in recall.items():
            hits[block] = np.where(for_recall[block], related[:, :k].any(axis=1), np.nan)
        deep = for_map[block]
        if not deep.any():
            continue
        block, related = block[deep], related[deep]
        total = partners[block]
        ranks = np.arange(1, int(total.max()) + 1)
        related = related[:, : len(ranks)] & (ranks <= total[:, None])
        found = np.cumsum(related, axis=1, dtype=np.int32)
        r_precision[block] = found[:, -1] / total
        map_at_r[block] = (found * related / ranks).sum(axis=1) / total
    return Retrieval(recall, r_precision, map_at_r, of_recall, of_map)

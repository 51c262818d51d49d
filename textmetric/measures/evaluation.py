"""Every measure of one test set, embedded by one model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.class_sums import ClassSums
from textmetric.measures.clustering import Clustering, clustering
from textmetric.measures.query_sample import QuerySample, mean_of, predicted_queries
from textmetric.measures.retrieval import Retrieval, retrieval
from textmetric.measures.rows import checked_labels, class_means, mean
from textmetric.measures.separation import (
    between_class_cosine,
    centroid_cosines,
    cosines_to_others,
)
from textmetric.measures.verification import Verification, verification
from textmetric.types import Float64, Floats, Integers

KS = (1, 10, 100)
"""The k of Recall@k."""
STARTS = 1
"""Of k-means, which takes as long as the retrieval; results are means over seeds."""
CLUSTERED = 4000
"""Of more rows k-means has a sample, with a row of each class at least."""
PAIRS = 40_000
"""For verification."""
_OF_QUERIES = ("recall_at_1", "map_at_r")  # what is reported of the scarce classes
_NO_CLUSTERS = Clustering(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Evaluation:
    """The measures of one model on one test set.

    Attributes:
        rows: the number of rows of each class, in the order of the class ids.
        flat: one number for each measure; NaN where it is undefined.
        per_class: one number for each class, in the order of the class ids; NaN where undefined.
    """

    rows: list[int]
    flat: dict[str, float]
    per_class: dict[str, list[float]]


def evaluate(
    embeddings: Floats,
    labels: Integers,
    *,
    classes: int,
    scarce: Sequence[int] = (),
    predictions: Mapping[str, Integers] | None = None,
) -> Evaluation:
    """Compute all measures of the study.

    ``flat`` holds, in this order: ``<name>_accuracy`` of every prediction, ``cohesion`` (macro
    mean), ``between_class_cosine``, ``gap`` (cohesion − between_class_cosine), ``recall_at_1``,
    ``recall_at_10``, ``recall_at_100``, ``r_precision``, ``map_at_r`` (means over queries),
    ``kmeans_nmi``, ``kmeans_ami``, ``kmeans_ari`` (see :func:`.clustering`: one start, at most
    4,000 rows), ``verification_auc``, ``verification_eer`` (see :func:`.verification`, 40,000
    pairs). With scarce classes it also holds ``scarce_cohesion`` (macro mean),
    ``scarce_between_class_cosine`` (scarce centroids against those of the other classes),
    ``scarce_gap`` (the former minus the latter), ``scarce_among_cosine`` (among scarce centroids,
    NaN for one); and ``scarce_recall_at_1``, ``scarce_map_at_r`` and ``scarce_<name>_accuracy``,
    whose queries are the rows of the scarce classes and whose neighbours are all rows.

    Of more than 65,536 rows, the queries of retrieval are a sample (:func:`.draw_queries`). Then
    ``flat`` also holds, for each measure of retrieval, ``<measure>_queries``, their number, and
    ``<measure>_margin``, half the width of the 95 % interval of the sampling error. So it does for
    the accuracy of predictions of a sample.

    ``per_class`` holds ``cohesion``, ``between_class_cosine`` (of the centroid to those of the
    other classes), ``recall_at_1``, ``map_at_r`` and every accuracy (the share of the class's rows
    that were predicted right). With scarce classes it also holds ``sufficient_cosine`` (to the
    centroids of the other classes) and ``among_scarce_cosine``, NaN for classes that are not
    scarce.

    Args:
        embeddings: (n, d) float32 of the test rows.
        labels: (n,) class ids below ``classes``.
        classes: C, the number of classes; some may have no test row.
        scarce: ids of the scarce or rare classes.
        predictions: name -> (n,) predicted class ids, such as head, knn and centroid; those of a
            sample of the rows are what :func:`.predict_queries` gives.

    Raises:
        UserError: see ``unit``; labels or predictions have another shape, or an id is out of
            range.

    >>> embeddings = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> labels = np.array([0, 0, 1, 1])
    >>> result = evaluate(embeddings, labels, classes=2,
    ...                   predictions={"knn": np.array([0, 0, 1, 0])})
    >>> result.flat["knn_accuracy"], result.flat["gap"], result.flat["map_at_r"]
    (0.75, 1.0, 1.0)
    >>> result.per_class["knn_accuracy"]
    [1.0, 0.5]
    """
    labels = checked_labels(labels, len(embeddings), classes)
    return evaluated(
        measured(embeddings, labels, classes=classes),
        labels,
        classes=classes,
        scarce=scarce,
        predictions=predictions,
    )


class Space(NamedTuple):
    """What the measures of a space are made from.

    Attributes:
        found: retrieval of every row, with the ``KS``.
        within: (C,) cohesion of every class.
        cosines: (C, C) between the centroids of the classes.
        clusters: k-means against the classes.
        pairs: verification.
    """

    found: Retrieval
    within: Float64
    cosines: Float64
    clusters: Clustering
    pairs: Verification


def measured(embeddings: Floats, labels: Integers, *, classes: int, clusters: bool = True) -> Space:
    """What the measures of :func:`evaluate` are made from.

    Args:
        embeddings: (n, d) float32 of the test rows.
        labels: (n,) class ids below ``classes``.
        classes: C.
        clusters: run k-means, which needs scikit-learn; else its measures are NaN.

    Raises:
        UserError: see :func:`evaluate`.
    """
    most = max(CLUSTERED, classes)
    sums = ClassSums.of(embeddings, labels, classes)
    return Space(
        retrieval(embeddings, labels, KS),
        sums.cohesion(),
        centroid_cosines(sums.centroids()),
        clustering(embeddings, labels, starts=STARTS, most=most) if clusters else _NO_CLUSTERS,
        verification(embeddings, labels, most=PAIRS),
    )


def evaluated(
    space: Space,
    labels: Integers,
    *,
    classes: int,
    scarce: Sequence[int] = (),
    predictions: Mapping[str, Integers] | None = None,
) -> Evaluation:
    """The measures of :func:`evaluate`, of a space. Arguments and errors are those of it."""
    for class_id in scarce:
        if not 0 <= class_id < classes:
            raise UserError(
                f"scarce class {class_id} does not exist, expected 0 to {classes - 1}: "
                "name the id of a class"
            )
    found, within, cosines, clusters, pairs = space
    right: dict[str, Float64] = {}
    of_right: dict[str, QuerySample | None] = {}
    for prediction, given in (predictions or {}).items():
        predicted = _checked_prediction(prediction, given, len(labels))
        name = f"{prediction}_accuracy"
        right[name] = (predicted == labels).astype(np.float64)
        of_right[name] = sample = predicted_queries(labels, predicted)
        if sample is not None:
            right[name][~sample.among(len(labels))] = np.nan
    flat = {name: mean_of(values, of_right[name]) for name, values in right.items()}
    flat["cohesion"] = mean(within)
    flat["between_class_cosine"] = between_class_cosine(cosines)
    flat["gap"] = flat["cohesion"] - flat["between_class_cosine"]
    flat |= found.means()
    flat |= {f"kmeans_{name}": getattr(clusters, name) for name in ("nmi", "ami", "ari")}
    flat |= {"verification_auc": pairs.auc, "verification_eer": pairs.eer}
    flat |= found.sampled()
    for name, sample in of_right.items():
        if sample is not None:
            flat |= sample.of(name, right[name])

    by_query = {"recall_at_1": found.recall[1], "map_at_r": found.map_at_r} | right
    per_class = {"cohesion": within, "between_class_cosine": cosines_to_others(cosines)} | {
        name: class_means(values, labels, classes) for name, values in by_query.items()
    }
    if len(scarce):
        rare = np.unique(np.asarray(scarce, dtype=np.int64))
        others = np.setdiff1d(np.arange(classes), rare)
        of_scarce = np.isin(labels, rare)
        flat["scarce_cohesion"] = mean(within[rare])
        flat["scarce_between_class_cosine"] = between_class_cosine(cosines, rare, others)
        flat["scarce_gap"] = flat["scarce_cohesion"] - flat["scarce_between_class_cosine"]
        flat["scarce_among_cosine"] = between_class_cosine(cosines, rare)
        of_queries = found.means(of_scarce) | found.sampled(of_scarce)
        flat |= {
            f"scarce_{name}": value
            for name, value in of_queries.items()
            if name.removesuffix("_queries").removesuffix("_margin") in _OF_QUERIES
        }
        for name, sample in of_right.items():
            flat[f"scarce_{name}"] = mean_of(right[name], sample, of_scarce)
            if sample is not None:
                flat |= sample.of(f"scarce_{name}", right[name], of_scarce)
        per_class["sufficient_cosine"] = cosines_to_others(cosines, rare, others)
        per_class["among_scarce_cosine"] = cosines_to_others(cosines, rare, rare)

    by_class = {name: values.tolist() for name, values in per_class.items()}
    return Evaluation(np.bincount(labels, minlength=classes).tolist(), flat, by_class)


def _checked_prediction(name: str, predicted: Integers, rows: int) -> Integers:
    if np.shape(predicted) != (rows,):
        raise UserError(
            f"predictions of {name!r} have shape {np.shape(predicted)}, expected ({rows},): "
            "predict every row once"
        )
    return np.asarray(predicted)

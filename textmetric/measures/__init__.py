"""Measures of an embedding space: numpy functions of (embeddings, labels).

``evaluate`` computes the measures of the study on one test set, ``mean_interval`` and ``summarise``
means and intervals over seeds, ``paired_difference`` and ``simultaneous_differences`` which of two
is better.
``docs/measures.md`` explains how to read them.
"""

from __future__ import annotations

from textmetric.measures.calibration import (
    Reliability,
    brier_score,
    centroid_probabilities,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    softmax,
)
from textmetric.measures.class_sums import ClassSums
from textmetric.measures.clustering import Clustering, agreement, clustering, kmeans
from textmetric.measures.codes import binary_codes, hamming_retrieval
from textmetric.measures.cohesion import cohesion
from textmetric.measures.confusion import ClassPair, confused_classes, confusion_counts
from textmetric.measures.distances import Distance, centroid_distances
from textmetric.measures.evaluation import Evaluation, evaluate
from textmetric.measures.few_shot import (
    Episodes,
    FewShot,
    draw_episodes,
    episode_accuracies,
    few_shot,
    over_classes,
)
from textmetric.measures.intervals import mean_interval, share_interval, summarise
from textmetric.measures.neighbours import centroid_predict, knn_predict, nearest_neighbours
from textmetric.measures.out_of_scope import (
    distance_score,
    energy_score,
    out_of_scope_auc,
    probability_score,
)
from textmetric.measures.paired import (
    Outcome,
    Paired,
    paired_difference,
    simultaneous_differences,
)
from textmetric.measures.query_sample import QuerySample, draw_queries, predict_queries
from textmetric.measures.retrieval import Retrieval, retrieval
from textmetric.measures.roc import equal_error_rate, roc_auc, roc_curve, threshold_at
from textmetric.measures.rows import unit
from textmetric.measures.separation import (
    between_class_cosine,
    centroid_cosines,
    class_centroids,
    cosines_to_others,
)
from textmetric.measures.verification import (
    OperatingPoint,
    Pairs,
    Verification,
    draw_pairs,
    operating_point,
    verification,
)

__all__ = [
    "ClassPair",
    "ClassSums",
    "Clustering",
    "Distance",
    "Episodes",
    "Evaluation",
    "FewShot",
    "OperatingPoint",
    "Outcome",
    "Paired",
    "Pairs",
    "QuerySample",
    "Reliability",
    "Retrieval",
    "Verification",
    "agreement",
    "between_class_cosine",
    "binary_codes",
    "brier_score",
    "centroid_cosines",
    "centroid_distances",
    "centroid_predict",
    "centroid_probabilities",
    "class_centroids",
    "clustering",
    "cohesion",
    "confused_classes",
    "confusion_counts",
    "cosines_to_others",
    "distance_score",
    "draw_episodes",
    "draw_pairs",
    "draw_queries",
    "energy_score",
    "episode_accuracies",
    "equal_error_rate",
    "evaluate",
    "expected_calibration_error",
    "few_shot",
    "fit_temperature",
    "hamming_retrieval",
    "kmeans",
    "knn_predict",
    "mean_interval",
    "nearest_neighbours",
    "negative_log_likelihood",
    "operating_point",
    "out_of_scope_auc",
    "over_classes",
    "paired_difference",
    "predict_queries",
    "probability_score",
    "reliability",
    "retrieval",
    "roc_auc",
    "roc_curve",
    "share_interval",
    "simultaneous_differences",
    "softmax",
    "summarise",
    "threshold_at",
    "unit",
    "verification",
]

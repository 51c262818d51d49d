"""Where one cluster ends and the next begins: logistic regression of the clusters."""

from __future__ import annotations

import warnings

import numpy as np

from textmetric.errors import needing
from textmetric.types import Float64, Int64

with needing("clusters that learn", "train"):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

WEAK = 0.3
"""What a row that nobody corrected counts for, next to a corrected one."""
_INVERSE_PENALTY = 10.0
_STEPS = 60
_TOLERANCE = 1e-3


def border(rows: Float64, clusters: Int64, weights: Float64, count: int) -> Float64:
    """How little rows belong to clusters, by a linear classifier that is trained on all of them.

    The clusters of uncorrected rows are weak labels, right more often than not. Unlike the centres
    of k-means, the classifier looks at the rows near the border between two clusters.

    Args:
        rows: (n, d).
        clusters: (n,) ids below ``count``, of two clusters at least.
        weights: (n,) of the rows.
        count: k, how many clusters there are.

    Returns:
        (n, k) −log of the probability of each cluster; infinite for one without rows.
    """
    learner = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_STEPS, tol=_TOLERANCE)
    with threadpool_limits(1), warnings.catch_warnings():
        # more steps change little; and where most rows have a cluster of their own, that is said
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater")
        half = rows.astype(np.float32)  # in half of the time, with the same clusters
        learner.fit(half, clusters, sample_weight=weights)
        found = np.full((len(rows), count), np.inf)
        found[:, learner.classes_] = -learner.predict_log_proba(half)
    return found

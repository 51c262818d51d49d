"""Out of scope: is it noticed that a text is of none of the classes?

Three scores of how foreign a text looks, large for texts out of scope, and how well a score tells
the two apart. Only the first needs no classifier.
"""

from __future__ import annotations

import numpy as np

from textmetric.measures.calibration import softmax
from textmetric.measures.distances import Distance, centroid_distances
from textmetric.measures.roc import roc_auc
from textmetric.types import Bools, Float64, Floats


def distance_score(centroids: Floats, embeddings: Floats, distance: Distance = "cosine") -> Float64:
    """The distance to the nearest class centroid (Mensink et al. 2013; Lee et al. 2018).

    Args:
        centroids: (C, d) of the train rows; NaN for an absent class, but one at least is present.
        embeddings: (n, d).
        distance: ``cosine`` or ``euclidean``.

    Returns:
        (n,) at least 0.

    Raises:
        UserError: see :func:`.centroid_distances`.
    """
    return np.asarray(centroid_distances(centroids, embeddings, distance).min(axis=1))


def probability_score(probabilities: Floats) -> Float64:
    """One minus the largest probability (Hendrycks & Gimpel 2017, arXiv 1610.02136).

    Args:
        probabilities: (n, C).

    Returns:
        (n,) in [0, 1 − 1 / C].
    """
    return np.asarray(1.0 - np.asarray(probabilities, dtype=np.float64).max(axis=1))


def energy_score(logits: Floats, temperature: float = 1.0) -> Float64:
    """The energy of a head's logits, −T · log Σ_c exp(z_c / T) (Liu et al. 2020, arXiv 2010.03759).

    Unlike the largest probability it changes if all logits of a text are smaller.

    Args:
        logits: (n, C).
        temperature: T above 0.

    Returns:
        (n,) of any sign.

    Raises:
        UserError: see :func:`.softmax`.

    >>> energy_score(np.array([[0.0, 0.0]])).round(4)
    array([-0.6931])
    """
    rows = np.asarray(logits, dtype=np.float64)
    # The largest probability p is exp(z / T) / Σ, so log Σ = z / T − log p.
    largest = softmax(rows, temperature).max(axis=1)
    return np.asarray(-rows.max(axis=1) + temperature * np.log(largest))


def out_of_scope_auc(
    scores: Floats, out_of_scope: Bools, without_token: Bools | None = None
) -> float:
    """ROC AUC of a score for texts out of scope.

    It is the chance that a text out of scope has a larger score than one in scope.

    Args:
        scores: (n,) large for texts out of scope.
        out_of_scope: (n,) which texts are.
        without_token: (n,) which texts have no known token. Nothing is known of those, so they are
            out of scope by definition: whatever their score is, it counts as infinite, for texts in
            scope too. None if there is no such text.

    Returns:
        In [0, 1], ½ for a score that says nothing; NaN if all texts are of one kind.

    Raises:
        UserError: see :func:`.roc_curve`.

    >>> out_of_scope_auc(np.array([0.1, 0.6, 0.2]), np.array([False, True, True]))
    1.0
    """
    scores = np.asarray(scores, dtype=np.float64)
    if without_token is not None:
        scores = np.where(without_token, np.inf, scores)
    return roc_auc(scores, out_of_scope)

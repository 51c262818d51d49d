"""Calibration: is a text's probability the share of such texts that are right?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError, needing
from textmetric.measures.distances import Distance, centroid_distances
from textmetric.measures.rows import checked_labels
from textmetric.types import Float64, Floats, Integers

BINS = 15
_RANGE = 1e4  # a temperature is within this factor of the spread of the scores


class Reliability(NamedTuple):
    """Confidence and accuracy of rows in bins of rising confidence; all are (bins,).

    Attributes:
        confidence: mean of the largest probabilities.
        accuracy: share of the rows whose most probable class is right.
        rows: how many there are.
    """

    confidence: Float64
    accuracy: Float64
    rows: Integers

    @property
    def error(self) -> float:
        """The expected calibration error; NaN without rows."""
        if not self.rows.sum():
            return float("nan")
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.rows))


def reliability(probabilities: Floats, labels: Integers, bins: int = BINS) -> Reliability:
    """Confidence against accuracy, in bins of equally many rows.

    Args:
        probabilities: (n, C), each row adding up to 1.
        labels: (n,) class ids below C.
        bins: the number of bins, at least 1.

    Returns:
        A row for each bin that has rows. Rows of equal confidence are in one bin, so that their
        order has no say; otherwise bins are of equal size.

    Raises:
        UserError: rows are not probabilities, labels are not class ids, or there is no bin.

    >>> found = reliability(np.array([[0.8, 0.2], [0.9, 0.1]]), np.array([0, 1]), bins=2)
    >>> found.accuracy.tolist(), round(found.error, 3)
    ([1.0, 0.0], 0.55)
    """
    if bins < 1:
        raise UserError(f"bins is {bins}, expected at least 1: {BINS} is usual")
    rows, labels = _checked(probabilities, labels)
    if not len(rows):
        return Reliability(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    confidence = rows.max(axis=1)
    right = rows.argmax(axis=1) == labels
    # A row's bin is that of the first of its equals.
    first = np.searchsorted(np.sort(confidence), confidence)
    _, places, counts = np.unique(
        first * bins // len(rows), return_inverse=True, return_counts=True
    )
    means = [np.bincount(places, weights=values) / counts for values in (confidence, right)]
    return Reliability(means[0], means[1], counts)


def expected_calibration_error(probabilities: Floats, labels: Integers, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy, over bins of equally many rows.

    ``ECE = Σ_b n_b / n · |accuracy_b − confidence_b|``

    (Guo et al. 2017, arXiv 1706.04599; bins of equal mass: Nguyen & O'Connor 2015, Nixon et al.
    2019, arXiv 1904.01685: those of equal width are nearly all empty where confidence is high.)
    It is above 0 by chance, by about √(bins / n), so compare models on the same rows.

    Args, errors: see :func:`reliability`.

    Returns:
        In [0, 1]; NaN without rows.
    """
    return reliability(probabilities, labels, bins).error


def brier_score(probabilities: Floats, labels: Integers) -> float:
    """Mean squared distance of the probabilities to the truth (Brier 1950).

        1/n · Σ_i Σ_c (p_ic − [y_i = c])²

    Args, errors: see :func:`reliability`.

    Returns:
        In [0, 2], 0 for certain and right; NaN without rows. With two classes it is twice
        ``sklearn.metrics.brier_score_loss``.

    >>> round(brier_score(np.array([[0.8, 0.2]]), np.array([0])), 3)
    0.08
    """
    rows, labels = _checked(probabilities, labels)
    if not len(rows):
        return float("nan")
    truth = np.arange(rows.shape[1]) == labels[:, None]
    return float(((rows - truth) ** 2).sum(axis=1).mean())


def negative_log_likelihood(probabilities: Floats, labels: Integers) -> float:
    """Mean of −log p of the right class, in nats.

    Args, errors: see :func:`reliability`.

    Returns:
        At least 0, log C for probabilities that are all equal; infinite if a right class has
        probability 0; NaN without rows.

    >>> negative_log_likelihood(np.array([[0.5, 0.5]]), np.array([0])).__round__(4)
    0.6931
    """
    rows, labels = _checked(probabilities, labels)
    if not len(rows):
        return float("nan")
    right = rows[np.arange(len(rows)), labels]
    with np.errstate(divide="ignore"):
        return float(-np.log(right).mean())


def softmax(scores: Floats, temperature: float = 1.0) -> Float64:
    """Probabilities exp(s / T) / Σ exp(s / T) of each row.

    Args:
        scores: (n, C): logits, or minus distances; −∞ gives probability 0.
        temperature: T above 0; large T makes the probabilities equal.

    Returns:
        (n, C).

    Raises:
        UserError: T is not above 0; a score is NaN or +∞, or those of a row are all −∞.

    >>> softmax(np.array([[0.0, -np.inf]]))
    array([[1., 0.]])
    """
    if not 0 < temperature < np.inf:
        raise UserError(f"the temperature is {temperature}, expected a number above 0: 1 is usual")
    rows = np.asarray(scores, dtype=np.float64)
    largest = rows.max(axis=1, keepdims=True, initial=-np.inf)
    if not np.isfinite(largest).all():
        row = int(np.flatnonzero(~np.isfinite(largest[:, 0]))[0])
        raise UserError(
            f"row {row} of the scores holds NaN or infinity, or only −infinity: pass finite scores"
        )
    powers = np.exp((rows - largest) / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(scores: Floats, labels: Integers) -> float:
    """The temperature with the least negative log-likelihood of held-out rows (Guo et al. 2017).

    If every right class has the largest score, the best T is 0, and one mistake later the loss is
    infinite. So the rows count n times, and once more with every class as the right one, as
    Platt (1999) smooths his targets. The loss is convex in 1 / T: its derivative, the mean score
    expected by the probabilities minus the mean score of the right classes, has one root. Fit T on
    rows that the model was not trained on, and measure on other ones.

    Args:
        scores: (n, C): logits, or minus distances; −∞ for a class that cannot be.
        labels: (n,) class ids below C.

    Returns:
        T above 0, at most 10,000 times the mean spread of a row's scores, which it is if they are
        no better than chance. It is 1 if there is nothing to choose by: no rows, or equal scores.

    Raises:
        UserError: see :func:`softmax`; labels are not class ids; a right class has the score −∞.

    >>> scores = np.array([[2.0, 0.0]] * 4)
    >>> temperature = fit_temperature(scores, np.array([0, 0, 0, 1]))
    >>> softmax(scores, temperature)[0].round(3)
    array([0.7, 0.3])
    """
    with needing("fit_temperature", "train"):
        from scipy.optimize import brentq  # slow to import

    rows = np.asarray(scores, dtype=np.float64)
    labels = checked_labels(labels, len(rows), rows.shape[1])
    if not len(rows):
        return 1.0
    softmax(rows)  # raises for what has no probabilities
    right = rows[np.arange(len(rows)), labels]
    if not np.isfinite(right).all():
        row = int(np.flatnonzero(~np.isfinite(right))[0])
        raise UserError(
            f"row {row} has the label {labels[row]}, whose score is −infinity: leave out rows of "
            "classes that were not trained on"
        )
    possible = np.isfinite(rows)
    finite = np.where(possible, rows, 0.0)
    least = np.where(possible, rows, np.inf).min(axis=1)
    spread = float((rows.max(axis=1) - least).mean())
    target = (len(rows) * right + finite.sum(axis=1) / possible.sum(axis=1)) / (len(rows) + 1)
    if spread == 0:
        return 1.0

    def excess(log_temperature: float) -> float:
        expected = (softmax(rows, np.exp(log_temperature)) * finite).sum(axis=1)
        return float((expected - target).mean())

    low, high = np.log(spread / _RANGE), np.log(spread * _RANGE)
    if excess(high) >= 0:
        return float(np.exp(high))
    return float(np.exp(brentq(excess, low, high, xtol=1e-10)))


def centroid_probabilities(
    centroids: Floats, embeddings: Floats, temperature: float, distance: Distance = "cosine"
) -> Float64:
    """Probabilities of a model without a head: softmax of −distance to the class centroids.

    Args:
        centroids: (C, d) of :func:`textmetric.measures.class_centroids`; NaN for an absent class.
        embeddings: (n, d).
        temperature: of :func:`fit_temperature` on ``-centroid_distances(…)`` of held-out rows.
        distance: ``cosine`` or ``euclidean``.

    Returns:
        (n, C); 0 for an absent class.

    Raises:
        UserError: see :func:`.centroid_distances` and :func:`softmax`.
    """
    return softmax(-centroid_distances(centroids, embeddings, distance), temperature)


def _checked(probabilities: Floats, labels: Integers) -> tuple[Float64, Integers]:
    rows = np.asarray(probabilities, dtype=np.float64)
    if rows.ndim != 2:
        raise UserError(
            f"probabilities have shape {rows.shape}, expected (rows, classes): pass a matrix"
        )
    wrong = ~((rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) <= 1e-3))
    if wrong.any():
        raise UserError(
            f"row {int(wrong.argmax())} of the probabilities has a value below 0 or NaN, or does "
            "not add up to 1: pass probabilities, such as softmax(logits)"
        )
    return rows, checked_labels(labels, len(rows), rows.shape[1])

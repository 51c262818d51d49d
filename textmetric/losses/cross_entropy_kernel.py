"""The compiled twin of :class:`textmetric.losses.cross_entropy.CrossEntropy`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from textmetric.losses.objective import Floats
from textmetric.parallel import compiled


@compiled
def cross_entropy(
    embeddings: Floats,
    labels: npt.NDArray[np.int64],
    weight: Floats,
    bias: Floats,
    gradient: Floats,
    weight_gradient: Floats,
    bias_gradient: Floats,
) -> float:
    """Mean cross-entropy of a linear head, and its gradients.

    The plain loop over the rows b: ``scores = weight @ e + bias``, the loss
    ``log Σ exp(scores) − scores[y]`` and its slope by the scores, ``softmax(scores) − (c == y)``.
    The largest score is taken off first, so that nothing overflows.

    Args:
        embeddings: (B, d).
        labels: (B,) in 0 … C − 1.
        weight: (C, d) of the head.
        bias: (C,) of the head.
        gradient: (B, d) to be filled: of the loss by the embeddings.
        weight_gradient: (C, d) to be filled.
        bias_gradient: (C,) to be filled.

    Returns:
        The loss.

    Raises:
        IndexError: a label that is no class.
    """
    rows, width = embeddings.shape
    classes = len(bias)
    scores = np.empty(classes, embeddings.dtype)
    gradient[:] = 0
    weight_gradient[:] = 0
    bias_gradient[:] = 0
    loss = 0.0
    for b in range(rows):
        largest = -np.inf
        for c in range(classes):
            score = bias[c]
            for k in range(width):
                score += weight[c, k] * embeddings[b, k]
            scores[c] = score
            largest = max(largest, score)
        if not 0 <= labels[b] < classes:
            raise IndexError("a label is outside the classes of the head")
        label_score = scores[labels[b]] - largest
        total = 0.0
        for c in range(classes):
            # exp in the precision of the scores, the sum in double
            scores[c] = math.exp(scores[c] - embeddings.dtype.type(largest))
            total += scores[c]
        loss += math.log(total) - label_score
        for c in range(classes):
            slope = embeddings.dtype.type((scores[c] / total - (c == labels[b])) / rows)
            bias_gradient[c] += slope
            for k in range(width):
                weight_gradient[c, k] += slope * embeddings[b, k]
            for k in range(width):
                gradient[b, k] += slope * weight[c, k]
    return float(loss / rows)

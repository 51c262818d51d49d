"""Cohesion: how similar the rows of one class are."""

from __future__ import annotations

from textmetric.measures.class_sums import ClassSums
from textmetric.types import Float64, Floats, Integers


def cohesion(embeddings: Floats, labels: Integers, classes: int) -> Float64:
    """Mean cosine between two different rows of a class, for every class.

    The plain loop is the mean of ``u_i · u_j`` over all pairs i ≠ j of the class. As
    ``‖Σu‖² = Σ_i ‖u_i‖² + Σ_{i≠j} u_i·u_j``, it equals

        (‖Σu‖² − Σ‖u‖²) / (n (n − 1)),

    exact in O(n·d), with Σ‖u‖² = n except for zero rows. It approaches 1 as a class shrinks to a
    point, even if *all* classes shrink to the same point: read it with ``between_class_cosine``.

    Args:
        embeddings: (n, d) float32.
        labels: (n,) class ids from 0.
        classes: C, the number of classes; one may be absent.

    Returns:
        (C,) in [−1, 1]; NaN for a class with fewer than two rows.

    Raises:
        UserError: see ``unit``; a label is not a class id.

    >>> import numpy as np
    >>> cohesion(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
    ...          np.array([0, 0, 1, 1]), 3).round(3)
    array([1.   , 0.707,   nan])
    """
    return ClassSums.of(embeddings, labels, classes).cohesion()

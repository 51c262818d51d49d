"""Learn a space in which corrected clusters are compact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from textmetric.errors import needing
from textmetric.measures.rows import unit
from textmetric.reclustering.corrections import NONE, Constraints
from textmetric.types import Float32, Float64, Floats

if TYPE_CHECKING:
    from textmetric.embedder import TextEmbedder

with needing("clusters that learn", "train"):
    from threadpoolctl import threadpool_limits

WIDTH = 128
"""Principal components of the vectors that are kept."""
RATES: dict[str, float] = {"sup_con": 0.03}
"""Objectives → their learning rate; others choose theirs by cross-validation, which takes longer.

From .01 to .1 the clusters are about as good as with a choice, with few corrections and many.
"""
FEWEST = 12
"""With fewer corrected rows no space is trained."""


def principal(vectors: Floats, width: int = WIDTH) -> Float64:
    """Unit rows (n, d) on their first principal components, at most ``width`` of them.

    The mean is not subtracted. What is left out is the least that could be.
    """
    rows = unit(vectors)
    if rows.shape[1] <= width:
        return rows
    with threadpool_limits(1):
        _, directions = np.linalg.eigh(rows.T @ rows)
        return np.asarray(rows @ directions[:, ::-1][:, :width])


def trained(
    rows: Float32,
    constraints: Constraints,
    objective: str,
    *,
    lr: float | None = None,
    before: TextEmbedder | None = None,
    seed: int = 0,
) -> TextEmbedder | None:
    """A linear projection of the rows, trained on the corrected ones by an objective.

    Args:
        rows: (n, d) vectors.
        constraints: of the rows. Clusters with two corrected rows or more are classes.
        objective: its name, see docs/objectives.md.
        lr: learning rate; None for that of the last turn, or of :data:`RATES`.
        before: of the last turn, whose projection the training goes on from.
        seed: of the training.

    Returns:
        None if the corrections say too little: there are fewer than two classes or than
        :data:`FEWEST` rows of them, or more old clusters without a corrected row than classes, of
        which the space would know nothing.
    """
    fixed, old = constraints.fixed, constraints.clusters
    counts = np.bincount(fixed[fixed != NONE], minlength=len(constraints.names))
    chosen = np.flatnonzero((fixed != NONE) & (counts[fixed] > 1))
    classes = int((counts > 1).sum())
    untouched = np.setdiff1d(old[old != NONE], old[fixed != NONE])
    if classes < max(2, len(untouched)) or len(chosen) < FEWEST:
        return None
    from textmetric.embedder import TextEmbedder  # with torch, slow to import

    last = None if before is None else before.lr_
    usual: float | Literal["auto"] = RATES.get(objective, "auto")
    embedder = TextEmbedder(
        objective,
        encoder="frozen",
        layer="linear",
        dim=min(rows.shape[1], WIDTH),
        calibrate=False,
        warm_start=before is not None,
        pretrain=None,
        lr=lr or last or usual,
        seed=seed,
    )
    if before is not None:
        embedder.model_ = before.model_
        embedder.lr_ = before.lr_
    names: npt.NDArray[np.str_] = np.array(constraints.names)
    return embedder.fit(rows[chosen], names[fixed[chosen]].tolist())

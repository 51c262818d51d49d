"""Learn a space in which corrected clusters are compact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

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
    inputs: Float32 | Sequence[str],
    constraints: Constraints,
    objective: str,
    *,
    vectors: str | None = None,
    lr: float | None = None,
    before: TextEmbedder | None = None,
    seed: int = 0,
) -> TextEmbedder | None:
    """What embeds n rows or texts, trained on the corrected ones by an objective.

    Args:
        inputs: (n, d) vectors, of which a linear projection is trained; or n texts, of which token
            vectors are.
        constraints: of them. Clusters with two corrected rows or more are classes.
        objective: its name, see docs/objectives.md.
        vectors: what token vectors start from, see :class:`.TextEmbedder`.
        lr: learning rate; None for that of the last turn, or of :data:`RATES`.
        before: of the last turn, which the training goes on from.
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

    settings: dict[str, Any]
    given: Float32 | list[str]
    usual: float | Literal["auto"] = "auto"
    if isinstance(inputs, np.ndarray):
        settings = {"encoder": "frozen", "layer": "linear", "dim": min(inputs.shape[1], WIDTH)}
        given, usual = inputs[chosen], RATES.get(objective, usual)
    else:
        settings = {"vectors": vectors}
        given = [inputs[row] for row in chosen.tolist()]
    if before is not None and before.encoder != settings.get("encoder", "bag"):
        before = None  # the last turn trained something else
    embedder = TextEmbedder(
        objective,
        calibrate=False,
        warm_start=before is not None,
        pretrain=None,
        lr=lr or (usual if before is None else before.lr_),
        seed=seed,
        **settings,
    )
    if before is not None:
        embedder.model_ = before.model_
        embedder.lr_ = before.lr_
    names: npt.NDArray[np.str_] = np.array(constraints.names)
    return embedder.fit(given, names[fixed[chosen]].tolist())


def embedded(model: TextEmbedder, rows: Floats, texts: Sequence[str]) -> Float64:
    """What is clustered (n, d) where a model was trained on rows (n, d), or on their texts."""
    inputs = texts if model.encoder == "bag" else rows.astype(np.float32)
    found = principal(model.transform(inputs), rows.shape[1])
    return np.pad(found, ((0, 0), (0, rows.shape[1] - found.shape[1])))

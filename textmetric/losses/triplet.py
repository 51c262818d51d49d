"""The triplet loss with in-batch mining."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from textmetric.losses.distances import Distance, mean_of_pairs, pairwise, unit
from textmetric.losses.mining import MINERS, Miner, pair_masks
from textmetric.losses.objective import Floats, Gradients, Objective, Parameters

MOST_DRAWS = 2**18
"""How many random numbers are held at once: those of one batch, or 1 MiB of them."""


class TripletParameters(Parameters):
    """Parameters of the triplet loss.

    Attributes:
        margin: How much farther than the positive a negative has to be, in units of
            ``distance``; at least 0.
        miner: Which triplets of the batch count (textmetric/losses/mining.py).
        distance: ``euclidean``, ``squared_euclidean`` or ``cosine``.
        reduction: ``mean`` over the mined triplets, or ``active_mean`` over those with non-zero
            loss: that value need not fall while training goes well, read ``active_fraction``
            beside it.
        normalize: Put the embeddings on the unit sphere first, as FaceNet does.
    """

    margin: float = Field(default=0.2, ge=0)
    miner: Miner = "semi_hard"
    distance: Distance = "euclidean"
    reduction: Literal["mean", "active_mean"] = "mean"
    normalize: bool = False


class Triplet(Objective):
    """``max(0, D(a,p) − D(a,n) + m)``, averaged over the mined triplets of the batch.

    Anchor a and positive p are different rows of one class, the negative n is a row of another
    class. The hinge is FaceNet's (Schroff et al. 2015, arXiv 1503.03832); the triplet network of
    Hoffer & Ailon 2014 (arXiv 1412.6622) compares the same two distances by a softmax.

    The batch must hold two classes, one of them with two rows, else the loss is 0. Deviations
    from FaceNet, whose margin is 0.2 on squared distances of unit vectors: ours takes plain
    distances of the embeddings as they are (``distance: squared_euclidean, normalize: true`` is
    FaceNet's), and a pair without a semi-hard negative falls back to a random one.

    ``log`` holds ``active_fraction`` (share of the mined triplets with non-zero loss),
    ``triplets`` (how many were mined), ``mined_fraction`` (the share that did not fall back to a
    random negative), and ``positive_distance`` and ``negative_distance``, the mean distance of
    same-class and different-class pairs, in units of ``distance``.
    """

    Params = TripletParameters

    def __init__(self, params: TripletParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        if params.normalize:
            embeddings = unit(embeddings)
        distances = pairwise(embeddings, params.distance)
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            found = MINERS[params.miner](
                distances, positive, negative, params.margin, self.generator
            )
            divisor = found.active if params.reduction == "active_mean" else found.total
            # Without a triplet the slopes are all 0: the loss is 0 and so is its gradient.
            divisor = divisor.clamp_min(1)
            slope = found.slope / divisor
            offset = params.margin * (found.active.to(distances.dtype) / divisor)
            self.log = {
                "active_fraction": found.active / found.total,
                "mined_fraction": found.mined / found.total,
                "triplets": found.total,
                **mean_of_pairs(distances, positive, negative),
            }
        return (slope * distances).sum() + offset

    def loss_and_gradient(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Floats]
    ) -> Gradients:
        """See ``Objective.loss_and_gradient``; a tie goes to the lowest row."""
        from textmetric.losses import triplet_kernel  # compiled: for training

        params, size = self.params, len(embeddings)
        drawn = size if params.miner in ("random", "semi_hard") else 0
        gradient, bits = np.empty_like(embeddings), triplet_kernel.BITS[embeddings.dtype.name]
        found = triplet_kernel.triplet(
            embeddings,
            labels,
            torch.rand(drawn, drawn, generator=self.generator).numpy(),
            np.empty((size, size), bits),
            np.empty((size, size), bits),
            get_args(Miner).index(params.miner),
            get_args(Distance).index(params.distance),
            params.margin,
            params.reduction == "active_mean",
            params.normalize,
            gradient,
        )
        self.log = {
            "active_fraction": found.active / found.total if found.total else math.nan,
            "mined_fraction": found.mined / found.total if found.total else math.nan,
            "triplets": float(found.total),
            "positive_distance": found.positive_distance,
            "negative_distance": found.negative_distance,
        }
        return Gradients(found.loss, gradient, [])

    def of_versions(
        self, versions: Floats, labels: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], Floats]:
        """The losses of several versions of a batch, one after another, and their gradients.

        They are those of :meth:`loss_and_gradient`, its draws too; nothing is logged. Only the
        margin may be another than by default.

        Args:
            versions: (T, B, d).
            labels: (B,), of each of them.

        Returns:
            (T,) and (T, B, d).

        Raises:
            ValueError: another parameter is not at its default.
        """
        from textmetric.losses import triplet_kernel  # compiled: for training

        if self.params != TripletParameters(margin=self.params.margin):
            raise ValueError(
                "several versions of a batch: expected the defaults but for the margin"
            )
        count, size, _ = versions.shape
        losses, gradients = np.empty(count), np.empty_like(versions)
        bits = triplet_kernel.BITS[versions.dtype.name]
        at_once = max(1, MOST_DRAWS // max(size, 1) ** 2)
        for start in range(0, count, at_once):
            part = slice(start, start + at_once)
            triplet_kernel.semi_hard(
                versions[part],
                labels,
                torch.rand(len(losses[part]), size, size, generator=self.generator).numpy(),
                np.empty(size, bits),
                np.empty(size, bits),
                self.params.margin,
                losses[part],
                gradients[part],
            )
        return losses, gradients

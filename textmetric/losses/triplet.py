"""The triplet loss with in-batch mining."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from textmetric.losses.distances import Distance, mean_of_pairs, pairwise, unit
from textmetric.losses.mining import MINERS, Miner, pair_masks
from textmetric.losses.objective import Floats, Gradients, Objective, parameter
from textmetric.sampling.streams import Stream, seed_of
from textmetric.schema import Section


class TripletParameters(Section):
    """Parameters of the triplet loss."""

    margin: float = parameter(
        0.2,
        "how much farther than the positive a negative has to be, in units of ``distance``",
        paper="0.2 (FaceNet, squared distances of unit vectors)",
        ge=0,
    )
    miner: Miner = parameter(
        "semi_hard", "which triplets of the batch count, see below", paper="``semi_hard`` (FaceNet)"
    )
    distance: Distance = parameter(
        "euclidean",
        "``euclidean``, ``squared_euclidean``, or ``cosine``: 1 − cos",
        paper="``squared_euclidean`` (FaceNet), ``euclidean`` (Hermans et al.)",
    )
    reduction: Literal["mean", "active_mean"] = parameter(
        "mean",
        "``mean`` over the mined triplets, or ``active_mean`` over those with non-zero loss, whose "
        "value need not fall while training goes well",
    )
    normalize: bool = parameter(
        False, "unit vectors first; the margin then has a fixed scale", paper="``true`` (FaceNet)"
    )


class Triplet(Objective):
    """``max(0, D(a,p) − D(a,n) + m)``, averaged over the mined triplets of the batch.

    Anchor a and positive p are different rows of one class, the negative n is a row of another
    class. The hinge is FaceNet's (Schroff et al. 2015, arXiv 1503.03832); the triplet network of
    Hoffer & Ailon 2014 (arXiv 1412.6622) compares the same two distances by a softmax.

    Batch: two classes, one of them with two rows; otherwise the loss is 0.

    Deviations: FaceNet takes squared distances of unit vectors, we take plain distances of the
    embeddings as they are (``distance: squared_euclidean, normalize: true`` is FaceNet's). A pair
    without a semi-hard negative takes a random one.

    Log: ``active_fraction`` (share of the mined triplets with non-zero loss), ``triplets`` (how
    many were mined), ``mined_fraction`` (share that did not fall back to a random negative),
    ``positive_distance`` and ``negative_distance``, in units of ``distance``.
    """

    Params = TripletParameters
    params: TripletParameters

    def __init__(self, params: TripletParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.generator = torch.Generator().manual_seed(seed_of(seed, Stream.OBJECTIVE))

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

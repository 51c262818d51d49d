"""The prototypical loss: rows of a class against the mean of a few others of it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from textmetric.losses.distances import mean_distances, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.sampling.batches import BatchSampler
from textmetric.schema import Section


class PrototypicalParameters(Section):
    """Parameters of the prototypical loss."""

    support: int = parameter(
        5,
        "rows whose mean is a class's prototype; a class with fewer than twice as many rows in the "
        "batch gives half of them, rounded down",
        paper="1 or 5",
        ge=1,
    )
    normalize: bool = parameter(False, "unit vectors first", paper="``false``")
    scale: float = parameter(
        1.0,
        "s, which multiplies squared distances; take about 10 with ``normalize``, since unit "
        "vectors are at most 4 apart",
        paper="1",
        gt=0,
    )


class Prototypical(Objective):
    """``−log softmax_c(−s · ‖e_q − p_c‖²)[y_q]``, averaged over the queries of an episode.

    An episode is a batch of N classes with S support and Q query rows each; ``p_c`` is the mean of
    the support rows of class c. Snell, Swersky & Zemel, NIPS 2017 (arXiv 1703.05175); s = 1 and
    embeddings that are not normalised, as in the paper. Gradients flow through the prototypes.

    The objective brings its own batches, of as many rows and steps as every other's: those of the
    ``balanced`` sampler, N = min(C, ⌊B / 4⌋) classes with B / N rows each, of which the first S are
    the support: 4 × (5 + 11) at B = 64 with 4 classes, 16 × (2 + 2) with 219. A class with fewer
    rows than its share is drawn with repetition, but no row is both support and query. A class
    with one row cannot be a query to itself. It is left out, unless fewer than two classes remain.

    Batch: two classes, one of them with two rows; otherwise the loss is 0. In a batch from another
    source the first S rows of each class are its support, with S at most half of the class's rows;
    the row of a class that has one is a prototype without queries.

    Deviations: the paper draws an episode's classes independently, here they are dealt so that all
    come equally often.

    Log: ``accuracy`` (share of the queries with their own prototype the nearest),
    ``active_fraction`` (share whose other prototypes together outweigh their own, that is with a
    loss above log 2: the loss itself is never quite 0), ``positive_distance`` and
    ``negative_distance``.
    """

    Params = PrototypicalParameters
    params: PrototypicalParameters

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        if self.params.normalize:
            embeddings = unit(embeddings)
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            earlier = positive.tril().sum(1)
            size = positive.sum(1) + 1
            supports = (size // 2).clamp(1, self.params.support)
            support = earlier < supports
            query = ~support & negative.any(1)
            count = query.sum()
            # A prototype is in the column of the first row of its class.
            first = earlier == 0
            own = (
                positive | torch.eye(len(labels), dtype=torch.bool, device=labels.device)
            ) & first
            chosen = (positive & support) | torch.diag(support)
            weights = chosen.to(embeddings.dtype) / supports.unsqueeze(1)
        prototypes = weights @ embeddings
        logits = -self.params.scale * _squared(embeddings, prototypes)
        # Far below every logit, yet finite: −inf would give 0 · inf.
        outside = torch.finfo(logits.dtype).min / 4
        logits = logits.masked_fill(~first, outside)
        target = own.int().argmax(1)
        losses = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        with torch.no_grad():
            self.log = {
                "accuracy": ((logits.argmax(1) == target) & query).sum() / count,
                "active_fraction": ((losses > math.log(2)) & query).sum() / count,
                **mean_distances(embeddings, labels),
            }
        return (losses * query).sum() / count.clamp_min(1)

    def batches(self, labels: npt.NDArray[np.int32], batch_size: int, seed: int) -> Episodes:
        """See ``Objective.batches``."""
        return Episodes(labels, batch_size, seed, self.params.support)


class Episodes:
    """Balanced batches in which no row of a class is both support and query.

    Args:
        labels: (n,) class of every row.
        batch_size: B.
        seed: of the batches.
        support: as in ``PrototypicalParameters``.
    """

    def __init__(
        self, labels: npt.NDArray[np.int32], batch_size: int, seed: int, support: int
    ) -> None:
        self.support = support
        self._labels = np.asarray(labels)
        steps = BatchSampler("balanced", self._labels, batch_size, seed).steps
        sizes = np.bincount(self._labels)
        self._rows = np.arange(len(self._labels))
        if (sizes > 1).sum() > 1:
            self._rows = np.flatnonzero(sizes[self._labels] > 1)
        self._sampler = BatchSampler(
            "balanced", self._labels[self._rows], batch_size, seed, steps=steps
        )

    def epoch(self) -> Iterator[npt.NDArray[np.int64]]:
        """See :class:`textmetric.losses.objective.Batches`."""
        for batch in self._sampler.epoch():
            rows = self._rows[batch]
            # The sampler gives the rows of a class one after another.
            starts = np.flatnonzero(np.diff(self._labels[rows], prepend=-1))
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
                rows[start:stop] = self._episode(rows[start:stop])
            yield rows

    def _episode(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of one class, support first."""
        different = np.unique(rows)
        if len(different) == len(rows) or len(different) == 1:
            return rows
        # Few rows: as large a part of them is the support as of the places.
        places = max(1, min(self.support, len(rows) // 2))
        _, order = np.unique(rows, return_index=True)
        different = rows[np.sort(order)]  # in the order of the deal
        cut = min(max(1, round(len(different) * places / len(rows))), len(different) - 1)
        return np.concatenate(
            [
                np.resize(different[:cut], places),
                np.resize(different[cut:], len(rows) - places),
            ]
        )


def _squared(rows: Tensor, prototypes: Tensor) -> Tensor:
    """(B, P) squared distances of ``rows`` (B, d) to ``prototypes`` (P, d)."""
    lengths = torch.cdist(rows, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
    return lengths.square()

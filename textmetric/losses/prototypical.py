"""The prototypical loss: some rows of a class against the mean of other rows of that class."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from textmetric.losses.distances import euclidean, mean_distances, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.sampling.batches import BatchSampler
from textmetric.schema import Section


class PrototypicalParameters(Section):
    """Parameters of the prototypical loss."""

    support: int = parameter(
        5,
        "S, the number of rows whose mean is the prototype of a class; a class with fewer than 2 S "
        "rows in the batch uses half of them, rounded down",
        paper="1 or 5",
        ge=1,
    )
    normalize: bool = parameter(False, "unit vectors first", paper="``false``")
    scale: float = parameter(
        1.0,
        "s, which multiplies squared distances; use about 10 with ``normalize``, because squared "
        "distances of unit vectors are at most 4",
        paper="1",
        gt=0,
    )


class Prototypical(Objective):
    """``−log softmax_c(−s · ‖e_q − p_c‖²)[y_q]``, averaged over the queries of an episode.

    An episode is a batch of N classes with S support and Q query rows each; ``p_c`` is the mean of
    the support rows of class c. Gradients flow through the prototypes. Snell, Swersky & Zemel,
    "Prototypical Networks for Few-shot Learning", NIPS 2017 (arXiv 1703.05175).

    The objective makes its own batches, with the same number of rows and steps as a sampler's:
    those of the ``balanced`` sampler, N = min(C, ⌊B / 4⌋) classes with B / N rows each. The first S
    of these are the support: 4 × (5 + 11) at B = 64 with 4 classes, 16 × (2 + 2) with 219. A class
    with fewer rows than its share is drawn with repetition, but no row is both support and query.
    A class with one row cannot have a query, so it is left out, unless fewer than two classes
    remain.

    Batch: two classes, one of them with two rows; otherwise the loss is 0. In a batch from another
    source the first S rows of each class are its support, with S at most half of the class's rows;
    the only row of a class is a prototype without queries.

    Deviations: the paper draws the classes of an episode independently; here every class comes
    equally often.

    Log: ``accuracy`` (share of the queries whose nearest prototype is their own),
    ``active_fraction`` (share of the queries whose other prototypes together outweigh their own,
    that is, with a loss above log 2; the loss itself is never quite 0), ``positive_distance`` and
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
        logits = -self.params.scale * euclidean(embeddings, prototypes).square()
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
        seed: of the training.
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
        # Few rows: the support gets the same share of the rows as of the places.
        places = max(1, min(self.support, len(rows) // 2))
        _, order = np.unique(rows, return_index=True)
        different = rows[np.sort(order)]  # in the order in which they were drawn
        cut = min(max(1, round(len(different) * places / len(rows))), len(different) - 1)
        return np.concatenate(
            [
                np.resize(different[:cut], places),
                np.resize(different[cut:], len(rows) - places),
            ]
        )

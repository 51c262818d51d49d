"""The quadruplet losses: a same-class distance against one between two other rows."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch

from textmetric.losses.distances import Distance, mean_of_pairs, pairwise, unit
from textmetric.losses.mining import Matrix, pair_masks, sort_keys, sum_of_hinges
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class QuadrupletParameters(Section):
    """Parameters of the quadruplet losses."""

    form: Literal["chen", "law"] = parameter("chen", "which of the two losses")
    distance: Distance = parameter(
        "squared_euclidean",
        "``euclidean``, ``squared_euclidean``, or ``cosine``: 1 − cos",
        paper="``squared_euclidean``",
    )
    margin: float = parameter(
        1.0,
        "a1 of ``chen``, δ of ``law``, in units of ``distance``",
        paper="fixed or adapted to the batch (``chen``)",
        ge=0,
    )
    second_margin: float = parameter(
        0.5, "a2 of ``chen``; ``law`` has none", paper="below a1", ge=0
    )
    reduction: Literal["mean", "active_mean"] = parameter(
        "mean",
        "mean over all quadruplets; ``active_mean``: each hinge over the quadruplets for which it "
        "is not zero. That value may stay constant while training goes well: read "
        "``active_fraction`` too.",
    )
    normalize: bool = parameter(False, "unit vectors first")


class Hinges(NamedTuple):
    """A sum of hinges ``[D(i,j) − D(k,l) + m]₊`` that share one margin.

    Attributes:
        slope: (B, B) int64, the gradient of the sum with respect to the distances.
        active: how many hinges are not zero; the sum is ``(slope · D).sum() + m · active``.
        total: how many hinges there are.
    """

    slope: Matrix
    active: int
    total: int


class Quadruplet(Objective):
    """A same-class distance against that of two other rows, over all quadruplets of the batch.

    ``form: chen`` is ``[D(i,j) − D(i,k) + a1]₊ + [D(i,j) − D(l,k) + a2]₊`` with i ≠ j of one
    class and i, k, l of three different classes; D is ``distance``. The second hinge compares
    with a pair that does not contain the anchor, and is the weaker one. Chen, Chen, Zhang &
    Huang, "Beyond triplet loss: a deep quadruplet network for person re-identification", CVPR
    2017 (arXiv 1704.01719). A version that lets k and l be of one class pushes rows of one class
    apart.

    ``form: law`` is ``[D(i,j) − D(k,l) + δ]₊`` with i ≠ j of one class and k, l of two classes,
    whether or not they share a row or a class with i and j. Law, Thome & Cord, "Learning a
    distance metric from relative comparisons between quadruplets of images", IJCV 121, 2017 (doi
    10.1007/s11263-016-0923-4), which extends their "Quadruplet-wise image similarity learning",
    ICCV 2013. Their quadruplets come from relations between classes; the relation that plain
    labels give is that same-class pairs should be nearer than others.

    Batch: three classes for ``chen`` and two for ``law``, one of them with two rows; otherwise
    the loss is 0.

    Deviations: the papers draw or mine quadruplets, with margins that ``chen`` adapts to the
    batch. We take all of them with fixed margins: 1.5 million for ``chen`` in a batch of 4
    classes × 16 rows, 100 billion in one of 4 × 256. They are not listed but counted, by sorting,
    in O(B² log B) time and O(B²) memory; the result is exact.

    Log: ``active_fraction`` (share of the hinges that are not zero), ``quadruplets`` (their
    number), ``positive_distance`` and ``negative_distance``, in units of ``distance``.
    """

    Params = QuadrupletParameters
    params: QuadrupletParameters

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        if params.normalize:
            embeddings = unit(embeddings)
        distances = pairwise(embeddings, params.distance)
        masks = pair_masks(labels)
        # numpy: a dozen small operations and sorts that take several times as long in torch.
        d, y, positive, negative = (x.numpy(force=True) for x in (distances, labels, *masks))
        if params.form == "chen":
            terms = [
                (params.margin, _against_own_negatives(d, y, positive, negative, params.margin)),
                (
                    params.second_margin,
                    _against_foreign_pairs(d, y, positive, negative, params.second_margin),
                ),
            ]
        else:
            terms = [(params.margin, _against_all_pairs(d, positive, negative, params.margin))]
        slope, offset = np.zeros(d.shape), 0.0
        for margin, hinges in terms:
            # Without a quadruplet the slopes are all 0: the loss is 0 and so is its gradient.
            divisor = max(hinges.active if params.reduction == "active_mean" else hinges.total, 1)
            slope += hinges.slope / divisor
            offset += margin * (hinges.active / divisor)
        with torch.no_grad():
            total = torch.tensor(sum(hinges.total for _, hinges in terms))
            self.log = {
                "active_fraction": torch.tensor(sum(hinges.active for _, hinges in terms)) / total,
                "quadruplets": total // len(terms),
                **mean_of_pairs(distances, *masks),
            }
        return (torch.from_numpy(slope).to(distances) * distances).sum() + offset


def _against_own_negatives(
    d: Matrix, labels: Matrix, positive: Matrix, negative: Matrix, margin: float
) -> Hinges:
    """``[d(i,j) − d(i,k) + m]₊`` for i, j of one class, k of another, and l of a third.

    The hinge does not depend on l, so each counts once for every row of a class other than those
    of i and k.

    Args:
        d: (B, B) floating point, distances.
        labels: (B,) int64.
        positive: (B, B) bool, same-class pairs.
        negative: (B, B) bool, different-class pairs.
        margin: m, at least 0.
    """
    rows = np.bincount(labels)[labels]
    thirds = negative * (len(labels) - rows[:, None] - rows)
    slope, active = sum_of_hinges(d, positive, thirds, margin)
    return Hinges(slope, active, int(((rows - 1) * thirds.sum(1)).sum()))


def _against_all_pairs(d: Matrix, positive: Matrix, negative: Matrix, margin: float) -> Hinges:
    """``[d(i,j) − d(k,l) + m]₊`` for i, j of one class and k, l of two; see above."""
    row, pulled, pushed = (matrix.reshape(1, -1) for matrix in (d, positive, negative))
    slope, active = sum_of_hinges(row, pulled, pushed, margin)
    return Hinges(slope.reshape(d.shape), active, int(positive.sum() * negative.sum()))


def _against_foreign_pairs(
    d: Matrix, labels: Matrix, positive: Matrix, negative: Matrix, margin: float
) -> Hinges:
    """``[d(i,j) − d(k,l) + m]₊`` for i, j of one class and k, l of two others; see above.

    Counts all different-class pairs, then subtracts those that touch the class of i. Such a pair,
    ordered with the row of that class first, is in the rows of d that belong to that class. So
    the pairs to subtract are counted within each class's rows, sorted; once for (k, l) and once
    for (l, k).
    """
    counts = np.bincount(labels)
    order = np.argsort(sort_keys(d, positive, margin), axis=None)
    pulled, pushed = positive.ravel()[order], negative.ravel()[order]
    # The same order, class by class. Small integers are sorted by radix.
    group = labels.astype(np.min_scalar_type(len(counts)))[order // len(labels)]
    within = np.argsort(group, kind="stable")
    group, own = group[within], order[within]
    own_pulled, own_pushed = pulled[within], pushed[within]
    pulls, pushes = counts * (counts - 1), counts * (len(labels) - counts)
    before = own_pushed.cumsum() - (pushes.cumsum() - pushes)[group]
    after = pulls.cumsum()[group] - own_pulled.cumsum()
    slope, touching = np.empty(d.shape, np.int64), np.empty(d.shape, np.int64)
    slope.ravel()[order] = pushed.cumsum() * pulled - (pulls.sum() - pulled.cumsum()) * pushed
    touching.ravel()[own] = after * own_pushed - before * own_pulled
    # Symmetric: for a negative pair the counts of both its classes are subtracted, for a positive
    # pair the pairs in both orders.
    slope += touching + touching.T
    total = int((pulls * (pushes.sum() - 2 * pushes)).sum())
    return Hinges(slope, int((slope * positive).sum()), total)

"""The quadruplet losses: a same-class distance against one between two other rows."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, Parameters

Matrix = npt.NDArray[Any]


class QuadrupletParameters(Parameters):
    """Parameters of the quadruplet losses.

    Attributes:
        form: ``chen`` or ``law``.
        margin: a1 of ``chen`` (squared distances), δ of ``law`` (distances); at least 0.
        second_margin: a2 of ``chen``; at least 0. ``law`` has none.
        reduction: ``mean`` over all quadruplets, or ``active_mean``: each hinge over the
            quadruplets for which it is not zero; that value need not fall while training goes
            well, read ``active_fraction`` beside it.
        normalize: Put the embeddings on the unit sphere first.
    """

    form: Literal["chen", "law"] = "chen"
    margin: float = Field(default=1.0, ge=0)
    second_margin: float = Field(default=0.5, ge=0)
    reduction: Literal["mean", "active_mean"] = "mean"
    normalize: bool = False


class Hinges(NamedTuple):
    """A sum of hinges ``[D(i,j) − D(k,l) + m]₊`` that shared one margin.

    Attributes:
        slope: (B, B) int64, the gradient of the sum by the distances.
        active: how many hinges are not zero; the sum is ``(slope · D).sum() + m · active``.
        total: how many hinges there are.
    """

    slope: Matrix
    active: int
    total: int


class Quadruplet(Objective):
    """A same-class distance against that of two other rows, over all quadruplets of the batch.

    ``chen``: ``[D²(i,j) − D²(i,k) + a1]₊ + [D²(i,j) − D²(l,k) + a2]₊`` with i ≠ j of one class and
    i, k, l of three different classes. Chen, Chen, Zhang & Huang, CVPR 2017 (arXiv 1704.01719).
    The second hinge compares with a pair that the anchor has no part in, and is the weaker one:
    a1 = 1, a2 = 0.5. A version of it that lets k and l be of one class pushes rows of one class
    apart.

    ``law``: ``[D(i,j) − D(k,l) + δ]₊`` with i ≠ j of one class and k, l of two classes, whether or
    not they share a row or a class with i and j; D is the Euclidean distance, δ = 1. Law, Thome &
    Cord, ICCV 2013 ("Quadruplet-wise"), whose quadruplets come from relations between classes;
    that same-class pairs should be nearer than others is the relation that plain labels give.

    Deviations: the papers draw or mine quadruplets, with margins that ``chen`` adapts to the
    batch; ours takes all of them (16 million in a batch of 64) with fixed margins. They are not
    listed but counted, by sorting, in O(B² log B) time and O(B²) memory; the result is exact.

    The batch must hold three classes for ``chen`` and two for ``law``, one of them with two rows,
    else the loss is 0.

    Neighbours: ``triplet`` with ``all`` and ``squared_euclidean`` is the first hinge of ``chen``
    when the classes have equally many rows (else a triplet counts once for each l); ``law`` asks
    one threshold of distance to hold for all classes at once.

    ``log`` holds ``active_fraction`` (share of the hinges that are not zero), ``quadruplets`` (how
    many there are), and ``positive_distance`` and ``negative_distance``, the mean distance of
    same-class and different-class pairs, squared for ``chen``.
    """

    Params = QuadrupletParameters

    def __init__(
        self, params: QuadrupletParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        params = self.params
        if params.normalize:
            embeddings = unit(embeddings)
        chen = params.form == "chen"
        distances = pairwise(embeddings, "squared_euclidean" if chen else "euclidean")
        # numpy: a dozen small operations and sorts that cost several times as much in torch.
        d, y = distances.numpy(force=True), labels.numpy(force=True)
        terms = [(params.margin, against_all_pairs(d, y, params.margin))]
        if chen:
            terms = [
                (params.margin, against_own_negatives(d, y, params.margin)),
                (params.second_margin, against_foreign_pairs(d, y, params.second_margin)),
            ]
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
                **mean_of_pairs(distances, *pair_masks(labels)),
            }
        return (torch.from_numpy(slope).to(distances) * distances).sum() + offset


def against_own_negatives(d: Matrix, labels: Matrix, margin: float) -> Hinges:
    """``[d(i,j) − d(i,k) + m]₊`` for i, j of one class, k of another, and l of a third.

    The hinge does not depend on l, so that each stands for as many quadruplets as there are rows
    of other classes than those of i and k.

    Args:
        d: (B, B) floating point, distances.
        labels: (B,) int64.
        margin: m, at least 0.
    """
    positive, negative = _pairs(labels)
    rows = np.bincount(labels)[labels]
    thirds = negative * (len(labels) - rows[:, None] - rows)
    # Sorted row by row, as in mining.all_triplets: a negative met before the reach of a positive
    # makes a hinge that is not zero.
    columns = np.argsort(_keys(d, positive, margin), axis=1)
    pulled = np.take_along_axis(positive, columns, 1)
    pushed = np.take_along_axis(thirds, columns, 1)
    met = pushed.cumsum(1) * pulled
    waiting = (rows[:, None] - 1 - pulled.cumsum(1)) * pushed
    slope = np.empty(d.shape, np.int64)
    np.put_along_axis(slope, columns, met - waiting, 1)
    return Hinges(slope, int(met.sum()), int(((rows - 1) * thirds.sum(1)).sum()))


def against_all_pairs(d: Matrix, labels: Matrix, margin: float) -> Hinges:
    """``[d(i,j) − d(k,l) + m]₊`` for i, j of one class and k, l of two; see above."""
    positive, negative = _pairs(labels)
    order = np.argsort(_keys(d, positive, margin), axis=None)
    pulled, pushed = positive.ravel()[order], negative.ravel()[order]
    met = pushed.cumsum() * pulled
    waiting = (positive.sum() - pulled.cumsum()) * pushed
    slope = np.empty(d.shape, np.int64)
    slope.ravel()[order] = met - waiting
    total = int(positive.sum() * negative.sum())
    return Hinges(slope, int(met.sum()), total)


def against_foreign_pairs(d: Matrix, labels: Matrix, margin: float) -> Hinges:
    """``[d(i,j) − d(k,l) + m]₊`` for i, j of one class and k, l of two others; see above.

    Counted as all different-class pairs but those that touch the class of i: such a pair, taken
    in the order with the row of that class first, stands in the rows of d of that class. So the
    pairs to leave out are counted within each class's rows, sorted; once for (k, l) and once
    for (l, k).
    """
    positive, negative = _pairs(labels)
    counts = np.bincount(labels)
    order = np.argsort(_keys(d, positive, margin), axis=None)
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
    # Symmetric: of a negative pair the counts of both its classes come off, of a positive pair
    # the pairs in both orders.
    slope += touching + touching.T
    total = int((pulls * (pushes.sum() - 2 * pushes)).sum())
    return Hinges(slope, int((slope * positive).sum()), total)


def _keys(d: Matrix, positive: Matrix, margin: float) -> Matrix:
    """What to sort: d of negatives, and the reach d + m of positives.

    A negative at exactly the reach gives 0 and does not count: one step down sorts it behind.
    """
    reach = np.nextafter(d + d.dtype.type(margin), d.dtype.type(-np.inf))
    return np.where(positive, reach, d)


def _pairs(labels: Matrix) -> tuple[Matrix, Matrix]:
    """As ``mining.pair_masks``, on arrays."""
    same = labels[:, None] == labels
    negative = ~same
    np.fill_diagonal(same, False)
    return same, negative

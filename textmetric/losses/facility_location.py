"""Facility location ("structured clustering"): the right clustering beats the best wrong one."""

from __future__ import annotations

import torch
from torch import Tensor

from textmetric.losses.distances import mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section

GRID = 2**20  # steps of the search's distances in a unit of length
TIE = 1e-9  # weight of the sum of a row's distances where two medoids are equally good


class FacilityLocationParameters(Section):
    """Parameters of facility location."""

    gamma: float = parameter(
        1.0, "weight of the structured margin 1 − NMI, in units of the summed distance", ge=0
    )
    swaps: int = parameter(
        5, "largest number of sweeps of swaps after the greedy search; 0: none", ge=0
    )


class FacilityLocation(Objective):
    """``[max_{|S|=C} (F(S) + γ (1 − NMI(y, g(S)))) − F*]₊`` on unit vectors.

    C is the number of classes in the batch. S are C of its rows, the medoids, of any
    classes; ``g(S)`` gives every row to its nearest medoid; ``F(S) = −Σ_i min_{s∈S} D(i, s)`` is
    their score, with the Euclidean distance D; ``F* = −Σ_c min_{j∈c} Σ_{i∈c} D(i, j)`` is
    the score of the best medoids of the true classes. Song, Jegelka, Rathod & Murphy, "Deep metric
    learning via facility location", CVPR 2017 (arXiv 1612.01213). The NMI divides by the geometric
    mean of the two entropies.

    The maximum is searched as in the paper. Medoids are added greedily, one by one. Then, in up to
    ``swaps`` sweeps, each medoid is swapped for the best row of its own cluster; the search stops
    early if nothing changes. On batches small enough to try every S the search mostly finds the
    maximum. No gradient flows through the choice of S.

    Batch: two classes, one of them with two rows; otherwise the loss is 0. Use the ``balanced``
    sampler.

    Deviations: a swap is scored by all of ``F(S) + γ(1 − NMI)`` over the current clusters, so that
    no swap makes it worse. The version that was in TensorFlow's contrib package scores the
    distances inside the cluster as it was before the sweep. γ is constant. The loss sums over
    rows, as in the paper: with ``optimizer: sgd`` divide the learning rate by the batch size.

    Log: ``active_fraction`` (1 if the batch had a loss, otherwise 0: the batch is one hinge),
    ``nmi`` (of the clustering found), ``positive_distance`` and ``negative_distance``.
    """

    Params = FacilityLocationParameters
    params: FacilityLocationParameters

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0; sums over rows."""
        distances = pairwise(unit(embeddings))
        names, places = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        same = places == torch.arange(len(names), device=labels.device)[:, None]  # (C, B)
        with torch.no_grad():
            medoid, nmi = _worst_rival(distances, same, self.params.gamma, self.params.swaps)
            nmi = nmi.to(distances.dtype)
        # The best medoid of class c: the least sum of distances to the rows of c.
        within = (distances * same[places]).sum(0)
        oracle = within.expand(same.shape).masked_fill(~same, torch.inf).min(1).values.sum()
        rival = distances.gather(1, medoid[:, None]).sum()
        valid = 1 < len(names) < len(labels)
        loss = torch.relu(oracle - rival + self.params.gamma * (1 - nmi)) * valid
        with torch.no_grad():
            positive, negative = pair_masks(labels)
            nan = torch.full_like(nmi, torch.nan)
            # Two sums of B distances, which are the same ones where the rival is the truth.
            rounding = 8 * len(labels) * torch.finfo(loss.dtype).eps
            self.log = {
                "active_fraction": (loss > rounding).to(nmi.dtype) if valid else nan,
                "nmi": nmi if valid else nan,
                **mean_of_pairs(distances, positive, negative),
            }
        return loss


def _worst_rival(
    distances: Tensor, same: Tensor, gamma: float, swaps: int
) -> tuple[Tensor, Tensor]:
    """The medoid (B,) of each row, and the NMI, of about the largest ``F(S) + γ(1 − NMI)``.

    Args:
        distances: (B, B).
        same: (C, B), whether row i is of class c.
        gamma: γ.
        swaps: sweeps at most.
    """
    classes, rows = same.shape
    # On a grid, so that rounding does not decide who is nearest where two are equally near: a zero
    # row, for one, is 1 away from every unit vector.
    distances = (distances.double() * GRID).round() / GRID
    # A medoid belongs to itself, even if others are in the same point. Each adds 1 to F(S),
    # and there are equally many in all that are compared.
    distances.fill_diagonal_(-1)
    search = _Search(distances, same.to(distances.dtype), gamma)
    chosen = torch.zeros(classes, dtype=torch.int64, device=distances.device)
    taken = torch.zeros(rows, dtype=torch.bool, device=distances.device)
    near, owner = (
        torch.full_like(distances[0], torch.inf),
        torch.zeros_like(same[0], dtype=torch.int64),
    )
    for k in range(classes):
        scores, nmi = search.scores(near, owner, k)
        best = scores.masked_fill(taken, -torch.inf).argmax()
        chosen[k], taken[best] = best, True
        closer = distances[best] < near
        near, owner = torch.minimum(near, distances[best]), owner.masked_fill(closer, k)
        found = nmi[best]
    for _ in range(swaps):
        before = chosen.clone()
        for k in range(classes if classes > 1 else 0):
            reach = distances[chosen]
            old = reach[k].clone()
            reach[k] = torch.inf
            near, owner = reach.min(0)
            scores, nmi = search.scores(near, owner, k)
            best = scores.masked_fill(old >= near, -torch.inf).argmax()
            chosen[k], found = best, nmi[best]
            closer = distances[best] < near
            owner = owner.masked_fill(closer, k)
        if torch.equal(before, chosen):  # a further sweep would do the same again
            break
    return chosen[owner], found


class _Search:
    """Scores every row as the next medoid, all at once.

    Args:
        distances: (B, B), −1 on the diagonal.
        same: (C, B), 1 where row i is of class c.
        gamma: γ.
    """

    def __init__(self, distances: Tensor, same: Tensor, gamma: float) -> None:
        self.distances = distances
        self.by_class = same.T.contiguous()
        self.of_class = same.argmax(0)
        self.gamma = gamma
        # Of a cluster of two either row is the medoid at the same cost: take the more central one
        # of the batch, so that the order of the rows decides nothing.
        self.preference = -TIE * distances.sum(1)
        rows = float(same.shape[1])
        # Entropies times the number of rows, here and below: N log N − Σ n log n.
        self.total = torch.special.xlogy(torch.full_like(same[0, 0], rows), rows)
        sizes = same.sum(1)
        self.class_entropy = self.total - torch.special.xlogy(sizes, sizes).sum()

    def scores(self, near: Tensor, owner: Tensor, new: int) -> tuple[Tensor, Tensor]:
        """``F(S ∪ {j}) + γ(1 − NMI)`` and the NMI, (B,) each, for every row j.

        Args:
            near: (B,) distance of each row to the nearest of the other medoids S.
            owner: (B,) int64, which one that is.
            new: the place of j among the medoids; no row is owned by it yet.
        """
        closer = self.distances < near  # (j, i): row i would go to j
        stays = (~closer).to(near.dtype)
        # Contingency table of each candidate: rows that stay are counted by the cells (cluster,
        # class) that there are, at most B, those that go by their class.
        classes = self.by_class.shape[1]
        key = owner * classes + self.of_class
        cells, cell = key.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        kept = stays @ (cell[:, None] == torch.arange(len(cells), device=cell.device)).to(
            near.dtype
        )
        gone = self.by_class.sum(0) - stays @ self.by_class
        clusters = kept.new_zeros(len(kept), classes)
        clusters.index_add_(1, cells // classes, kept)
        clusters[:, new] += gone.sum(1)
        joint = _xlogx(kept) + _xlogx(gone)
        marginal = _xlogx(clusters)
        entropy = self.total - marginal
        # I = H(y) + H(g) − H(y, g). An entropy times N is 0 or at least 2 log 2.
        shared = entropy + self.class_entropy - (self.total - joint)
        scale = (entropy * self.class_entropy).clamp_min(1).sqrt()
        some = (entropy > 1) & (self.class_entropy > 1)
        nmi = torch.where(some, (shared / scale).clamp(0, 1), 0.0)
        facility = -torch.minimum(self.distances, near).sum(1)
        return facility + self.gamma * (1 - nmi) + self.preference, nmi


def _xlogx(counts: Tensor) -> Tensor:
    total: Tensor = torch.special.xlogy(counts, counts).sum(1)
    return total

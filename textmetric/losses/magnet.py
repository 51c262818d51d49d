"""The magnet loss: rows against the means of nearby clusters, several a class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import kmeans2
from threadpoolctl import threadpool_limits
from torch import Tensor

from textmetric.losses.distances import euclidean, log_sum_exp, mean_distances
from textmetric.losses.mining import pair_masks
from textmetric.losses.objective import Objective, parameter
from textmetric.sampling.batches import ROWS_PER_CLASS, Deck, steps_per_epoch
from textmetric.sampling.streams import Stream, generator_of
from textmetric.schema import Section

ROUNDS = 20  # of k-means
SMALLEST_VARIANCE = 1e-24  # of rows that are one point up to rounding


class MagnetParameters(Section):
    """Parameters of the magnet loss."""

    clusters: int = parameter(
        3, "K, clusters of a class; fewer if it has fewer different rows", ge=1
    )
    neighbours: int = parameter(
        8,
        "M, clusters in a batch: a seed cluster and the M − 1 nearest of other classes; fewer if "
        "there are fewer, or if each would get less than 4 rows of the batch",
        ge=2,
    )
    alpha: float = parameter(
        1.0,
        "α, how much nearer than its impostors a row's own cluster should be, in units of twice "
        "the variance",
        ge=0,
    )


class Magnet(Objective):
    """``[D²(n, μ(n)) / 2σ² + α + log Σ_m exp(−D²(n, μ_m) / 2σ²)]₊``, averaged over the rows n.

    μ(n) is the mean of the batch's rows of n's cluster, the μ_m are those of the clusters of other
    classes, and ``σ² = Σ_n D²(n, μ(n)) / (B − 1)``. Gradients flow through the means and the
    variance. Because of the division by σ², the loss does not depend on the scale of the
    embeddings. If all rows equal the means of their clusters, the variance is taken to be 1.
    Rippel, Paluri, Dollár & Bourdev, "Metric Learning with Adaptive Density Discrimination", ICLR
    2016 (arXiv 1511.05939).

    The objective makes its own batches, with the same number of rows and steps as a sampler's.
    Before each epoch the train rows of each class are clustered again by k-means. A batch is a
    seed cluster and its M − 1 nearest impostor clusters, by their means, with B / M rows each:
    8 × 8 at B = 64, or 4 × 16 if two classes have 3 clusters each. Rows are drawn without
    replacement until the cluster is used up; a cluster with fewer rows than its share is drawn
    with repetition.

    Batch: two classes; otherwise the loss is 0. In a batch from another source the classes are the
    clusters.

    Deviations: the paper draws seed clusters in proportion to their loss; here every cluster is
    the seed equally often.

    Log: ``active_fraction`` (share of the rows with non-zero loss), ``variance`` (σ²),
    ``positive_distance`` and ``negative_distance``.
    """

    Params = MagnetParameters
    params: MagnetParameters

    def __init__(self, params: MagnetParameters, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self._index: ClusterIndex | None = None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        clusters = labels
        if self._index is not None and self._index.batch is not None:
            clusters = torch.from_numpy(self._index.batch).to(labels.device)
            self._index.batch = None
        with torch.no_grad():
            _, negative = pair_masks(labels)
            same = clusters[:, None] == clusters
            # A mean is in the column of the first row of its cluster.
            first = same.int().argmax(1) == torch.arange(len(labels), device=labels.device)
            impostor = negative & first
            counted = negative.any(1)
            weights = same.to(embeddings.dtype) / same.sum(1, keepdim=True)
        means = weights @ embeddings
        own = (embeddings - means).square().sum(1)
        variance = own.sum() / max(len(labels) - 1, 1)
        variance = torch.where(variance <= SMALLEST_VARIANCE, 1.0, variance)
        exponents = -euclidean(embeddings, means).square() / (2 * variance)
        reach = log_sum_exp(exponents, impostor)
        losses = torch.relu(own / (2 * variance) + self.params.alpha + reach)
        with torch.no_grad():
            count = counted.sum()
            self.log = {
                "active_fraction": ((losses > 0) & counted).sum() / count,
                "variance": variance.detach(),
                **mean_distances(embeddings, labels),
            }
        return (losses * counted).sum() / count.clamp_min(1)

    def batches(self, labels: npt.NDArray[np.int32], batch_size: int, seed: int) -> ClusterIndex:
        """See ``Objective.batches``."""
        self._index = ClusterIndex(
            labels, batch_size, seed, self.params.clusters, self.params.neighbours
        )
        return self._index

    def begin_epoch(
        self, epoch: int, epochs: int, embed: Callable[[], npt.NDArray[np.float32]]
    ) -> None:
        """See ``Objective.begin_epoch``; refreshes the clusters."""
        if self._index is not None:
            self._index.refresh(embed())


class ClusterIndex:
    """The clusters of the train rows, and batches of neighbouring ones.

    Args:
        labels: (n,) class of every row.
        batch_size: B.
        seed: of the training.
        clusters: K, as in ``MagnetParameters``.
        neighbours: M.

    Attributes:
        steps: batches an epoch, ⌈n / B⌉.
        clusters: (n,) int64 cluster of every row; all of its rows are of one class.
        classes: (k,) class of every cluster.
        means: (k, d) float64 mean of every cluster.
        batch: (B,) cluster of every row of the last batch; ``forward`` sets it to None, so that
            it is not used for another batch.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.int32],
        batch_size: int,
        seed: int,
        clusters: int,
        neighbours: int,
    ) -> None:
        self.steps = steps_per_epoch(len(labels), batch_size)
        self.batch: npt.NDArray[np.int64] | None = None
        self._batch_size = batch_size
        self._per_class = clusters
        self._neighbours = min(neighbours, max(2, batch_size // ROWS_PER_CLASS))
        self._rng = generator_of(seed, Stream.BATCHES)
        self._rows_of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def refresh(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Cluster each class again.

        Args:
            embeddings: (n, d) of all rows.
        """
        self.clusters = np.empty(len(embeddings), dtype=np.int64)
        classes: list[int] = []
        means = []
        with threadpool_limits(1):  # faster on so few columns, and sums in one order
            for label, rows in enumerate(self._rows_of_class):
                found, centres = k_means(embeddings[rows], self._per_class, self._rng)
                self.clusters[rows] = found + len(classes)
                classes += [label] * len(centres)
                means.append(centres)
        self.classes, self.means = np.array(classes), np.concatenate(means)

    def epoch(self) -> Iterator[npt.NDArray[np.int64]]:
        """See :class:`textmetric.losses.objective.Batches`."""
        order = np.argsort(self.clusters, kind="stable")
        ends = np.cumsum(np.bincount(self.clusters, minlength=len(self.classes)))
        decks = [Deck(rows, self._rng) for rows in np.split(order, ends[:-1])]
        seeds = Deck(np.arange(len(decks)), self._rng)
        for _ in range(self.steps):
            chosen = self._around(int(seeds.deal(1)[0]))
            small, larger = divmod(self._batch_size, len(chosen))
            shares = [small + 1] * larger + [small] * (len(chosen) - larger)
            self.batch = np.repeat(chosen, shares)
            yield np.concatenate(
                [decks[c].deal(share) for c, share in zip(chosen, shares, strict=True)]
            )

    def _around(self, seed: int) -> npt.NDArray[np.int64]:
        """The seed cluster and its nearest impostors."""
        squares = np.square(self.means - self.means[seed]).sum(1)
        nearest = np.argsort(squares, kind="stable")
        impostors = nearest[self.classes[nearest] != self.classes[seed]]
        return np.concatenate([[seed], impostors[: self._neighbours - 1]])


def k_means(
    rows: npt.NDArray[np.float32], clusters: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Cluster rows by scipy's k-means: k-means++ (Arthur & Vassilvitskii 2007), then 20 rounds.

    The same generator gives the same clusters.

    Args:
        rows: (n, d), at least one.
        clusters: how many; there are fewer if there are fewer different rows.
        rng: draws the first centres.

    Returns:
        ``(found, means)``: (n,) int64 cluster of every row, none of them empty; (k, d) float64
        mean of every cluster. Where 20 rounds are enough, every row is nearest to its own mean.
    """
    points = rows.astype(np.float64)
    clusters = min(clusters, len(np.unique(points, axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that is empty is dropped below
        _, found = kmeans2(points, clusters, iter=ROUNDS, minit="++", seed=rng)
    kept, found = np.unique(found, return_inverse=True)
    means = np.stack([points[found == cluster].mean(0) for cluster in range(len(kept))])
    return found.astype(np.int64), means

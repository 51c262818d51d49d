"""The invariant and spreading loss: a text against altered copies of itself, without labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from textmetric.losses.copies import log_of_copies
from textmetric.losses.distances import unit
from textmetric.losses.objective import Objective, parameter
from textmetric.sampling.streams import Stream, generator_of
from textmetric.schema import Section


class InvariantSpreadingParameters(Section):
    """Parameters of the invariant and spreading loss."""

    temperature: float = parameter(0.1, "τ, which divides cosines", paper="0.1", gt=0)
    drop: float = parameter(
        0.2, "share of the tokens that a view loses at random, below 1", paper="images", ge=0, lt=1
    )
    crop: float = parameter(
        0.5,
        "largest share of a text that is cut from its ends before that, below 1",
        paper="images",
        ge=0,
        lt=1,
    )


class InvariantSpreading(Objective):
    """``−1/B Σ_i [log P(i|û_i) + Σ_{j≠i} log(1 − P(i|u_j))]`` over the texts i of a batch.

    u_i and û_i are the embeddings of two altered copies ("views") of text i on the unit sphere,
    ``P(i|v) = exp(u_i·v/τ) / Σ_k exp(u_k·v/τ)``: a copy should be recognised as that of its own
    text and of no other. **Unsupervised: the labels are not used**; texts of one class are spread
    like any others. Ye, Zhang, Yuen & Chang, "Unsupervised Embedding Learning via Invariant and
    Spreading Instance Feature", CVPR 2019 (arXiv 1904.03436).

    Batch: two texts; otherwise the loss is 0. The encoder embeds 2B rows for B texts, first every
    u, then every û: row i belongs to row i + B, and the last of an odd number of rows to none.

    Deviations: the paper alters images. Here a view is a span of the text (by default at least
    half of its tokens) without some of its tokens (by default a fifth), drawn again in each step;
    a view keeps at least one token. We take the mean over the texts instead of the sum. This is
    the paper's formula; its published code normalises over the other 2B − 1 rows and stops the
    gradient on one side.

    Log: ``active_fraction`` (share of the texts whose copy is not recognised: P(i|û_i) below ½),
    ``positive_distance``, the mean Euclidean distance of u_i and û_i, and ``negative_distance``,
    that of the u of different texts.
    """

    Params = InvariantSpreadingParameters
    params: InvariantSpreadingParameters
    VIEWS = 2
    NEEDS_LABELS = False

    def __init__(
        self, params: InvariantSpreadingParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self._rng = generator_of(seed, Stream.OBJECTIVE)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (2B, d), at least 0; ``labels`` (2B,) are not used."""
        size = len(embeddings) // 2
        rows = unit(embeddings)
        views, copies = rows[:size], rows[size : 2 * size]
        among = views @ views.T
        across = copies @ views.T
        temperature = self.params.temperature
        self.log = log_of_copies(views.detach(), copies.detach(), temperature)
        if size < 2:
            return embeddings.sum() * 0
        invariant = (across / temperature).log_softmax(1).diagonal()
        taken = (among / temperature).softmax(1)
        # u_j is nearer to itself than to any other, so P(i|u_j) ≤ ½ and the logarithm is tame.
        others = 1 - torch.eye(size, dtype=rows.dtype, device=rows.device)
        spread = torch.log1p(-taken * others)
        return -(invariant.sum() + spread.sum()) / size

    def views(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """See ``Objective.views``: two spans of every text, without some of their tokens.

        A view of a text that has tokens keeps one at least.
        """
        twice = np.tile(np.diff(offsets), 2)
        starts = np.concatenate([[0], np.cumsum(twice)[:-1]])
        least = np.maximum(
            1, np.ceil(twice * (1 - self.params.crop * self._rng.random(len(twice))))
        )
        span = np.minimum(least, twice).astype(np.int64)
        first = (self._rng.random(len(twice)) * (twice - span + 1)).astype(np.int64)
        owners = np.repeat(np.arange(len(twice)), twice)
        places = np.arange(len(owners)) - starts[owners] - first[owners]
        kept = (places >= 0) & (places < span[owners])
        kept &= self._rng.random(len(owners)) >= self.params.drop
        lost = (twice > 0) & (np.bincount(owners[kept], minlength=len(twice)) == 0)
        kept[(starts + first)[lost]] = True
        lengths = np.bincount(owners[kept], minlength=len(twice))
        return np.tile(ids, 2)[kept], np.concatenate([[0], np.cumsum(lengths)])

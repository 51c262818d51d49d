"""The inverse cloze task: a span of a text against the rest of the text, without labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from textmetric.losses.copies import log_of_copies
from textmetric.losses.distances import unit
from textmetric.losses.objective import Objective, parameter
from textmetric.sampling.streams import Stream, generator_of
from textmetric.schema import Section


class InverseClozeParameters(Section):
    """Parameters of the inverse cloze task."""

    temperature: float = parameter(1.0, "τ, which divides cosines", paper="1, dot product", gt=0)
    share: float = parameter(
        0.5, "share of a text's tokens that are the span", paper="a sentence", gt=0, lt=1
    )


class InverseCloze(Objective):
    """``−1/2B Σ_i [log P(r_i|s_i) + log P(s_i|r_i)]`` over the texts i of a batch.

    s_i is the embedding of a span of text i and r_i that of the rest of the text, both on the unit
    sphere; ``P(r_i|s_i) = exp(s_i·r_i/τ) / Σ_k exp(s_i·r_k/τ)``: of the rests of all texts of the
    batch, a span should recognise its own, and a rest its span. The two have no token in common,
    unless the text has it twice, so tokens that occur in the same texts become similar.
    **Unsupervised: the labels are not used**. Lee, Chang & Toutanova, "Latent Retrieval for Weakly
    Supervised Open Domain Question Answering", ACL 2019 (arXiv 1906.00300).

    Batch: two texts; otherwise the loss is 0. The encoder embeds 2B rows for B texts, first every
    s, then every r: row i belongs to row i + B, and the last of an odd number of rows to none.

    Deviations: in the paper the span is a sentence, a tenth of the rests keep it, spans and rests
    have an encoder each, and only the rest is to be recognised, by the dot product. Here the span
    is by default half of the text, begins anywhere, is drawn again in each step and always left
    out of the rest; a text of one token is both its span and its rest. We use one encoder, both
    directions, and cosines: those of texts are what the measures see.

    Log: ``active_fraction`` (share of the texts whose span is not recognised: P(s_i|r_i) below ½),
    ``positive_distance``, the mean Euclidean distance of s_i and r_i, and ``negative_distance``,
    that of the s of different texts.
    """

    Params = InverseClozeParameters
    params: InverseClozeParameters
    VIEWS = 2
    NEEDS_LABELS = False

    def __init__(
        self, params: InverseClozeParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self._rng = generator_of(seed, Stream.OBJECTIVE)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (2B, d), at least 0; ``labels`` (2B,) are not used."""
        size = len(embeddings) // 2
        rows = unit(embeddings)
        spans, rests = rows[:size], rows[size : 2 * size]
        self.log = log_of_copies(spans.detach(), rests.detach(), self.params.temperature)
        if size < 2:
            return embeddings.sum() * 0
        logits = spans @ rests.T / self.params.temperature
        own = torch.arange(size, device=rows.device)
        return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2

    def views(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """See ``Objective.views``: a span of every text, then what it leaves of every text.

        Of n tokens the span has ``round(share · n)``, but at least 1 and at most n − 1.
        """
        lengths = np.diff(offsets)
        most = np.maximum(lengths - 1, 1)
        span = np.clip(np.round(lengths * self.params.share), 1, most).astype(np.int64)
        first = (self._rng.random(len(lengths)) * (lengths - span + 1)).astype(np.int64)
        owners = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(len(ids)) - (offsets[:-1] + first)[owners]
        inside = (places >= 0) & (places < span[owners])
        rest = ~inside | (lengths == 1)[owners]
        sizes = [np.bincount(owners[kept], minlength=len(lengths)) for kept in (inside, rest)]
        return (
            np.concatenate([ids[inside], ids[rest]]),
            np.concatenate([[0], np.cumsum(np.concatenate(sizes))]),
        )

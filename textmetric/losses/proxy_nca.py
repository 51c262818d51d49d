"""Proxy-NCA: every row against one learnt proxy a class."""

from __future__ import annotations

import math

import torch

from textmetric.losses.distances import unit
from textmetric.losses.objective import Objective, parameter
from textmetric.schema import Section


class ProxyNCAParameters(Section):
    """Parameters of Proxy-NCA."""

    scale: float = parameter(
        9.0, "s, multiplies the squared distances (0 … 4)", paper="1 (it has no scale)", gt=0
    )


class ProxyNCA(Objective):
    """``−log( exp(−s·D²(u, p_y)) / Σ_{z≠y} exp(−s·D²(u, p_z)) )``, averaged over the batch.

    u is the unit vector of the embedding, p_z the unit proxy of class z, s the ``scale``.
    Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies", ICCV 2017
    (arXiv 1703.07464). As in the paper, the true class is **not** in the denominator: the loss
    may be negative, down to −4s (two classes at opposite poles), and it still pulls rows that are
    already nearest to their own proxy. Many public versions include the true class, which makes
    the loss a softmax cross-entropy (``norm_softmax``).

    Batch: any, even of one class. If the corpus has a single class the loss is 0.

    Deviations: the paper has no scale, which is ``scale: 1``. On unit vectors, where D² ≤ 4, that
    is too soft, so our default is 9 (ProxyNCA++, arXiv 2004.01113, found that a low temperature
    matters most). The proxies ``proxies`` (C, d) start as unit vectors of random direction; only
    their direction counts.

    Log: ``positive_distance`` and ``negative_distance``, the mean D² of rows to the proxy of
    their class and to the proxies of other classes.
    """

    Params = ProxyNCAParameters
    params: ProxyNCAParameters

    def __init__(
        self, params: ProxyNCAParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.proxies = torch.nn.Parameter(unit(torch.randn(classes, dim)))

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of ``embeddings`` (B, d) under ``labels`` (B,), negative where it is good."""
        # D² = ‖u‖² + 1 − 2 uᵀp, and what does not depend on the proxy cancels in the ratio.
        cosines = unit(embeddings) @ unit(self.proxies).T
        rows, classes = cosines.shape
        columns = labels[:, None]
        own = cosines.gather(1, columns)
        with torch.no_grad():
            others = cosines.sum() - own.sum()
            self.log = {
                "positive_distance": 2 - 2 * own.mean(),
                "negative_distance": 2 - 2 * others / (rows * (classes - 1)),
            }
        if classes == 1:
            return cosines.sum() * 0
        twice = 2 * self.params.scale
        denominator = (twice * cosines).scatter(1, columns, -math.inf).logsumexp(1)
        return denominator.mean() - twice * own.mean()

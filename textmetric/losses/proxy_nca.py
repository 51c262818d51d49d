"""Proxy-NCA: every row against one learnt proxy a class."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from textmetric.losses.distances import unit
from textmetric.losses.objective import Objective, Parameters


class ProxyNCAParameters(Parameters):
    """Parameters of Proxy-NCA.

    Attributes:
        scale: What the squared distances, 0 … 4, are multiplied by; above 0.
    """

    scale: float = Field(default=9.0, gt=0)


class ProxyNCA(Objective):
    """``−log( exp(−s·D²(u, p_y)) / Σ_{z≠y} exp(−s·D²(u, p_z)) )``, averaged over the batch.

    u is the unit vector of the embedding, p_z the unit proxy of class z, s the scale.
    Movshovitz-Attias et al. 2017, "No Fuss Distance Metric Learning using Proxies",
    arXiv 1703.07464 (ICCV). As in the paper, the true class is **not** in the denominator: the
    loss may be negative and goes on pulling rows that are already nearest to their own proxy.
    Many public versions put it there, which makes it a softmax cross-entropy
    (``norm_softmax``).

    Deviation: the paper has no scale, which is ``scale: 1``; on unit vectors D² ≤ 4 is too soft
    then, so ours is 9 (that a low temperature matters most is the finding of ProxyNCA++,
    arXiv 2004.01113). The proxies ``proxies`` (C, d) are drawn as unit vectors of random
    direction; only their direction counts.

    Any batch will do, a batch of one class too; with a single class in all there is nothing to
    tell apart and the loss is 0.

    Relations: ``norm_softmax`` without layer norm at temperature 1/(2s) differs in the denominator
    alone. ``prototypical`` takes the mean of a class's rows in the batch for a proxy.

    ``log`` holds ``positive_distance`` and ``negative_distance``, the mean D² of rows to the proxy
    of their class and to those of the others.
    """

    Params = ProxyNCAParameters

    def __init__(
        self, params: ProxyNCAParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params
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

"""The normalised softmax: cross-entropy on cosines to one proxy a class."""

from __future__ import annotations

import torch
from pydantic import Field

from textmetric.losses.distances import unit
from textmetric.losses.objective import ClassificationObjective, Parameters


class NormSoftmaxParameters(Parameters):
    """Parameters of the normalised softmax.

    Attributes:
        temperature: σ, what the cosines are divided by; above 0. The scores then span ±1/σ.
        layer_norm: Shift each embedding to mean 0 and scale it to variance 1 over its dimensions
            before it is put on the unit sphere.
    """

    temperature: float = Field(default=0.05, gt=0)
    layer_norm: bool = True


class NormSoftmax(ClassificationObjective):
    """``−log softmax_z(uᵀp_z / σ)[y]``, averaged over the batch.

    u is the unit vector of the layer-normalised embedding, p_z the unit proxy of class z; there is
    no bias. Zhai & Wu 2018, "Classification is a Strong Baseline for Deep Metric Learning",
    arXiv 1811.12649 (BMVC 2019), whose temperature is 0.05, as is ours. ``layer_norm: false``
    gives the paper's ablation. The proxies ``proxies`` (C, d) start uniform in ±1/√d, as in the
    authors' code.

    Any batch will do; the paper draws it balanced by class.

    Deviations: the paper has a linear layer between layer norm and unit sphere where the
    backbone's width is not that of the embedding; here the widths are always the same, so there is
    none, as the paper has it in that case. And layer norm belongs to the head here: what is
    measured after training is the embedding before it. The loss is blind to the length of an
    embedding and, with layer norm, to the mean over its dimensions (binary codes are therefore the
    signs after subtracting that mean). Layer norm leaves nothing of a single dimension and only
    two points of two.

    Relations: ``cross_entropy`` has lengths and a bias. Without layer norm this is ``proxy_nca``
    with scale 1/(2σ), but for the true class, which stands in the denominator here.

    ``log`` holds ``proxy_cosine``, the mean cosine of a row with the proxy of its class.
    """

    Params = NormSoftmaxParameters

    def __init__(
        self, params: NormSoftmaxParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.params = params
        bound = dim**-0.5
        self.proxies = torch.nn.Parameter(torch.empty(classes, dim).uniform_(-bound, bound))

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, C) scores of ``embeddings`` (B, d): cosines over the temperature."""
        if self.params.layer_norm:
            embeddings = torch.nn.functional.layer_norm(embeddings, embeddings.shape[1:])
        return unit(embeddings) @ (unit(self.proxies) / self.params.temperature).T

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        scores = self.logits(embeddings)
        with torch.no_grad():
            own = scores.gather(1, labels[:, None]).mean()
            self.log = {"proxy_cosine": own * self.params.temperature}
        return torch.nn.functional.cross_entropy(scores, labels)

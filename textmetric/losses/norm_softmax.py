"""The normalised softmax: cross-entropy on cosines to one proxy a class."""

from __future__ import annotations

import torch

from textmetric.inference import LAYER_NORM, TEMPERATURE
from textmetric.losses.distances import unit
from textmetric.losses.objective import ClassificationObjective, parameter
from textmetric.schema import Section


class NormSoftmaxParameters(Section):
    """Parameters of the normalised softmax."""

    temperature: float = parameter(TEMPERATURE, "σ; the scores span ±1/σ", paper="0.05", gt=0)
    layer_norm: bool = parameter(
        LAYER_NORM,
        "layer norm of the embedding before it is put on the unit sphere; ``false`` is the "
        "paper's ablation",
        paper="``true``",
    )


class NormSoftmax(ClassificationObjective):
    """``−log softmax_z(uᵀp_z / σ)[y]``, averaged over the batch.

    u is the unit vector of the layer-normalised embedding (shifted to mean 0 and scaled to
    variance 1 over its dimensions), p_z the unit proxy of class z, σ the temperature; there is no
    bias. Zhai & Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019
    (arXiv 1811.12649). The proxies ``proxies`` (C, d) start uniform in ±1/√d, as in the authors'
    code.

    Batch: any; the paper draws it balanced by class.

    Deviations: the paper has a linear layer between layer norm and unit sphere where the backbone
    is wider than the embedding. Here the widths are always equal, and the paper has none in that
    case either. Layer norm belongs to the head: what is measured after training is the embedding
    before it. The loss does not see the length of an embedding nor, with layer norm, the mean
    over its dimensions; for binary codes subtract that mean, then take the signs. Layer norm
    needs at least 3 dimensions to leave a choice of direction.

    Log: ``proxy_cosine``, the mean cosine of a row with the proxy of its class.
    """

    Params = NormSoftmaxParameters
    params: NormSoftmaxParameters

    def __init__(
        self, params: NormSoftmaxParameters, *, dim: int, classes: int, seed: int = 0
    ) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
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

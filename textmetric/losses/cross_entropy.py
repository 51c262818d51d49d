"""Softmax cross-entropy on a linear head: the classifier of the study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from textmetric.losses.objective import ClassificationObjective, Floats, Gradients
from textmetric.schema import Section

LOOPED_CLASSES = 128
"""With more classes torch's matrix products are faster, in spite of the overhead of its calls."""


class CrossEntropyParameters(Section):
    """Cross-entropy has no parameters."""


class CrossEntropy(ClassificationObjective):
    """``−log softmax(W e + b)[y]``, averaged over the batch.

    W and b are the head, e is the embedding, y the class. The head ``fc`` starts as in the
    original study: W uniform in ±0.5, b zero.

    Batch: any; a class that is absent only serves as a wrong answer.

    Log: nothing. Only the head and the loss are computed, so a step is as cheap as a classifier's
    can be.
    """

    Params = CrossEntropyParameters

    def __init__(self, params: Any, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        self.fc = torch.nn.Linear(dim, classes)
        torch.nn.init.uniform_(self.fc.weight, -0.5, 0.5)
        torch.nn.init.zeros_(self.fc.bias)

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, C) unnormalised log-probabilities of ``embeddings`` (B, d)."""
        scores: torch.Tensor = self.fc(embeddings)
        return scores

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of ``embeddings`` (B, d) under ``labels`` (B,), at least 0."""
        return torch.nn.functional.cross_entropy(self.logits(embeddings), labels)

    def loss_and_gradient(
        self, embeddings: Floats, labels: npt.NDArray[np.int64], parameters: Sequence[Floats]
    ) -> Gradients | None:
        """See ``Objective.loss_and_gradient``."""
        weight, bias = parameters
        if len(bias) > LOOPED_CLASSES:
            return None
        # Imported here: only training needs the compiler.
        from textmetric.losses.cross_entropy_kernel import cross_entropy

        gradient, slopes = np.empty_like(embeddings), [np.empty_like(weight), np.empty_like(bias)]
        loss = cross_entropy(embeddings, labels, weight, bias, gradient, *slopes)
        return Gradients(loss, gradient, slopes)

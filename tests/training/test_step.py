"""The step by torch: the definition that the compiled step is tested against."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny import corpus
from textmetric.encoders import BagEncoder
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import Objective, build
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training.compiled_step import CompiledStep
from textmetric.training.step import OPTIMIZERS, TorchStep

NAMES = pytest.mark.parametrize("name", OPTIMIZERS)


class Sum(Objective):
    """A loss whose gradient by every embedding is ``slopes`` (B, d); it has no parameters."""

    def __init__(self, slopes: Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.log = {}
        self.slopes = slopes

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return (embeddings * self.slopes).sum()


def texts(rows: list[list[int]]) -> LabelledTokens:
    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return LabelledTokens(RaggedTokens(ids, offsets), np.zeros(len(rows), dtype=np.int32))


def bag(weight: np.ndarray) -> BagEncoder:
    encoder = BagEncoder(*weight.shape).double()
    encoder.weight.data.copy_(torch.from_numpy(weight))
    return encoder


def slow_updates(
    name: str, weight: np.ndarray, rows: list[list[int]], slopes: np.ndarray, rates: list[float]
) -> np.ndarray:
    """Token by token, in plain Python: the mean's gradient, then SGD, Adagrad or Adam."""
    weight, tokens, width = weight.copy(), *weight.shape
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step, lr in enumerate(rates, start=1):
        gradient = np.zeros_like(weight)
        for row, slope in zip(rows, slopes, strict=True):
            for token in row:
                gradient[token] += slope / len(row)
        for token in {token for row in rows for token in row}:
            for k in range(width):
                g = gradient[token, k]
                if name == "sgd":
                    weight[token, k] -= lr * g
                elif name == "adagrad":
                    second[token, k] += g**2
                    weight[token, k] -= lr * g / (math.sqrt(second[token, k]) + 1e-10)
                else:
                    first[token, k] = 0.9 * first[token, k] + 0.1 * g
                    second[token, k] = 0.999 * second[token, k] + 0.001 * g**2
                    corrected = lr * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                    weight[token, k] -= (
                        corrected * first[token, k] / (math.sqrt(second[token, k]) + 1e-8)
                    )
    assert tokens > 0
    return weight


@NAMES
@pytest.mark.parametrize("kind", [TorchStep, CompiledStep])
def test_token_vectors_move_as_the_papers_say(name: str, kind: type) -> None:
    rng = np.random.default_rng(0)
    rows = [[1, 1, 3], [], [3, 4, 5, 5, 5], [2]]
    weight, slopes = rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    rates = [0.3, 0.2, 0.1]
    encoder, extra = bag(weight), {"batch_size": 4} if kind is CompiledStep else {}
    step = kind(encoder, Sum(torch.from_numpy(slopes)), texts(rows), name, **extra)
    for lr in rates:
        step(np.arange(4), lr)
    expected = slow_updates(name, weight, rows, slopes, rates)
    np.testing.assert_allclose(encoder.weight.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    assert (encoder.weight.detach().numpy()[[0, 6]] == weight[[0, 6]]).all()


@NAMES
def test_a_batch_without_tokens_changes_no_token_vector(name: str) -> None:
    encoder = bag(np.ones((3, 2)))
    TorchStep(encoder, Sum(torch.ones(2, 2)), texts([[], []]), name)(np.arange(2), 0.5)
    assert (encoder.weight == 1).all()


@NAMES
@pytest.mark.parametrize("layer", ["bag", "linear"])
def test_a_frozen_encoder_stays_and_the_objective_learns(name: str, layer: str) -> None:
    data = corpus().train
    encoder = BagEncoder(27, 8, layer)
    head = build(Family.CLASSIFICATION, {"name": "cross_entropy"}, dim=8, classes=3)
    before = [p.clone() for p in encoder.parameters()]
    head_before = [p.clone() for p in head.parameters()]
    TorchStep(encoder, head, data, name, frozen=True)(np.arange(12), 0.5)
    assert all(torch.equal(p, q) for p, q in zip(encoder.parameters(), before, strict=True))
    assert not any(torch.equal(p, q) for p, q in zip(head.parameters(), head_before, strict=True))


def test_the_token_vectors_have_a_sparse_gradient() -> None:
    encoder = BagEncoder(9, 2)
    ids, offsets = torch.tensor([1, 2, 2]), torch.tensor([0, 1])
    encoder.bag(ids, offsets, sparse=True).sum().backward()
    assert encoder.weight.grad is not None
    assert encoder.weight.grad.is_sparse


@pytest.mark.parametrize("kind", [TorchStep, CompiledStep])
def test_an_unknown_optimiser_is_an_error_that_suggests_the_nearest(kind: type) -> None:
    extra = {"batch_size": 4} if kind is CompiledStep else {}
    with pytest.raises(UserError, match=r"'adagrd'; did you mean 'adagrad'"):
        kind(BagEncoder(27, 8), Sum(torch.ones(1, 8)), corpus().train, "adagrd", **extra)


def test_vectors_that_stay_take_no_memory_in_the_optimiser() -> None:
    data = texts([[1, 2], [2]])
    for tuned in (True, False):
        encoder = bag(np.ones((3, 2)))
        encoder.weight.requires_grad_(tuned)
        step = TorchStep(encoder, Sum(torch.ones(2, 2)), data, "adagrad")
        assert any(encoder.weight in found.state for found in step.optimizers) == tuned

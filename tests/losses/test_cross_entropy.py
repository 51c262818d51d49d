from __future__ import annotations

import math

import pytest
import torch

from textmetric.losses import ClassificationObjective, build


def cross_entropy(dim: int, classes: int) -> ClassificationObjective:
    objective = build("classification", {"name": "cross_entropy"}, dim=dim, classes=classes)
    assert isinstance(objective, ClassificationObjective)
    return objective


def twin(rows: list[list[float]], labels: list[int], w: list[list[float]], b: list[float]) -> float:
    losses = []
    for row, label in zip(rows, labels, strict=True):
        scores = [
            sum(x * y for x, y in zip(row, weights, strict=True)) + bias
            for weights, bias in zip(w, b, strict=True)
        ]
        losses.append(math.log(sum(math.exp(s) for s in scores)) - scores[label])
    return sum(losses) / len(losses)


def test_equals_the_formula() -> None:
    torch.manual_seed(0)
    objective = cross_entropy(5, 3).double()
    rows, labels = torch.randn(11, 5, dtype=torch.float64), torch.randint(3, (11,))
    head = dict(objective.fc.named_parameters())  # type: ignore[union-attr]
    expected = twin(rows.tolist(), labels.tolist(), head["weight"].tolist(), head["bias"].tolist())
    # Values near 1 through sums of 11 and 5 terms: at most 11 · 5 roundings of 1.1e-16 each way.
    assert objective(rows, labels).item() == pytest.approx(expected, rel=0, abs=55 * 2.3e-16)


def test_the_head_starts_as_in_the_study() -> None:
    torch.manual_seed(0)
    weight, bias = cross_entropy(32, 1000).parameters()
    assert weight.shape == (1000, 32)
    assert -0.5 <= weight.min() < -0.499
    assert 0.499 < weight.max() <= 0.5
    assert weight.mean().item() == pytest.approx(0, abs=5 * 12**-0.5 / 32_000**0.5)
    assert weight.std().item() == pytest.approx(12**-0.5, rel=0.01)
    assert not bias.any()


def test_the_gradient_is_right() -> None:
    torch.manual_seed(0)
    objective = cross_entropy(4, 3).double()
    rows = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(6) % 3
    assert torch.autograd.gradcheck(lambda e: objective(e, labels), (rows,))


def test_the_head_is_drawn_from_the_callers_seed_and_predicts() -> None:
    torch.manual_seed(7)
    first = cross_entropy(4, 3)
    torch.manual_seed(7)
    second = cross_entropy(4, 3)
    rows = torch.randn(5, 4)
    assert torch.equal(first.logits(rows), second.logits(rows))
    assert first.logits(rows).shape == (5, 3)
    assert {name for name, _ in first.named_parameters()} == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    "rows", [torch.zeros(4, 3), torch.ones(4, 3), torch.randn(1, 3)], ids=["zero", "equal", "one"]
)
def test_degenerate_batches_have_a_finite_loss_and_gradient(rows: torch.Tensor) -> None:
    objective = cross_entropy(3, 2)
    rows = rows.clone().requires_grad_()
    loss = objective(rows, torch.zeros(len(rows), dtype=torch.int64))
    loss.backward()
    assert torch.isfinite(loss)
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()


def test_a_confident_correct_head_has_no_loss() -> None:
    objective = cross_entropy(2, 2)
    with torch.no_grad():
        for parameter, value in zip(
            objective.parameters(), [1000 * torch.eye(2), torch.zeros(2)], strict=True
        ):
            parameter.copy_(value)
    assert objective(torch.eye(2), torch.tensor([0, 1])).item() == 0

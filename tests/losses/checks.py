"""Checks shared by the tests of the pair and tuple objectives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from textmetric.losses import build

# A plain loop over the N ≤ 10⁵ terms of such a small batch is off by at most N·eps = 2e-11 of the
# sum of their sizes, the vectorised sum by less; exponentials and logarithms add a few eps.
RELATIVE = 1e-10


def objective(name: str, seed: int = 0, **params: Any) -> Any:
    return build("metric", {"name": name, **params}, dim=4, classes=4, seed=seed)


def uneven_batch(
    seed: int, sizes: tuple[int, ...] = (5, 4, 2, 1), dim: int = 4, spread: float = 0.4
) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping classes of uneven size, the last of one row, in random order; float64."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    centres = torch.randn(len(sizes), dim, dtype=torch.float64, generator=generator)
    noise = torch.randn(len(labels), dim, dtype=torch.float64, generator=generator)
    return spread * (noise + centres[labels]), labels


def on_the_sphere(row: list[float]) -> list[float]:
    length = math.hypot(*row)
    return [x / length for x in row]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def assert_close(loss: torch.Tensor, expected: float) -> None:
    assert loss.ndim == 0
    assert loss.item() == pytest.approx(expected, rel=RELATIVE, abs=1e-14)


def assert_the_gradient_is_right(name: str, seed: int = 0, **params: Any) -> None:
    """In float64; callers must choose a batch that is not at a kink of the loss."""
    embeddings, labels = uneven_batch(seed)
    loss = objective(name, **params)
    assert loss(embeddings, labels) > 0
    assert torch.autograd.gradcheck(lambda e: loss(e, labels), (embeddings.requires_grad_(),))


def assert_single_precision_is_near(name: str, **params: Any) -> None:
    """To 1e-4: single precision keeps 7 digits, and cancellation costs less than 3 of them."""
    embeddings, labels = uneven_batch(1)
    loss = objective(name, **params)(embeddings.float(), labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(
        objective(name, **params)(embeddings, labels).item(), rel=1e-4
    )


def assert_the_order_of_rows_does_not_matter(name: str, **params: Any) -> None:
    embeddings, labels = uneven_batch(2)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    embeddings.requires_grad_()
    plain = objective(name, **params)(embeddings, labels)
    moved = objective(name, **params)(embeddings[order], labels[order])
    assert moved.item() == pytest.approx(plain.item(), rel=RELATIVE)
    (expected,) = torch.autograd.grad(plain, embeddings)
    (gradient,) = torch.autograd.grad(moved, embeddings)
    torch.testing.assert_close(gradient, expected, rtol=RELATIVE, atol=RELATIVE)


def degenerate_batches() -> Iterator[tuple[str, torch.Tensor, list[int]]]:
    """Batches in which a careless loss divides by 0: ``(what the rows are, rows, labels)``."""
    generator = torch.Generator().manual_seed(0)
    for labels in (
        [0],
        [0, 1],
        [0, 0],
        [2] * 8,
        list(range(8)),
        [0, 0, 0, 1],
        [0, 0, 1, 1, 1],
        [0, 0, 1, 1, 2, 2, 2, 3],
    ):
        rows = torch.randn(len(labels), 4, generator=generator)
        yield "random", rows, labels
        yield "equal", torch.ones_like(rows), labels
        yield "zero", torch.zeros_like(rows), labels
        yield "duplicates", rows[torch.arange(len(rows)) // 2], labels


def assert_degenerate_batches_are_finite(name: str, requirement: Any, **params: Any) -> None:
    """Finite loss and gradient; both 0, yet connected to the rows, where ``requirement`` fails.

    Args:
        requirement: labels → does the batch hold a valid pair or triplet?
    """
    for kind, rows, labels in degenerate_batches():
        loss = objective(name, **params)
        for dtype in (torch.float32, torch.float64):
            embeddings = rows.detach().clone().to(dtype).requires_grad_()
            value = loss(embeddings, torch.tensor(labels))
            value.backward()
            assert embeddings.grad is not None
            assert torch.isfinite(value), (kind, labels)
            assert torch.isfinite(embeddings.grad).all(), (kind, labels)
            if not requirement(labels):
                assert value.item() == 0, (kind, labels)
                assert torch.equal(embeddings.grad, torch.zeros_like(embeddings)), (kind, labels)
                assert math.isnan(loss.log["active_fraction"]), (kind, labels)
            assert all(v.ndim == 0 and not v.requires_grad for v in loss.log.values())


def a_pair_and_a_negative(labels: list[int]) -> bool:
    return len(set(labels)) > 1 and any(labels.count(y) > 1 for y in labels)


def two_rows(labels: list[int]) -> bool:
    return len(labels) > 1


def assert_a_diverged_batch_gives_nan(name: str, **params: Any) -> None:
    embeddings, labels = uneven_batch(0)
    embeddings[3] = math.nan
    assert math.isnan(objective(name, **params)(embeddings, labels))


def assert_distances_are_logged(loss: Any, rows: list[list[float]], labels: list[int]) -> None:
    """After a call on those rows: the mean Euclidean distances of the two kinds of pairs."""
    for name, same in [("positive_distance", True), ("negative_distance", False)]:
        chosen = [
            math.dist(rows[i], rows[j])
            for i in range(len(rows))
            for j in range(i)
            if (labels[i] == labels[j]) == same
        ]
        assert loss.log[name].item() == pytest.approx(mean(chosen), rel=RELATIVE)

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from textmetric.losses.distances import Distance, mean_distances, mean_of_pairs, pairwise, unit
from textmetric.losses.mining import pair_masks

DISTANCES = get_args(Distance)


def slow(a: list[float], b: list[float], distance: str) -> float:
    if distance == "cosine":
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return 1 - dot / (math.hypot(*a) * math.hypot(*b))
    square = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return square if distance == "squared_euclidean" else math.sqrt(square)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equals_the_plain_loop(distance: Distance) -> None:
    torch.manual_seed(0)
    rows = torch.randn(40, 6, dtype=torch.float64)
    found = pairwise(rows, distance).tolist()
    for i, a in enumerate(rows.tolist()):
        for j, b in enumerate(rows.tolist()):
            # Sums of 6 products of size ≤ 30, each rounded to 1.1e-16 of it.
            assert found[i][j] == pytest.approx(slow(a, b, distance), abs=6 * 30 * 2.3e-16)


@pytest.mark.parametrize("distance", DISTANCES)
def test_is_symmetric_with_a_zero_diagonal_and_zero_between_equal_rows(distance: Distance) -> None:
    torch.manual_seed(0)
    rows = torch.randn(70, 8) + 100  # far from the origin, where the product form loses digits
    rows[1] = rows[0]
    found = pairwise(rows, distance)
    assert torch.equal(found, found.T)
    assert torch.equal(found.diagonal(), torch.zeros(70))
    assert found[0, 1] == 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_gradient_is_right(distance: Distance) -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    upper = torch.triu_indices(5, 5, offset=1)
    assert torch.autograd.gradcheck(lambda e: pairwise(e, distance)[upper[0], upper[1]], (rows,))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("rows", [torch.zeros(4, 3), torch.ones(4, 3), torch.full((4, 3), 1e-30)])
def test_equal_rows_have_no_gradient(distance: Distance, rows: torch.Tensor) -> None:
    rows = rows.clone().requires_grad_()
    pairwise(rows, distance).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad, torch.zeros(4, 3))


def test_a_tiny_difference_is_not_lost() -> None:
    rows = torch.tensor([[100.0, 0.0], [100.0, 1e-4]])
    assert pairwise(rows)[0, 1] == torch.tensor(1e-4)


def test_the_cosine_distance_of_a_zero_row_is_a_half() -> None:
    found = pairwise(torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), "cosine")
    assert found.tolist() == [[0, 0, 0.5], [0, 0, 0.5], [0.5, 0.5, 0]]


def test_unit_rows_have_length_one_and_zero_rows_stay() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    units = unit(rows)
    assert torch.equal(units, torch.tensor([[3.0, 4.0], [0.0, 0.0]]) / 5)
    units.sum().backward()
    assert rows.grad is not None
    assert rows.grad.abs().max() <= 1


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 2], [0] * 5, [0, 1, 2], [3], [1, 1]])
def test_mean_distances_equal_the_means_of_all_pairs(labels: list[int]) -> None:
    rows = torch.randn(len(labels), 3, dtype=torch.float64)
    ids = torch.tensor(labels)
    expected = mean_of_pairs(pairwise(rows), *pair_masks(ids))
    found = mean_distances(rows.requires_grad_(), ids)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=0, equal_nan=True)

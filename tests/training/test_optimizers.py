from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from textmetric.errors import UserError
from textmetric.text import RaggedTokens
from textmetric.training.optimizers import OPTIMIZERS, DenseOptimizer, RowOptimizer

TORCH = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "adam": torch.optim.SparseAdam}


def batch(rows: list[list[int]]) -> RaggedTokens:
    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return RaggedTokens(ids, offsets)


def random_batch(rng: np.random.Generator, tokens: int) -> RaggedTokens:
    # some texts are empty, and small ids repeat inside a text and across texts
    lengths = rng.integers(0, 9, size=12)
    return batch([rng.integers(1, tokens, size=length).tolist() for length in lengths])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_a_sparse_embedding_bag_with_torchs_optimiser_step_by_step(name: str) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    bag = nn.EmbeddingBag(40, 6, mode="mean", sparse=True).double()
    reference = TORCH[name](bag.parameters(), lr=0.3)
    weight = bag.weight.detach().clone()
    ours = RowOptimizer(weight, name)
    for step in range(30):
        rows = random_batch(rng, 40)
        lr = 0.3 * (1 - step / 30)
        target = torch.from_numpy(rng.normal(size=(len(rows), 6)))
        reference.param_groups[0]["lr"] = lr
        reference.zero_grad()
        offsets = torch.from_numpy(rows.offsets[:-1].astype(np.int32))
        (bag(torch.from_numpy(rows.ids), offsets) - target).square().sum().backward()
        reference.step()
        bags = nn.functional.embedding_bag(
            torch.from_numpy(rows.ids), weight, offsets, mode="mean"
        ).requires_grad_()
        (bags - target).square().sum().backward()
        assert bags.grad is not None
        ours.step(rows, bags.grad, lr)
        # both sum the same few float64 numbers, in another order
        torch.testing.assert_close(weight, bag.weight.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_that_no_text_touches_stay_as_they_are(name: str) -> None:
    weight = torch.ones(5, 2)
    RowOptimizer(weight, name).step(batch([[1, 1, 3], []]), torch.ones(2, 2), lr=0.5)
    assert (weight[[0, 2, 4]] == 1).all()
    assert (weight[[1, 3]] != 1).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_batch_without_tokens_changes_nothing(name: str) -> None:
    weight = torch.ones(3, 2)
    RowOptimizer(weight, name).step(batch([[], []]), torch.ones(2, 2), lr=0.5)
    assert (weight == 1).all()


def test_a_repeated_token_gets_its_share_for_every_time_it_occurs() -> None:
    weight = torch.zeros(3, 1)
    RowOptimizer(weight, "sgd").step(batch([[1, 1, 2, 2], [2]]), torch.tensor([[4.0], [10]]), lr=1)
    assert weight.flatten().tolist() == [0, -2, -12]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_dense_updates_equal_torchs_optimiser_step_by_step(name: str) -> None:
    torch.manual_seed(0)
    twin = nn.Linear(3, 2).double()
    ours = nn.Linear(3, 2).double()
    ours.load_state_dict(twin.state_dict())
    idle = torch.ones(2, requires_grad=True)
    reference = {"adam": torch.optim.Adam}.get(name, TORCH[name])(twin.parameters(), lr=0.1)
    optimizer = DenseOptimizer([*ours.parameters(), idle], name)
    for step in range(20):
        batch = torch.randn(4, 3, dtype=torch.float64)
        reference.param_groups[0]["lr"] = lr = 0.1 * (1 - step / 20)
        reference.zero_grad()
        twin(batch).square().sum().backward()
        reference.step()
        ours(batch).square().sum().backward()
        optimizer.step(lr)
        for one, other in zip(ours.parameters(), twin.parameters(), strict=True):
            # Adam adds its eps of 1e-8 inside the bias correction, and we outside
            tolerance = 1e-6 if name == "adam" else 1e-12
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
            assert one.grad is None
    assert (idle == 1).all()


def test_an_unknown_name_is_an_error_that_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'adagrd'; did you mean 'adagrad'"):
        RowOptimizer(torch.zeros(2, 2), "adagrd")

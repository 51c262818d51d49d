from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import pytorch_metric_learning.losses
import torch

from textmetric.losses import build

EPS = 2.0**-52


def sup_con(**params: Any) -> Any:
    return build("metric", {"name": "sup_con", **params}, dim=5, classes=4)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of 7, 4, 2 and 1 rows, in no order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * 7 + [1] * 4 + [2] * 2 + [3])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    embeddings = torch.randn(len(labels), 5, dtype=torch.float64, generator=generator)
    return embeddings + labels[:, None] * 0.3, labels


def twin(embeddings: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    """``L_out`` of the paper, over the anchors that have a positive."""
    rows = [[x / math.hypot(*row) for x in row] for row in embeddings.tolist()]
    y = labels.tolist()

    def similarity(i: int, j: int) -> float:
        return math.exp(sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) / temperature)

    losses = []
    for i in range(len(y)):
        positives = [p for p in range(len(y)) if p != i and y[p] == y[i]]
        if positives:
            total = sum(similarity(i, a) for a in range(len(y)) if a != i)
            terms = [math.log(similarity(i, p) / total) for p in positives]
            losses.append(-sum(terms) / len(terms))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_equals_the_plain_loops(seed: int, temperature: float) -> None:
    embeddings, labels = batch(seed)
    loss = sup_con(temperature=temperature)(embeddings, labels)
    # Exponents of at most 1/0.07 through sums of 14 terms: some 14 · 15 roundings.
    assert loss.item() == pytest.approx(twin(embeddings, labels, temperature), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_gradient_is_right(temperature: float) -> None:
    embeddings, labels = batch()
    objective = sup_con(temperature=temperature)
    assert torch.autograd.gradcheck(
        lambda rows: objective(rows, labels), (embeddings.requires_grad_(),)
    )


def test_the_smallest_loss_is_the_logarithm_of_the_number_of_positives() -> None:
    # Two opposite points: all 5 positives weigh the same, negatives e⁻²⁰⁰ as much.
    labels = torch.arange(12) % 2
    embeddings = (1.0 - 2 * labels[:, None]) * torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    loss = sup_con(temperature=0.01)(embeddings, labels)
    assert loss.item() == pytest.approx(math.log(5), rel=16 * EPS)


def test_a_collapsed_batch_loses_the_logarithm_of_the_number_of_other_rows() -> None:
    embeddings = torch.ones(12, 3, dtype=torch.float64)
    loss = sup_con()(embeddings, torch.arange(12) % 3)
    assert loss.item() == pytest.approx(math.log(11), rel=64 * EPS)


def test_the_length_of_an_embedding_does_not_matter() -> None:
    embeddings, labels = batch()
    lengths = torch.rand(len(labels), 1, dtype=torch.float64) + 0.5
    objective = sup_con()
    assert objective(embeddings * lengths, labels).item() == pytest.approx(
        objective(embeddings, labels).item(), rel=1e-13
    )


@pytest.mark.parametrize(
    "labels",
    [[0], [0, 1], [0, 0], [2] * 8, list(range(8)), [0, 0, 0, 0, 0, 0, 0, 1]],
    ids=["one row", "two singletons", "one pair", "one class", "singletons", "one negative"],
)
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "duplicates", "tiny"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_batches_have_a_finite_loss_and_gradient(
    labels: list[int], kind: str, dtype: torch.dtype
) -> None:
    rows = torch.randn(len(labels), 5, dtype=dtype)
    rows = {
        "random": rows,
        "equal": torch.ones_like(rows),
        "zero": torch.zeros_like(rows),
        "duplicates": rows[torch.arange(len(rows)) // 2],
        "tiny": rows * 1e-25,
    }[kind].requires_grad_()
    objective = sup_con(temperature=0.01)
    loss = objective(rows, torch.tensor(labels))
    loss.backward()
    assert rows.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(rows.grad).all()
    if len(set(labels)) == len(labels):
        assert loss.item() == 0
        assert torch.equal(rows.grad, torch.zeros_like(rows))
        assert math.isnan(objective.log["positive_distance"])


def test_a_diverged_batch_gives_nan_rather_than_a_number() -> None:
    embeddings, labels = batch()
    embeddings[3] = math.nan
    assert math.isnan(sup_con()(embeddings, labels))


def test_the_order_of_rows_does_not_matter() -> None:
    embeddings, labels = batch()
    embeddings.requires_grad_()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    plain = sup_con()(embeddings, labels)
    moved = sup_con()(embeddings[order], labels[order])
    assert moved.item() == pytest.approx(plain.item(), rel=1e-13)
    torch.testing.assert_close(
        torch.autograd.grad(moved, embeddings)[0],
        torch.autograd.grad(plain, embeddings)[0],
        rtol=1e-12,
        atol=1e-13,
    )


def test_the_log_holds_mean_cosine_distances_of_pairs() -> None:
    embeddings, labels = batch()
    objective = sup_con()
    objective(embeddings.requires_grad_(), labels)
    y = labels.tolist()
    for name, same in [("positive_distance", True), ("negative_distance", False)]:
        chosen = [
            1 - torch.cosine_similarity(embeddings[i], embeddings[j], dim=0).item()
            for i, j in itertools.permutations(range(len(y)), 2)
            if (y[i] == y[j]) == same
        ]
        assert objective.log[name].item() == pytest.approx(sum(chosen) / len(chosen))
        assert objective.log[name].ndim == 0
        assert not objective.log[name].requires_grad


# --- against pytorch-metric-learning ---------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_equals_pytorch_metric_learning(temperature: float) -> None:
    embeddings, labels = batch()
    theirs = pytorch_metric_learning.losses.SupConLoss(temperature=temperature)
    a, b = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    ours, expected = sup_con(temperature=temperature)(a, labels), theirs(b, labels)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
    ours.backward()
    expected.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-11, atol=1e-13)


def test_a_batch_of_one_class_follows_the_formula_unlike_pytorch_metric_learning() -> None:
    # pytorch-metric-learning gives 0 for a batch without negatives, whatever the rows are; the
    # formula asks that they be equally similar to one another.
    embeddings, labels = batch()
    labels = torch.zeros_like(labels)
    theirs = pytorch_metric_learning.losses.SupConLoss(temperature=0.1)
    assert theirs(embeddings, labels) == 0
    loss = sup_con()(embeddings, labels).item()
    assert loss == pytest.approx(twin(embeddings, labels, 0.1), rel=1e-12)
    assert loss > math.log(13)
    equal = sup_con()(torch.ones_like(embeddings), labels).item()
    assert equal == pytest.approx(math.log(13), rel=64 * EPS)


def test_an_anchor_without_loss_counts_in_the_mean_unlike_in_pytorch_metric_learning() -> None:
    # Rows 0 and 1 lose 0 exactly. pytorch-metric-learning averages over the anchors with non-zero
    # loss, so that the others count double.
    embeddings = torch.tensor(
        [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-0.6, 0.8]], dtype=torch.float64
    )
    labels = torch.tensor([0, 0, 1, 1])
    ours = sup_con(temperature=0.02)(embeddings, labels).item()
    theirs = pytorch_metric_learning.losses.SupConLoss(temperature=0.02)(embeddings, labels).item()
    assert ours == pytest.approx(twin(embeddings, labels, 0.02), rel=1e-12, abs=1e-30)
    assert theirs == pytest.approx(2 * ours, rel=1e-12)

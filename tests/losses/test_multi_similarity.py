from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import pytorch_metric_learning.losses
import pytorch_metric_learning.miners
import torch

from textmetric.losses import build

EPS = 2.0**-52
OPTIONS: list[dict[str, Any]] = [
    {},
    {"mining": False},
    {"epsilon": 0.0},
    {"epsilon": 0.7},
    {"base": 1.0},
    {"base": -0.2, "positive_scale": 10.0, "negative_scale": 40.0},
]


def multi_similarity(**params: Any) -> Any:
    return build("metric", {"name": "multi_similarity", **params}, dim=5, classes=4)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of 7, 4, 2 and 1 rows, in no order, that half overlap."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * 7 + [1] * 4 + [2] * 2 + [3])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    embeddings = torch.randn(len(labels), 5, dtype=torch.float64, generator=generator)
    return embeddings * 0.5 + torch.eye(5, dtype=torch.float64)[labels], labels


def cosines(embeddings: torch.Tensor) -> list[list[float]]:
    rows = [[x / math.hypot(*row) for x in row] for row in embeddings.tolist()]
    return [[sum(a * b for a, b in zip(u, v, strict=True)) for v in rows] for u in rows]


def twin(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    *,
    positive_scale: float = 2.0,
    negative_scale: float = 50.0,
    base: float = 0.5,
    mining: bool = True,
    epsilon: float = 0.1,
) -> tuple[float, float]:
    """The loss and the share of pairs kept, from equations 10, 11 and 15 of the paper."""
    s, y = cosines(embeddings), labels.tolist()
    size, total, kept, pairs = len(y), 0.0, 0, 0
    for i in range(size):
        positives = [s[i][j] for j in range(size) if j != i and y[j] == y[i]]
        negatives = [s[i][j] for j in range(size) if y[j] != y[i]]
        pairs += len(positives) + len(negatives)
        if mining:
            hardest = (min(positives, default=math.inf), max(negatives, default=-math.inf))
            positives = [x for x in positives if x < hardest[1] + epsilon]
            negatives = [x for x in negatives if x > hardest[0] - epsilon]
        kept += len(positives) + len(negatives)
        attraction = sum(math.exp(-positive_scale * (x - base)) for x in positives)
        repulsion = sum(math.exp(negative_scale * (x - base)) for x in negatives)
        total += math.log(1 + attraction) / positive_scale
        total += math.log(1 + repulsion) / negative_scale
    return total / size, kept / pairs if pairs else math.nan


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("params", OPTIONS, ids=str)
def test_equals_the_plain_loops(seed: int, params: dict[str, Any]) -> None:
    embeddings, labels = batch(seed)
    objective = multi_similarity(**params)
    loss = objective(embeddings, labels)
    expected, kept = twin(embeddings, labels, **params)
    # Exponents of at most 50 · 1.5, sums of 14 terms, 14 rows: under 2000 roundings.
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert objective.log["active_fraction"].item() == pytest.approx(kept, rel=1e-6)


@pytest.mark.parametrize("params", OPTIONS, ids=str)
def test_the_gradient_is_right(params: dict[str, Any]) -> None:
    embeddings, labels = batch()
    # Away from the steps of the mining, where a pair enters: gradcheck moves a row by 1e-6.
    s, y, epsilon = cosines(embeddings), labels.tolist(), params.get("epsilon", 0.1)
    pairs = list(itertools.permutations(range(len(y)), 2))
    for i in range(len(y)):
        ends = (
            [s[i][j] for a, j in pairs if a == i and y[i] == y[j]],
            [s[i][j] for a, j in pairs if a == i and y[i] != y[j]],
        )
        steps = [abs(p - n - epsilon) for p, n in itertools.product(*ends)]
        assert min(steps, default=1) > 1e-5
    objective = multi_similarity(**params)
    assert objective(embeddings, labels) > 0
    assert torch.autograd.gradcheck(
        lambda rows: objective(rows, labels), (embeddings.requires_grad_(),)
    )


def test_classes_in_order_by_more_than_epsilon_have_no_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 3
    embeddings = torch.eye(4)[labels] + 0.01 * torch.randn(12, 4, generator=generator)
    embeddings.requires_grad_()
    objective = multi_similarity()
    loss = objective(embeddings, labels)
    loss.backward()
    assert loss.item() == 0
    assert objective.log["active_fraction"].item() == 0
    assert embeddings.grad is not None
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))
    assert multi_similarity(mining=False)(embeddings, labels) > 0


def test_a_collapsed_batch_has_the_loss_of_the_formula() -> None:
    # 12 rows, 3 classes of 4: every cosine is 1, 3 positives and 8 negatives each.
    embeddings = torch.ones(12, 4, dtype=torch.float64)
    loss = multi_similarity()(embeddings, torch.arange(12) % 3)
    expected = math.log(1 + 3 * math.exp(-1)) / 2 + math.log(1 + 8 * math.exp(25)) / 50
    assert loss.item() == pytest.approx(expected, rel=100 * EPS)


@pytest.mark.parametrize("mining", [True, False])
@pytest.mark.parametrize(
    "labels",
    [[0], [0, 1], [0, 0], [2] * 8, list(range(8)), [0, 0, 0, 0, 0, 0, 0, 1]],
    ids=["one row", "two singletons", "one pair", "one class", "singletons", "one negative"],
)
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "duplicates", "tiny"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_batches_have_a_finite_loss_and_gradient(
    mining: bool, labels: list[int], kind: str, dtype: torch.dtype
) -> None:
    rows = torch.randn(len(labels), 5, dtype=dtype)
    rows = {
        "random": rows,
        "equal": torch.ones_like(rows),
        "zero": torch.zeros_like(rows),
        "duplicates": rows[torch.arange(len(rows)) // 2],
        "tiny": rows * 1e-25,
    }[kind].requires_grad_()
    objective = multi_similarity(mining=mining)
    loss = objective(rows, torch.tensor(labels))
    loss.backward()
    assert rows.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(rows.grad).all()
    valid = any(labels.count(y) > 1 for y in labels) and len(set(labels)) > 1
    if len(labels) == 1 or (mining and not valid):
        assert loss.item() == 0
        assert torch.equal(rows.grad, torch.zeros_like(rows))
    else:
        # negatives far apart may add less than a rounding to the 1 of their logarithm
        assert loss.item() >= 0
    assert math.isnan(objective.log["active_fraction"]) == (len(labels) == 1)


@pytest.mark.parametrize("mining", [True, False])
def test_a_diverged_batch_gives_nan_rather_than_a_number(mining: bool) -> None:
    for row in range(14):
        embeddings, labels = batch()
        embeddings[row] = math.nan
        for y in (labels, torch.zeros_like(labels), torch.arange(14)):
            assert math.isnan(multi_similarity(mining=mining)(embeddings, y))


@pytest.mark.parametrize("params", OPTIONS, ids=str)
def test_the_order_of_rows_does_not_matter(params: dict[str, Any]) -> None:
    embeddings, labels = batch()
    embeddings.requires_grad_()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    plain = multi_similarity(**params)(embeddings, labels)
    moved = multi_similarity(**params)(embeddings[order], labels[order])
    assert moved.item() == pytest.approx(plain.item(), rel=1e-13)
    torch.testing.assert_close(
        torch.autograd.grad(moved, embeddings)[0],
        torch.autograd.grad(plain, embeddings)[0],
        rtol=1e-12,
        atol=1e-13,
    )


def test_the_log_holds_mean_cosine_distances_of_all_pairs() -> None:
    embeddings, labels = batch()
    objective = multi_similarity()
    objective(embeddings.requires_grad_(), labels)
    s, y = cosines(embeddings.detach()), labels.tolist()
    for name, same in [("positive_distance", True), ("negative_distance", False)]:
        chosen = [
            1 - s[i][j]
            for i, j in itertools.permutations(range(len(y)), 2)
            if (y[i] == y[j]) == same
        ]
        assert objective.log[name].item() == pytest.approx(sum(chosen) / len(chosen))
    for value in objective.log.values():
        assert value.ndim == 0
        assert not value.requires_grad


# --- against pytorch-metric-learning ---------------------------------------------------------


@pytest.mark.parametrize("params", OPTIONS, ids=str)
def test_equals_pytorch_metric_learning_with_its_miner(params: dict[str, Any]) -> None:
    embeddings, labels = batch()
    theirs = pytorch_metric_learning.losses.MultiSimilarityLoss(
        alpha=params.get("positive_scale", 2),
        beta=params.get("negative_scale", 50),
        base=params.get("base", 0.5),
    )
    pairs = None
    if params.get("mining", True):
        miner = pytorch_metric_learning.miners.MultiSimilarityMiner(params.get("epsilon", 0.1))
        pairs = miner(embeddings, labels)
    a, b = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    ours, expected = multi_similarity(**params)(a, labels), theirs(b, labels, pairs)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
    ours.backward()
    expected.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-11, atol=1e-13)


def test_a_batch_with_one_pair_counts_unlike_in_pytorch_metric_learning() -> None:
    # pytorch-metric-learning gives 0 if no kind of pair occurs twice; a pair from each side does,
    # but one mined positive and one mined negative do not.
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1])
    miner = pytorch_metric_learning.miners.MultiSimilarityMiner(0.1)
    pairs = miner(embeddings, labels)
    assert [len(x) for x in pairs] == [1, 1, 1, 1]
    assert pytorch_metric_learning.losses.MultiSimilarityLoss()(embeddings, labels, pairs) == 0
    loss = multi_similarity()(embeddings, labels).item()
    # Row 1 alone: its positive at cosine 0.6, its negative at 0.8.
    expected = math.log(1 + math.exp(-2 * 0.1)) / 2 + math.log(1 + math.exp(50 * 0.3)) / 50
    assert loss == pytest.approx(expected / 3, rel=1e-12)


def test_duplicates_are_positives_unlike_in_the_authors_code() -> None:
    # The authors' code drops positives of a cosine above 1 − 1e-5, which is how it leaves a row
    # out of its own positives. A collapsed batch then holds no pair at all.
    embeddings = torch.ones(8, 3, dtype=torch.float64)
    labels = torch.arange(8) % 2
    s = torch.tensor(cosines(embeddings))
    assert not ((labels[:, None] == labels) & (s < 1 - 1e-5)).any()
    objective = multi_similarity()
    assert objective(embeddings, labels) > 0
    assert objective.log["active_fraction"] == 1

from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, dot, mean, objective, uneven_batch

OPTIONS: list[dict[str, Any]] = [
    {"pairs": pairs, "l2": l2} for pairs in ("all", "one_per_class") for l2 in (0.0, 0.02)
]


def tuples(labels: list[int], pairs: str) -> list[tuple[int, int, list[int]]]:
    """(anchor, positive, negatives), from the definitions."""
    rows = range(len(labels))
    if pairs == "all":
        return [
            (a, p, [n for n in rows if labels[n] != labels[a]])
            for a in rows
            for p in rows
            if a != p and labels[a] == labels[p]
        ]
    firsts = []
    for y in sorted(set(labels)):
        members = [i for i in rows if labels[i] == y]
        if len(members) > 1:
            firsts.append((members[0], members[1]))
    return [(a, p, [other for _, other in firsts if other != p]) for a, p in firsts]


def twin(
    rows: list[list[float]], labels: list[int], *, pairs: str = "all", l2: float = 0.02
) -> tuple[float, float]:
    """The loss and the share of active pairs, by plain loops."""
    sums = [
        sum(math.exp(dot(rows[a], rows[n]) - dot(rows[a], rows[p])) for n in negatives)
        for a, p, negatives in tuples(labels, pairs)
        if negatives
    ]
    if not sums:
        return 0.0, math.nan
    regulariser = l2 * mean([dot(row, row) for row in rows])
    return mean([math.log(1 + s) for s in sums]) + regulariser, mean([float(s > 1) for s in sums])


def two_classes_of_two(labels: list[int]) -> bool:
    return sum(labels.count(y) > 1 for y in set(labels)) > 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("params", OPTIONS)
@pytest.mark.parametrize("spread", [0.4, 3.0])
def test_equals_the_plain_loops(seed: int, params: dict[str, Any], spread: float) -> None:
    embeddings, labels = uneven_batch(seed, spread=spread)
    loss = objective("n_pair", **params)
    expected, active = twin(embeddings.tolist(), labels.tolist(), **params)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)
    assert loss.log["pairs"] == len(tuples(labels.tolist(), params["pairs"]))


@pytest.mark.parametrize("params", OPTIONS)
def test_the_gradient_is_right(params: dict[str, Any]) -> None:
    checks.assert_the_gradient_is_right("n_pair", **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_degenerate_batches_have_a_finite_loss_and_gradient(params: dict[str, Any]) -> None:
    valid = checks.a_pair_and_a_negative if params["pairs"] == "all" else two_classes_of_two
    checks.assert_degenerate_batches_are_finite("n_pair", valid, **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_single_precision_is_near_and_nan_is_not_hidden(params: dict[str, Any]) -> None:
    checks.assert_single_precision_is_near("n_pair", **params)
    checks.assert_a_diverged_batch_gives_nan("n_pair", pairs="all")


def test_the_order_of_rows_does_not_matter() -> None:
    checks.assert_the_order_of_rows_does_not_matter("n_pair")


def test_one_pair_per_class_takes_the_first_two_rows_of_each() -> None:
    embeddings, _ = uneven_batch(0, sizes=(7,))
    labels = torch.tensor([2, 1, 2, 0, 1, 2, 1])
    a_batch = objective("n_pair", pairs="one_per_class", l2=0)
    # Rows 3 (the only one of its class), 5 and 6 (third of theirs) have no part in it.
    value = a_batch(embeddings, labels)
    embeddings[[3, 5, 6]] = 100.0
    assert a_batch(embeddings, labels) == value
    assert a_batch(embeddings[[0, 1, 2, 4]], labels[[0, 1, 2, 4]]) == value
    assert a_batch(embeddings[[4, 1, 2, 0]], labels[[4, 1, 2, 0]]) != value


def test_a_collapsed_batch_has_the_loss_of_a_guess() -> None:
    labels = torch.arange(64) % 4
    loss = objective("n_pair")
    assert loss(torch.zeros(64, 4), labels).item() == pytest.approx(math.log(1 + 48))
    assert loss.log["active_fraction"] == 1
    loss = objective("n_pair", pairs="one_per_class")
    assert loss(torch.zeros(64, 4), labels).item() == pytest.approx(math.log(1 + 3))
    assert loss.log["pairs"] == 4


def test_long_rows_of_separate_classes_only_have_the_loss_of_their_length() -> None:
    labels = torch.arange(12) % 3
    embeddings = torch.eye(4, dtype=torch.float64)[labels] * 30
    loss = objective("n_pair")
    # log(1 + 8 exp(−900)) is 0 in double precision.
    assert loss(embeddings, labels).item() == pytest.approx(0.02 * 900, rel=checks.RELATIVE)
    assert loss.log["active_fraction"] == 0
    assert objective("n_pair", l2=0)(embeddings, labels) == 0


def test_products_beyond_the_range_of_exp_stay_exact() -> None:
    embeddings = torch.tensor([[20.0, 0.0], [0.0, 20.0], [20.0, 0.0]])
    # Anchor 0: the negative at 400, the positive at 0; anchor 1 has 0 and 0.
    value = objective("n_pair", l2=0)(embeddings, torch.tensor([0, 0, 1]))
    assert value.item() == pytest.approx((400 + math.log(2)) / 2, rel=1e-6)


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("n_pair")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


# --- against pytorch-metric-learning ---------------------------------------------------------


def theirs() -> Any:
    return pytorch_metric_learning.losses.NPairsLoss(
        distance=pytorch_metric_learning.distances.DotProductSimilarity(normalize_embeddings=False)
    )


@pytest.mark.parametrize("seed", range(3))
def test_one_pair_per_class_equals_pytorch_metric_learning(seed: int) -> None:
    embeddings, labels = uneven_batch(seed)
    embeddings.requires_grad_()
    ours = objective("n_pair", pairs="one_per_class", l2=0)(embeddings, labels)
    expected = theirs()(embeddings, labels)
    torch.testing.assert_close(ours, expected, rtol=checks.RELATIVE, atol=0)
    (gradient,) = torch.autograd.grad(ours, embeddings)
    (their_gradient,) = torch.autograd.grad(expected, embeddings)
    torch.testing.assert_close(gradient, their_gradient, rtol=checks.RELATIVE, atol=1e-14)


def test_all_pairs_reach_rows_that_pytorch_metric_learning_leaves_without_gradient() -> None:
    labels = torch.arange(64) % 4
    embeddings = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    used = []
    for loss in (objective("n_pair", l2=0), theirs()):
        rows = embeddings.clone().requires_grad_()
        loss(rows, labels).backward()
        assert rows.grad is not None
        used.append(int(rows.grad.any(1).sum()))
    assert used == [64, 8]

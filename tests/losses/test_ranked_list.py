from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch

OPTIONS: list[dict[str, Any]] = [
    {},
    {"normalize": False},
    {"boundary": 0.9, "margin": 0.1},
    {"boundary": 0.5, "margin": 0.8},
    {"negative_temperature": 0.0},
    {"negative_temperature": 2.0, "push_weight": 0.3},
    {"push_weight": 0.0},
    {"push_weight": 1.0},
]


def twin(
    rows: list[list[float]],
    labels: list[int],
    *,
    boundary: float = 1.2,
    margin: float = 0.4,
    negative_temperature: float = 10.0,
    push_weight: float = 0.5,
    normalize: bool = True,
) -> tuple[float, float]:
    """The loss and the share of misplaced pairs, by plain loops."""
    if normalize:
        rows = [checks.on_the_sphere(row) for row in rows]
    terms, misplaced, n = [], 0, len(rows)
    reach = max(0.0, boundary - margin)
    for q in range(n):
        pull, push, weights = [], [], []
        for i in range(n):
            d = math.dist(rows[q], rows[i])
            if i != q and labels[i] == labels[q] and d > reach:
                pull.append(d - reach)
            if labels[i] != labels[q] and d < boundary:
                push.append(boundary - d)
                weights.append(math.exp(negative_temperature * (boundary - d)))
        misplaced += len(pull) + len(push)
        pushed = sum(w * p for w, p in zip(weights, push, strict=True)) / (sum(weights) or 1)
        terms.append((1 - push_weight) * mean(pull) + push_weight * pushed)
    return mean(terms), misplaced / (n * (n - 1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("params", OPTIONS)
def test_equals_the_plain_loops(seed: int, params: dict[str, Any]) -> None:
    embeddings, labels = uneven_batch(seed)
    loss = objective("ranked_list", **params)
    expected, misplaced = twin(embeddings.tolist(), labels.tolist(), **params)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(misplaced)


def test_the_gradient_is_right_without_weights() -> None:
    # The weights are constant for the gradient, so with them it is not that of the loss.
    checks.assert_the_gradient_is_right("ranked_list", negative_temperature=0)
    checks.assert_the_gradient_is_right("ranked_list", negative_temperature=0, normalize=False)


@pytest.mark.parametrize("seed", range(3))
def test_the_weights_of_the_negatives_pass_no_gradient(seed: int) -> None:
    embeddings, labels = uneven_batch(seed)
    embeddings.requires_grad_()
    (gradient,) = torch.autograd.grad(
        objective("ranked_list", push_weight=1, normalize=False)(embeddings, labels), embeddings
    )
    # By the formula: each query q pushes with w / Σw along the unit vector between the two rows.
    rows, expected = embeddings.tolist(), torch.zeros_like(embeddings)
    n = len(rows)
    for q in range(n):
        near = [
            (i, math.dist(rows[q], rows[i]))
            for i in range(n)
            if labels[i] != labels[q] and math.dist(rows[q], rows[i]) < 1.2
        ]
        total = sum(math.exp(10 * (1.2 - d)) for _, d in near)
        for i, d in near:
            step = (embeddings[q] - embeddings[i]).detach() / d * math.exp(10 * (1.2 - d)) / total
            expected[q] -= step / n
            expected[i] += step / n
    torch.testing.assert_close(gradient, expected, rtol=checks.RELATIVE, atol=1e-14)


@pytest.mark.parametrize("params", OPTIONS)
def test_degenerate_batches_have_a_finite_loss_and_gradient(params: dict[str, Any]) -> None:
    checks.assert_degenerate_batches_are_finite("ranked_list", checks.two_rows, **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_order_and_precision_do_not_matter_and_nan_is_not_hidden(params: dict[str, Any]) -> None:
    checks.assert_the_order_of_rows_does_not_matter("ranked_list", **params)
    checks.assert_single_precision_is_near("ranked_list", **params)
    checks.assert_a_diverged_batch_gives_nan("ranked_list", **params)


def test_classes_inside_their_spheres_and_apart_have_no_loss() -> None:
    labels = torch.arange(12) % 3
    # Within 0.8 of one another, √2 ± 0.4 from the others.
    noise = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)) * 0.03
    embeddings = (torch.eye(4)[labels] + noise).requires_grad_()
    loss = objective("ranked_list")
    value = loss(embeddings, labels)
    value.backward()
    assert value.item() == 0
    assert loss.log["active_fraction"] == 0
    assert loss.log["positive_distance"] > 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_a_temperature_that_overflows_exp_leaves_the_nearest_negative() -> None:
    embeddings = torch.tensor([[0.0], [0.5], [0.75]], requires_grad=True)
    loss = objective("ranked_list", push_weight=1, normalize=False, boundary=1)
    loss.params = loss.params.model_copy(update={"negative_temperature": 1e4})  # beyond the bound
    value = loss(embeddings, torch.tensor([0, 1, 2]))
    value.backward()
    # The nearest: 0.5 for row 0, and 0.25 for the rows 1 and 2.
    assert value.item() == pytest.approx((0.5 + 0.75 + 0.75) / 3, rel=1e-6)
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("ranked_list", normalize=False)
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


# --- against pytorch-metric-learning ---------------------------------------------------------


def theirs(temperature: float) -> Any:
    return pytorch_metric_learning.losses.RankedListLoss(
        margin=0.4,
        Tn=temperature,
        alpha=1.2,
        distance=pytorch_metric_learning.distances.LpDistance(),
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_value_equals_pytorch_metric_learning_except_for_its_epsilon(seed: int) -> None:
    # It adds 1e-5 to each of the B weights of a row, whose sum is at least 1.
    embeddings, labels = uneven_batch(seed)
    expected = theirs(3)(embeddings, labels).item()
    ours = objective("ranked_list", negative_temperature=3)(embeddings, labels).item()
    assert expected < ours
    assert ours == pytest.approx(expected, rel=1e-5 * len(labels))


def test_the_gradient_equals_pytorch_metric_learning_only_without_weights() -> None:
    embeddings, labels = uneven_batch(0)
    embeddings.requires_grad_()
    apart = {}
    for temperature in (0, 3):
        (ours,) = torch.autograd.grad(
            objective("ranked_list", negative_temperature=temperature)(embeddings, labels),
            embeddings,
        )
        (expected,) = torch.autograd.grad(theirs(temperature)(embeddings, labels), embeddings)
        apart[temperature] = ((ours - expected).norm() / ours.norm()).item()
    assert apart[0] < 1e-5 * len(labels)
    assert apart[3] > 0.1  # the gradient it lets through the weights


def test_a_collapsed_model_has_a_loss_but_none_in_pytorch_metric_learning() -> None:
    labels = torch.arange(8) % 2
    rows = torch.ones(8, 4, dtype=torch.float64)
    assert theirs(3)(rows, labels).item() == 0
    assert objective("ranked_list")(rows, labels).item() == pytest.approx(0.5 * 1.2)

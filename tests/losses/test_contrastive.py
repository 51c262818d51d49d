from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import pytorch_metric_learning.reducers
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch

OPTIONS: list[dict[str, Any]] = [
    {"power": power, "balanced": balanced, "normalize": normalize}
    for power in (1, 2)
    for balanced in (False, True)
    for normalize in (False, True)
]


def twin(
    rows: list[list[float]],
    labels: list[int],
    *,
    margin: float = 1.0,
    power: int = 1,
    balanced: bool = False,
    normalize: bool = False,
) -> tuple[float, float]:
    """The loss and the share of active pairs, by plain loops."""
    if normalize:
        rows = [checks.on_the_sphere(row) for row in rows]
    pull, push = [], []
    for i in range(len(rows)):
        for j in range(i):
            d = math.dist(rows[i], rows[j])
            if labels[i] == labels[j]:
                pull.append(d if power == 1 else d**2 / 2)
            else:
                missing = max(0.0, margin - d)
                push.append(missing if power == 1 else missing**2 / 2)
    active = mean([float(x > 0) for x in pull + push])
    if balanced:
        return 0.5 * mean(pull) + 0.5 * mean(push), active
    return mean(pull + push), active


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("params", OPTIONS)
@pytest.mark.parametrize("margin", [0.3, 1.0])
def test_equals_the_plain_loops(seed: int, params: dict[str, Any], margin: float) -> None:
    embeddings, labels = uneven_batch(seed)
    loss = objective("contrastive", margin=margin, **params)
    expected, active = twin(embeddings.tolist(), labels.tolist(), margin=margin, **params)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)


@pytest.mark.parametrize("params", OPTIONS)
def test_the_gradient_is_right(params: dict[str, Any]) -> None:
    checks.assert_the_gradient_is_right("contrastive", **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_degenerate_batches_have_a_finite_loss_and_gradient(params: dict[str, Any]) -> None:
    checks.assert_degenerate_batches_are_finite("contrastive", checks.two_rows, **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_order_and_precision_do_not_matter_and_nan_is_not_hidden(params: dict[str, Any]) -> None:
    checks.assert_the_order_of_rows_does_not_matter("contrastive", **params)
    checks.assert_single_precision_is_near("contrastive", **params)
    checks.assert_a_diverged_batch_gives_nan("contrastive", **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_classes_in_points_farther_apart_than_the_margin_have_no_loss(
    params: dict[str, Any],
) -> None:
    labels = torch.arange(12) % 3
    embeddings = (torch.eye(3)[labels] * 3).requires_grad_()
    loss = objective("contrastive", **params)
    value = loss(embeddings, labels)
    value.backward()
    assert value.item() == 0
    assert loss.log["active_fraction"] == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_a_collapsed_batch_has_the_margin_as_loss_for_every_pair_of_two_classes() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    value = objective("contrastive", margin=0.75)(torch.zeros(4, 4), labels)
    assert value.item() == 0.75 * 3 / 6
    balanced = objective("contrastive", margin=0.75, balanced=True)(torch.zeros(4, 4), labels)
    assert balanced.item() == 0.75 / 2


def test_a_batch_of_one_class_only_pulls_and_one_of_singletons_only_pushes() -> None:
    embeddings = torch.tensor([[0.0], [0.25]])
    for labels, expected in [([1, 1], 0.25), ([0, 1], 0.75)]:
        assert objective("contrastive")(embeddings, torch.tensor(labels)).item() == expected


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("contrastive")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


# --- against pytorch-metric-learning ---------------------------------------------------------


def theirs(reducer: Any, power: int = 1, margin: float = 1.0) -> Any:
    return pytorch_metric_learning.losses.ContrastiveLoss(
        neg_margin=margin,
        distance=pytorch_metric_learning.distances.LpDistance(
            normalize_embeddings=False, power=power
        ),
        reducer=reducer,
    )


def test_balanced_is_half_of_pytorch_metric_learning_with_its_mean_reducer() -> None:
    # It adds the mean of the same-class pairs to that of the different-class pairs.
    embeddings, labels = uneven_batch(3)
    embeddings.requires_grad_()
    ours = objective("contrastive", balanced=True)(embeddings, labels)
    expected = theirs(pytorch_metric_learning.reducers.MeanReducer())(embeddings, labels)
    torch.testing.assert_close(2 * ours, expected, rtol=checks.RELATIVE, atol=0)
    (gradient,) = torch.autograd.grad(2 * ours, embeddings)
    (their_gradient,) = torch.autograd.grad(expected, embeddings)
    torch.testing.assert_close(gradient, their_gradient, rtol=checks.RELATIVE, atol=1e-14)


def test_by_default_pytorch_metric_learning_averages_over_active_pairs_only() -> None:
    # One same-class pair at 0.5; of the two different-class pairs one is beyond the margin.
    embeddings = torch.tensor([[0.0], [0.5], [1.25]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1])
    default = theirs(pytorch_metric_learning.reducers.AvgNonZeroReducer())
    assert default(embeddings, labels).item() == 0.5 + 0.25
    assert objective("contrastive", balanced=True)(embeddings, labels).item() == 0.25 + 0.125 / 2


def test_power_2_squares_what_is_missing_not_the_distance() -> None:
    # A power of 2 of the library's distance makes the hinge m − D², not (m − D)².
    embeddings = torch.tensor([[0.0], [0.5]], dtype=torch.float64)
    labels = torch.tensor([0, 1])
    squared = theirs(pytorch_metric_learning.reducers.MeanReducer(), power=2)
    assert squared(embeddings, labels).item() == 1 - 0.5**2
    assert objective("contrastive", power=2)(embeddings, labels).item() == (1 - 0.5) ** 2 / 2

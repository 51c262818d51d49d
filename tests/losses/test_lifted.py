from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch


def twin(
    rows: list[list[float]], labels: list[int], *, margin: float = 1.0, normalize: bool = False
) -> tuple[float, float]:
    """The loss and the share of active pairs, by plain loops."""
    if normalize:
        rows = [checks.on_the_sphere(row) for row in rows]

    def d(i: int, j: int) -> float:
        return math.dist(rows[i], rows[j])

    terms = []
    for i in range(len(rows)):
        for j in range(i):
            if labels[i] != labels[j]:
                continue
            others = [k for k in range(len(rows)) if labels[k] != labels[i]]
            total = sum(math.exp(margin - d(i, k)) for k in others)
            total += sum(math.exp(margin - d(j, k)) for k in others)
            terms.append(max(0.0, math.log(total) + d(i, j)))
    return mean([t**2 for t in terms]) / 2, mean([float(t > 0) for t in terms])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 1.0])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("spread", [0.4, 3.0])
def test_equals_the_plain_loops(seed: int, margin: float, normalize: bool, spread: float) -> None:
    embeddings, labels = uneven_batch(seed, spread=spread)
    loss = objective("lifted", margin=margin, normalize=normalize)
    expected, active = twin(
        embeddings.tolist(), labels.tolist(), margin=margin, normalize=normalize
    )
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)


@pytest.mark.parametrize("normalize", [False, True])
def test_the_gradient_is_right(normalize: bool) -> None:
    checks.assert_the_gradient_is_right("lifted", normalize=normalize)


@pytest.mark.parametrize("normalize", [False, True])
def test_degenerate_batches_have_a_finite_loss_and_gradient(normalize: bool) -> None:
    checks.assert_degenerate_batches_are_finite(
        "lifted", checks.a_pair_and_a_negative, normalize=normalize
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_order_and_precision_do_not_matter_and_nan_is_not_hidden(normalize: bool) -> None:
    checks.assert_the_order_of_rows_does_not_matter("lifted", normalize=normalize)
    checks.assert_single_precision_is_near("lifted", normalize=normalize)
    checks.assert_a_diverged_batch_gives_nan("lifted", normalize=normalize)


def test_classes_farther_apart_than_the_smooth_margin_have_no_loss() -> None:
    # Points √2 · s apart: J = log(2 · 48) + m − √2 s, below 0 from s = 4 on.
    labels = torch.arange(64) % 4
    for scale, active in [(3.9, 1), (4.0, 0)]:
        embeddings = (torch.eye(4)[labels] * scale).requires_grad_()
        loss = objective("lifted")
        value = loss(embeddings, labels)
        value.backward()
        assert (value.item() > 0) == active
        assert loss.log["active_fraction"] == active
        assert embeddings.grad is not None
        assert bool(embeddings.grad.any()) == bool(active)


def test_on_the_sphere_the_loss_has_a_floor() -> None:
    # 4 classes at the corners of a tetrahedron, the best that 4 points can do: √(8/3) apart.
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    value = objective("lifted", normalize=True)(corners[torch.arange(64) % 4], torch.arange(64) % 4)
    floor = math.log(96) + 1 - math.sqrt(8 / 3)
    assert value.item() == pytest.approx(floor**2 / 2, rel=1e-5)


def test_a_collapsed_batch_has_the_loss_of_all_its_negatives() -> None:
    value = objective("lifted")(torch.zeros(64, 4), torch.arange(64) % 4)
    assert value.item() == pytest.approx((math.log(96) + 1) ** 2 / 2)


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("lifted")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_pytorch_metric_learning(seed: int, normalize: bool) -> None:
    embeddings, labels = uneven_batch(seed)
    embeddings.requires_grad_()
    theirs: Any = pytorch_metric_learning.losses.LiftedStructureLoss(
        distance=pytorch_metric_learning.distances.LpDistance(normalize_embeddings=normalize)
    )
    ours = objective("lifted", normalize=normalize)(embeddings, labels)
    expected = theirs(embeddings, labels)
    torch.testing.assert_close(ours, expected, rtol=checks.RELATIVE, atol=0)
    (gradient,) = torch.autograd.grad(ours, embeddings)
    (their_gradient,) = torch.autograd.grad(expected, embeddings)
    torch.testing.assert_close(gradient, their_gradient, rtol=checks.RELATIVE, atol=1e-13)

from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.losses
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, dot, mean, objective, uneven_batch

ANGLES = [1, 36, 45, 55, 60]


def twin(
    embeddings: list[list[float]], labels: list[int], *, angle: float = 45
) -> tuple[float, float]:
    """The loss and the share of active pairs, by plain loops."""
    x = [checks.on_the_sphere(row) for row in embeddings]
    t = math.tan(math.radians(angle)) ** 2
    rows = range(len(x))
    sums = []
    for a in rows:
        for p in rows:
            if a == p or labels[a] != labels[p]:
                continue
            both = [u + v for u, v in zip(x[a], x[p], strict=True)]
            sums.append(
                sum(
                    math.exp(4 * t * dot(both, x[n]) - 2 * (1 + t) * dot(x[a], x[p]))
                    for n in rows
                    if labels[n] != labels[a]
                )
            )
    return mean([math.log1p(s) for s in sums]), mean([float(s > 1) for s in sums])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("angle", ANGLES)
def test_equals_the_plain_loops(seed: int, angle: float) -> None:
    embeddings, labels = uneven_batch(seed)
    loss = objective("angular", angle=angle)
    expected, active = twin(embeddings.tolist(), labels.tolist(), angle=angle)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)


@pytest.mark.parametrize("seed", range(4))
def test_the_n_pair_term_is_the_objective_n_pair_on_rows_that_are_not_normalised(seed: int) -> None:
    embeddings, labels = uneven_batch(seed)
    expected = objective("angular")(embeddings, labels)
    expected = expected + 0.5 * objective("n_pair")(embeddings, labels)
    assert_close(objective("angular", n_pair=0.5)(embeddings, labels), expected.item())


@pytest.mark.parametrize("n_pair", [0, 0.5])
def test_the_gradient_is_right(n_pair: float) -> None:
    checks.assert_the_gradient_is_right("angular", n_pair=n_pair)


@pytest.mark.parametrize("n_pair", [0, 0.5])
def test_degenerate_batches_have_a_finite_loss_and_gradient(n_pair: float) -> None:
    checks.assert_degenerate_batches_are_finite(
        "angular", checks.a_pair_and_a_negative, n_pair=n_pair
    )


@pytest.mark.parametrize("params", [{}, {"n_pair": 0.5}, {"angle": 60}])
def test_order_and_precision_do_not_matter_and_nan_is_not_hidden(params: dict[str, Any]) -> None:
    checks.assert_the_order_of_rows_does_not_matter("angular", **params)
    checks.assert_single_precision_is_near("angular", **params)
    checks.assert_a_diverged_batch_gives_nan("angular", **params)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_worst_and_the_best_triplets_stay_in_the_range_of_single_precision(
    angle: float,
) -> None:
    t = math.tan(math.radians(angle)) ** 2
    labels = torch.tensor([0, 0, 1])
    # The worst: positive opposite to its anchor, negative on top of one of them. (a + p) · n = 0.
    rows = torch.tensor([[1.0, 0], [-1.0, 0], [1.0, 0]])
    worst = objective("angular", angle=angle)(rows, labels)
    assert worst.item() == pytest.approx(math.log1p(math.exp(2 * (1 + t))), rel=1e-5)
    # The best: all of a class in a point, the other class opposite.
    rows = torch.tensor([[1.0, 0], [1.0, 0], [-1.0, 0]], requires_grad=True)
    best = objective("angular", angle=angle)(rows, labels)
    best.backward()
    assert best.item() == pytest.approx(math.log1p(math.exp(-8 * t - 2 * (1 + t))), rel=1e-4)
    assert best > 0
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()


def test_a_collapsed_batch_has_the_loss_of_all_its_negatives() -> None:
    # All on one point: 4 · 2 − 4 = 4 in every exponent, at 45°.
    loss = objective("angular")
    value = loss(torch.ones(64, 4), torch.arange(64) % 4)
    assert value.item() == pytest.approx(math.log(1 + 48 * math.exp(4)), rel=1e-6)
    assert loss.log["active_fraction"] == 1


def test_lengths_do_not_matter() -> None:
    embeddings, labels = uneven_batch(0)
    lengths = torch.linspace(0.1, 9, len(labels), dtype=torch.float64)[:, None]
    plain = objective("angular")(embeddings, labels)
    assert_close(objective("angular")(embeddings * lengths, labels), plain.item())


def test_the_log_holds_mean_distances_of_pairs_on_the_sphere() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("angular")
    loss(embeddings, labels)
    rows = [checks.on_the_sphere(row) for row in embeddings.tolist()]
    checks.assert_distances_are_logged(loss, rows, labels.tolist())


# --- against pytorch-metric-learning ---------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("angle", ANGLES)
def test_equals_pytorch_metric_learning_on_unit_vectors(seed: int, angle: float) -> None:
    embeddings, labels = uneven_batch(seed)
    embeddings = embeddings / embeddings.norm(dim=1, keepdim=True)
    theirs: Any = pytorch_metric_learning.losses.AngularLoss(alpha=angle)
    ours = objective("angular", angle=angle)(embeddings, labels)
    assert_close(ours, theirs(embeddings, labels).item())


def test_pytorch_metric_learning_does_not_normalise_the_negatives() -> None:
    # It puts anchors and positives on the sphere, but not the rows it takes for negatives, so
    # that its value changes with the length of the embeddings; ours does not.
    embeddings, labels = uneven_batch(0)
    theirs: Any = pytorch_metric_learning.losses.AngularLoss(alpha=45)
    values = {
        name: [loss(embeddings * scale, labels).item() for scale in (0.5, 2.0)]
        for name, loss in [("ours", objective("angular")), ("theirs", theirs)]
    }
    assert values["ours"][0] == pytest.approx(values["ours"][1], rel=checks.RELATIVE)
    assert values["theirs"][1] > 2 * values["theirs"][0]

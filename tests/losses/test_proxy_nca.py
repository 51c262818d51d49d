from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.losses
import pytorch_metric_learning.reducers
import torch

from textmetric.losses import build

EPS = 2.0**-52


def proxy_nca(dim: int = 5, classes: int = 4, seed: int = 0, **params: Any) -> Any:
    torch.manual_seed(seed)
    params = {"name": "proxy_nca", **params}
    return build("metric", params, dim=dim, classes=classes).double()


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of 7, 4, 2 and 1 rows, in no order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * 7 + [1] * 4 + [2] * 2 + [3])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    embeddings = torch.randn(len(labels), 5, dtype=torch.float64, generator=generator)
    return embeddings + labels[:, None] * 0.3, labels


def squared_distances(embeddings: torch.Tensor, proxies: torch.Tensor) -> list[list[float]]:
    us, ps = (
        [[x / math.hypot(*row) for x in row] for row in rows.tolist()]
        for rows in (embeddings, proxies)
    )
    return [[math.dist(u, p) ** 2 for p in ps] for u in us]


def twin(
    embeddings: torch.Tensor, labels: torch.Tensor, proxies: torch.Tensor, scale: float
) -> float:
    losses = []
    for distances, y in zip(squared_distances(embeddings, proxies), labels.tolist(), strict=True):
        e = [math.exp(-scale * d) for d in distances]
        losses.append(-math.log(e[y] / sum(x for z, x in enumerate(e) if z != y)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1.0, 9.0, 30.0])
def test_equals_the_plain_loops(seed: int, scale: float) -> None:
    embeddings, labels = batch(seed)
    objective = proxy_nca(seed=seed, scale=scale)
    # lengths of proxies do not count
    objective.proxies.data *= torch.rand(4, 1) + 0.5
    loss = objective(embeddings, labels)
    expected = twin(embeddings, labels, objective.proxies, scale)
    # Exponents of at most 4 · 30, sums of 4 and 14 terms, values near 1.
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_the_gradient_is_right_by_embeddings_and_by_proxies(scale: float) -> None:
    embeddings, labels = batch()
    objective = proxy_nca(scale=scale)

    def loss(rows: torch.Tensor, proxies: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(
            objective, {"proxies": proxies}, (rows, labels)
        )
        return found

    proxies = objective.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (embeddings.requires_grad_(), proxies))


def test_the_smallest_loss_of_two_classes_is_minus_four_scales() -> None:
    # Proxies at opposite poles, every row on its own: D² is 0 to the one and 4 to the other.
    objective = proxy_nca(dim=2, classes=2)
    objective.proxies.data = torch.tensor([[2.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    embeddings = torch.tensor([[3.0, 0.0], [-0.1, 0.0], [-7.0, 0.0]], dtype=torch.float64)
    loss = objective(embeddings, torch.tensor([0, 1, 1]))
    assert loss.item() == -4 * 9
    assert objective.log["positive_distance"] == 0
    assert objective.log["negative_distance"] == 4


def test_equal_proxies_lose_the_logarithm_of_the_number_of_other_classes() -> None:
    embeddings, labels = batch()
    objective = proxy_nca()
    objective.proxies.data = torch.ones(4, 5, dtype=torch.float64)
    assert objective(embeddings, labels).item() == pytest.approx(math.log(3), rel=100 * EPS)


def test_a_row_nearest_to_its_own_proxy_is_still_pulled() -> None:
    # With the true class in the denominator almost no pull would be left: e⁻¹⁸ here.
    objective = proxy_nca(dim=3, classes=2)
    objective.proxies.data = torch.eye(3, dtype=torch.float64)[:2]
    row = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    objective(row, torch.tensor([0])).backward()
    assert row.grad is not None
    # The loss is 2s (cos to the other − cos to its own), the slope of the first cosine is 1.
    torch.testing.assert_close(row.grad, torch.tensor([[0.0, 18.0, 0.0]], dtype=torch.float64))


def test_proxies_are_unit_vectors_drawn_from_the_callers_seed() -> None:
    first, second, other = proxy_nca(seed=7), proxy_nca(seed=7), proxy_nca(seed=8)
    assert torch.equal(first.proxies, second.proxies)
    assert not torch.equal(first.proxies, other.proxies)
    # drawn in single precision
    torch.testing.assert_close(
        first.proxies.norm(dim=1), torch.ones(4, dtype=torch.float64), rtol=1e-6, atol=0
    )
    assert [name for name, _ in first.named_parameters()] == ["proxies"]


@pytest.mark.parametrize("classes", [1, 2, 8])
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "duplicates", "tiny"])
@pytest.mark.parametrize("rows", [1, 8])
def test_degenerate_batches_have_a_finite_loss_and_gradient(
    classes: int, kind: str, rows: int
) -> None:
    drawn = torch.randn(rows, 5)
    embeddings = {
        "random": drawn,
        "equal": torch.ones_like(drawn),
        "zero": torch.zeros_like(drawn),
        "duplicates": drawn[torch.arange(rows) // 2],
        "tiny": drawn * 1e-25,
    }[kind].requires_grad_()
    for labels in (torch.zeros(rows, dtype=torch.int64), torch.arange(rows) % classes):
        objective = proxy_nca(classes=classes).float()
        embeddings.grad = None
        loss = objective(embeddings, labels)
        loss.backward()
        assert torch.isfinite(loss)
        for gradient in (embeddings.grad, objective.proxies.grad):
            assert gradient is not None
            assert torch.isfinite(gradient).all()
        if classes == 1:
            assert loss.item() == 0
            assert not embeddings.grad.any()  # type: ignore[attr-defined]
            assert not math.isfinite(objective.log["negative_distance"])


def test_a_diverged_batch_gives_nan_rather_than_a_number() -> None:
    embeddings, labels = batch()
    embeddings[3] = math.nan
    assert math.isnan(proxy_nca()(embeddings, labels).detach())


def test_the_order_of_rows_does_not_matter() -> None:
    embeddings, labels = batch()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    objective = proxy_nca()
    plain = objective(embeddings.requires_grad_(), labels)
    moved = objective(embeddings[order], labels[order])
    assert moved.item() == pytest.approx(plain.item(), rel=1e-13, abs=1e-13)
    torch.testing.assert_close(
        torch.autograd.grad(moved, embeddings)[0],
        torch.autograd.grad(plain, embeddings)[0],
        rtol=1e-12,
        atol=1e-13,
    )


def test_the_log_holds_mean_squared_distances_to_the_proxies() -> None:
    embeddings, labels = batch()
    objective = proxy_nca()
    objective(embeddings, labels)
    distances, y = squared_distances(embeddings, objective.proxies), labels.tolist()
    for name, same in [("positive_distance", True), ("negative_distance", False)]:
        chosen = [d for i in range(14) for z, d in enumerate(distances[i]) if (y[i] == z) == same]
        assert objective.log[name].item() == pytest.approx(sum(chosen) / len(chosen))
        assert objective.log[name].ndim == 0
        assert not objective.log[name].requires_grad


# --- against pytorch-metric-learning ---------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_the_true_class_is_not_in_the_denominator_unlike_in_pytorch_metric_learning(
    scale: float,
) -> None:
    # pytorch-metric-learning has q = −log(a / (a + b)) with the true class a in the denominator;
    # the paper's loss −log(a / b) of a row is log(exp(q) − 1).
    embeddings, labels = batch()
    objective = proxy_nca(scale=scale)
    theirs = pytorch_metric_learning.losses.ProxyNCALoss(
        4, 5, softmax_scale=scale, reducer=pytorch_metric_learning.reducers.DoNothingReducer()
    )
    theirs.proxies.data = objective.proxies.detach().clone()
    q = theirs(embeddings, labels)["loss"]["losses"]
    ours = objective(embeddings, labels)
    torch.testing.assert_close(ours, q.expm1().log().mean(), rtol=1e-10, atol=1e-10)
    assert ours < q.mean()
    # A softmax is below 1, so there no row has a negative loss; here good rows have.
    objective.proxies.data = torch.eye(5, dtype=torch.float64)[:4]
    theirs.proxies.data = objective.proxies.detach().clone()
    good = torch.eye(5, dtype=torch.float64)[labels]
    assert theirs(good, labels)["loss"]["losses"].mean() > 0
    assert objective(good, labels).item() == pytest.approx(math.log(3) - 2 * scale, rel=1e-12)

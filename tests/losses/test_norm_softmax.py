from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning.losses
import torch

from textmetric.losses import ClassificationObjective, build

EPS = 2.0**-52


def norm_softmax(dim: int = 5, classes: int = 4, seed: int = 0, **params: Any) -> Any:
    torch.manual_seed(seed)
    params = {"name": "norm_softmax", **params}
    return build("classification", params, dim=dim, classes=classes).double()


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of 7, 4, 2 and 1 rows, in no order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * 7 + [1] * 4 + [2] * 2 + [3])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    embeddings = torch.randn(len(labels), 5, dtype=torch.float64, generator=generator)
    return embeddings + labels[:, None] * 0.3, labels


def normalised(row: list[float]) -> list[float]:
    return [x / math.hypot(*row) for x in row]


def standardised(row: list[float]) -> list[float]:
    mean = sum(row) / len(row)
    variance = sum((x - mean) ** 2 for x in row) / len(row)
    return [(x - mean) / math.sqrt(variance + 1e-5) for x in row]


def plain_logits(
    embeddings: torch.Tensor, proxies: torch.Tensor, temperature: float, layer_norm: bool
) -> list[list[float]]:
    rows = embeddings.tolist()
    if layer_norm:
        rows = [standardised(row) for row in rows]
    us, ps = [normalised(row) for row in rows], [normalised(row) for row in proxies.tolist()]
    return [[sum(a * b for a, b in zip(u, p, strict=True)) / temperature for p in ps] for u in us]


def twin(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    proxies: torch.Tensor,
    *,
    temperature: float = 0.05,
    layer_norm: bool = True,
) -> float:
    losses = []
    for row, y in zip(
        plain_logits(embeddings, proxies, temperature, layer_norm), labels.tolist(), strict=True
    ):
        losses.append(-math.log(math.exp(row[y]) / sum(math.exp(x) for x in row)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_equals_the_plain_loops(seed: int, temperature: float, layer_norm: bool) -> None:
    embeddings, labels = batch(seed)
    params: dict[str, Any] = {"temperature": temperature, "layer_norm": layer_norm}
    objective = norm_softmax(seed=seed, **params)
    loss = objective(embeddings, labels)
    # Exponents of at most 20, sums of 5, 4 and 14 terms: under 2000 roundings.
    assert loss.item() == pytest.approx(
        twin(embeddings, labels, objective.proxies, **params), rel=1e-11
    )
    expected = plain_logits(embeddings, objective.proxies, **params)
    torch.testing.assert_close(
        objective.logits(embeddings).detach(),
        torch.tensor(expected, dtype=torch.float64),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_gradient_is_right_by_embeddings_and_by_proxies(layer_norm: bool) -> None:
    embeddings, labels = batch()
    objective = norm_softmax(layer_norm=layer_norm, temperature=0.2)

    def loss(rows: torch.Tensor, proxies: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(
            objective, {"proxies": proxies}, (rows, labels)
        )
        return found

    proxies = objective.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (embeddings.requires_grad_(), proxies))


def test_rows_on_their_own_proxies_lose_what_the_other_cosines_leave() -> None:
    objective = norm_softmax(dim=4, classes=4, layer_norm=False)
    objective.proxies.data = 3 * torch.eye(4, dtype=torch.float64)
    labels = torch.arange(12) % 4
    loss = objective(torch.eye(4, dtype=torch.float64)[labels], labels)
    assert loss.item() == pytest.approx(math.log1p(3 * math.exp(-20)), rel=1e-6, abs=4 * EPS)
    assert objective.log["proxy_cosine"].item() == pytest.approx(1)
    opposite = norm_softmax(dim=2, classes=2, layer_norm=False, temperature=0.01)
    opposite.proxies.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert opposite(opposite.proxies.detach(), torch.tensor([0, 1])).item() == 0


def test_the_head_predicts_the_class_of_the_nearest_proxy() -> None:
    objective = norm_softmax()
    assert isinstance(objective, ClassificationObjective)
    # Layer norm sees a proxy less its mean; nothing else is nearer to that proxy.
    centred = objective.proxies.detach() - objective.proxies.detach().mean(1, keepdim=True)
    objective.proxies.data = centred
    scores = objective.logits(centred)
    assert scores.shape == (4, 4)
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]
    assert scores.abs().max().item() <= 20 * (1 + 16 * EPS)


def test_with_layer_norm_the_mean_of_an_embedding_does_not_matter() -> None:
    embeddings, labels = batch()
    shifted = embeddings + torch.arange(14, dtype=torch.float64)[:, None]
    for layer_norm in (True, False):
        objective = norm_softmax(layer_norm=layer_norm)
        same = objective(shifted, labels).item() == pytest.approx(
            objective(embeddings, labels).item(), rel=1e-11
        )
        assert same == layer_norm


@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_length_of_an_embedding_does_not_matter(layer_norm: bool) -> None:
    embeddings, labels = batch()
    lengths = torch.rand(14, 1, dtype=torch.float64) + 0.5
    objective = norm_softmax(layer_norm=layer_norm)
    assert objective(embeddings * lengths, labels).item() == pytest.approx(
        objective(embeddings, labels).item(), rel=1e-11
    )


def test_proxies_are_drawn_from_the_callers_seed() -> None:
    first, second, other = norm_softmax(seed=7), norm_softmax(seed=7), norm_softmax(seed=8)
    assert torch.equal(first.proxies, second.proxies)
    assert not torch.equal(first.proxies, other.proxies)
    assert [name for name, _ in first.named_parameters()] == ["proxies"]
    assert first.proxies.abs().max() <= 5**-0.5


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "duplicates", "tiny", "flat"])
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("classes", [1, 2, 8])
def test_degenerate_batches_have_a_finite_loss_and_gradient(
    layer_norm: bool, kind: str, rows: int, classes: int
) -> None:
    drawn = torch.randn(rows, 5)
    embeddings = {
        "random": drawn,
        "equal": torch.ones_like(drawn),
        "zero": torch.zeros_like(drawn),
        "duplicates": drawn[torch.arange(rows) // 2],
        "tiny": drawn * 1e-25,
        "flat": drawn[:, :1].expand(rows, 5).clone(),  # no variance within a row
    }[kind].requires_grad_()
    for labels in (torch.zeros(rows, dtype=torch.int64), torch.arange(rows) % classes):
        objective = norm_softmax(classes=classes, layer_norm=layer_norm).float()
        embeddings.grad = None
        loss = objective(embeddings, labels)
        loss.backward()
        assert torch.isfinite(loss)
        for gradient in (embeddings.grad, objective.proxies.grad):
            assert gradient is not None
            assert torch.isfinite(gradient).all()
        if kind == "zero":
            assert loss.item() == pytest.approx(math.log(classes), abs=1e-6)


def test_a_diverged_batch_gives_nan_rather_than_a_number() -> None:
    embeddings, labels = batch()
    embeddings[3] = math.nan
    assert math.isnan(norm_softmax()(embeddings, labels).detach())


def test_the_order_of_rows_does_not_matter() -> None:
    embeddings, labels = batch()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    objective = norm_softmax()
    plain = objective(embeddings.requires_grad_(), labels)
    moved = objective(embeddings[order], labels[order])
    assert moved.item() == pytest.approx(plain.item(), rel=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(moved, embeddings)[0],
        torch.autograd.grad(plain, embeddings)[0],
        rtol=1e-12,
        atol=1e-13,
    )


def test_the_log_holds_the_mean_cosine_with_the_own_proxy() -> None:
    embeddings, labels = batch()
    objective = norm_softmax(temperature=0.3)
    objective(embeddings.requires_grad_(), labels)
    cosines = plain_logits(embeddings, objective.proxies, 1.0, layer_norm=True)
    own = [cosines[i][y] for i, y in enumerate(labels.tolist())]
    assert objective.log["proxy_cosine"].item() == pytest.approx(sum(own) / 14)
    assert objective.log["proxy_cosine"].ndim == 0
    assert not objective.log["proxy_cosine"].requires_grad


def test_without_layer_norm_it_is_proxy_nca_with_the_true_class_in_the_denominator() -> None:
    embeddings, labels = batch()
    ours = norm_softmax(temperature=1 / 18, layer_norm=False)
    nca = build("metric", {"name": "proxy_nca", "scale": 9}, dim=5, classes=4).double()
    nca.load_state_dict(ours.state_dict())
    for row, label in zip(embeddings.split(1), labels.split(1), strict=True):
        # A loss of x is only known to EPS, and its logarithm to EPS / x.
        x = ours(row, label).item()
        assert nca(row, label).item() == pytest.approx(
            math.log(math.expm1(x)), rel=1e-12, abs=64 * EPS * (1 + 1 / x)
        )


# --- against pytorch-metric-learning ---------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_equals_pytorch_metric_learning_after_layer_norm(
    temperature: float, layer_norm: bool
) -> None:
    embeddings, labels = batch()
    objective = norm_softmax(temperature=temperature, layer_norm=layer_norm)
    theirs = pytorch_metric_learning.losses.NormalizedSoftmaxLoss(4, 5, temperature=temperature)
    theirs.W.data = objective.proxies.detach().T.clone()
    a, b = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    ours = objective(a, labels)
    expected = theirs(torch.nn.functional.layer_norm(b, (5,)) if layer_norm else b, labels)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
    ours.backward()
    expected.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(objective.proxies.grad, theirs.W.grad.T, rtol=1e-10, atol=1e-12)

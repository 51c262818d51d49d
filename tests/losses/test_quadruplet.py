from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import pytorch_metric_learning.reducers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch

OPTIONS: list[dict[str, Any]] = [
    {"form": form, "reduction": reduction, "normalize": normalize}
    for form in ("chen", "law")
    for reduction in ("mean", "active_mean")
    for normalize in (False, True)
]
OPTIONS += [
    {"form": form, "distance": distance}
    for form in ("chen", "law")
    for distance in ("euclidean", "cosine")
]


DISTANCES: dict[str, Callable[[list[float], list[float]], float]] = {
    "euclidean": math.dist,
    "squared_euclidean": lambda a, b: sum((x - y) ** 2 for x, y in zip(a, b, strict=True)),
    "cosine": lambda a, b: 1 - checks.dot(a, b) / math.hypot(*a) / math.hypot(*b),
}


def hinges_of_chen(
    d: list[list[float]], labels: list[int], a1: float, a2: float, *, forgetful: bool = False
) -> tuple[list[float], list[float]]:
    """Both hinges of every quadruplet; ``forgetful``: l may be of the class of k."""
    first, second = [], []
    for i, j, k, l in itertools.product(range(len(labels)), repeat=4):  # noqa: E741
        if i == j or labels[i] != labels[j] or labels[k] == labels[i] or labels[l] == labels[i]:
            continue
        if (k == l) if forgetful else (labels[l] == labels[k]):
            continue
        first.append(max(0.0, d[i][j] - d[i][k] + a1))
        second.append(max(0.0, d[i][j] - d[l][k] + a2))
    return first, second


def hinges_of_law(d: list[list[float]], labels: list[int], delta: float) -> list[float]:
    pairs = list(itertools.permutations(range(len(labels)), 2))
    same = [(i, j) for i, j in pairs if labels[i] == labels[j]]
    different = [(i, j) for i, j in pairs if labels[i] != labels[j]]
    return [max(0.0, d[i][j] - d[k][n] + delta) for i, j in same for k, n in different]


def twin(
    rows: list[list[float]],
    labels: list[int],
    *,
    form: str = "chen",
    distance: str = "squared_euclidean",
    margin: float = 1.0,
    second_margin: float = 0.5,
    reduction: str = "mean",
    normalize: bool = False,
) -> tuple[float, float, int]:
    """The loss, the share of active hinges and the number of quadruplets, by plain loops."""
    if normalize:
        rows = [checks.on_the_sphere(row) for row in rows]
    d = [[DISTANCES[distance](a, b) for b in rows] for a in rows]
    if form == "chen":
        lists = list(hinges_of_chen(d, labels, margin, second_margin))
    else:
        lists = [hinges_of_law(d, labels, margin)]
    flat = [hinge for hinges in lists for hinge in hinges]
    active = mean([float(hinge > 0) for hinge in flat]) if flat else math.nan
    if reduction == "active_mean":
        lists = [[hinge for hinge in hinges if hinge > 0] for hinges in lists]
    return sum(mean(hinges) for hinges in lists), active, len(flat) // len(lists or [0])


def valid(form: str) -> Any:
    def holds_a_quadruplet(labels: list[int]) -> bool:
        classes = 3 if form == "chen" else 2
        return len(set(labels)) >= classes and any(labels.count(y) > 1 for y in labels)

    return holds_a_quadruplet


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", OPTIONS)
@pytest.mark.parametrize("margins", [{}, {"margin": 0.1, "second_margin": 0.02}])
def test_equals_the_plain_loops(
    seed: int, params: dict[str, Any], margins: dict[str, float]
) -> None:
    embeddings, labels = uneven_batch(seed)
    loss = objective("quadruplet", **params, **margins)
    expected, active, count = twin(embeddings.tolist(), labels.tolist(), **params, **margins)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)
    assert loss.log["quadruplets"] == count


@settings(max_examples=100, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=9),
    margin=st.integers(0, 3),
    second_margin=st.integers(0, 3),
    form=st.sampled_from(["chen", "law"]),
    distance=st.sampled_from(["euclidean", "squared_euclidean"]),
    reduction=st.sampled_from(["mean", "active_mean"]),
)
def test_hinges_of_exactly_zero_do_not_count(
    points: list[tuple[int, int]],
    margin: int,
    second_margin: int,
    form: str,
    distance: str,
    reduction: str,
) -> None:
    # Whole numbers on a line: equal distances and hinges of exactly 0 are everywhere.
    embeddings = torch.tensor([[float(x)] for x, _ in points], dtype=torch.float64)
    labels = torch.tensor([y for _, y in points])
    params: dict[str, Any] = {
        "form": form, "distance": distance, "reduction": reduction,
        "margin": margin, "second_margin": second_margin,
    }  # fmt: skip
    loss = objective("quadruplet", **params)
    expected, active, _ = twin(embeddings.tolist(), labels.tolist(), **params)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active, nan_ok=True)


@pytest.mark.parametrize("params", OPTIONS)
def test_the_gradient_is_right(params: dict[str, Any]) -> None:
    checks.assert_the_gradient_is_right("quadruplet", **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_degenerate_batches_have_a_finite_loss_and_gradient(params: dict[str, Any]) -> None:
    checks.assert_degenerate_batches_are_finite("quadruplet", valid(params["form"]), **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_order_and_precision_do_not_matter_and_nan_is_not_hidden(params: dict[str, Any]) -> None:
    checks.assert_the_order_of_rows_does_not_matter("quadruplet", **params)
    checks.assert_single_precision_is_near("quadruplet", **params)
    checks.assert_a_diverged_batch_gives_nan("quadruplet", **params)


@pytest.mark.parametrize("params", OPTIONS)
def test_classes_in_points_farther_apart_than_the_margins_have_no_loss(
    params: dict[str, Any],
) -> None:
    labels = torch.arange(12) % 3
    embeddings = (torch.eye(4)[labels] * 3).requires_grad_()
    loss = objective("quadruplet", margin=0.9, **params)  # orthogonal: a cosine distance of 1
    value = loss(embeddings, labels)
    value.backward()
    assert value.item() == 0
    assert loss.log["active_fraction"] == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_the_mean_over_one_active_hinge_is_that_hinge() -> None:
    embeddings = torch.tensor([[0.0], [1.0], [-1.0], [100.0]], dtype=torch.float64)
    loss = objective("quadruplet", margin=1, reduction="active_mean")
    assert loss(embeddings, torch.tensor([0, 0, 1, 2])).item() == 1
    assert loss.log["active_fraction"] == 1 / 8  # of the first hinge alone: 0, 1 against −1


def test_a_collapsed_batch_has_the_margins_as_loss() -> None:
    labels = torch.arange(9) % 3
    assert objective("quadruplet")(torch.zeros(9, 4), labels).item() == pytest.approx(1.5)
    law = objective("quadruplet", form="law", margin=0.75)
    assert law(torch.zeros(9, 4), labels).item() == pytest.approx(0.75)


def test_two_classes_are_too_few_for_chen_and_enough_for_law() -> None:
    embeddings, labels = uneven_batch(0, sizes=(4, 4))
    assert objective("quadruplet", form="chen")(embeddings, labels) == 0
    assert objective("quadruplet", form="law")(embeddings, labels) > 0


def test_k_and_l_are_of_different_classes() -> None:
    # Anchor and positive in one point; the rows of class 1 a little apart, class 2 far away.
    embeddings = torch.tensor([[0.0], [0.0], [5.0], [5.1], [20.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 2])
    d = [[math.dist(a, b) ** 2 for b in embeddings.tolist()] for a in embeddings.tolist()]
    _, second = hinges_of_chen(d, labels.tolist(), 1.0, 0.5, forgetful=True)
    # A version without this rule treats the pair inside class 1 as a negative of class 0 and pushes
    # it apart, and the pair inside class 0 as a negative of class 1.
    assert sum(second) == pytest.approx(4 * (0.5 - 0.1**2) + 4 * (0.5 + 0.1**2))
    assert objective("quadruplet")(embeddings, labels) == 0


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("quadruplet", form="law", distance="euclidean")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


# --- against triplet losses ------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "active_mean"])
def test_the_first_hinge_on_even_classes_is_the_triplet_loss(reduction: str) -> None:
    # Each class is 10 away along its own axis: the second hinge is 0, the first is not with
    # margin 200.
    embeddings, labels = uneven_batch(0, sizes=(4, 4, 4))
    embeddings = embeddings + 10 * torch.eye(4, dtype=torch.float64)[labels]
    embeddings.requires_grad_()
    ours = objective("quadruplet", margin=200, second_margin=0, reduction=reduction)(
        embeddings, labels
    )
    triplet = objective(
        "triplet",
        margin=200,
        miner="all",
        distance="squared_euclidean",
        reduction=reduction,
    )(embeddings, labels)
    assert_close(ours, triplet.item())
    reducers = pytorch_metric_learning.reducers
    theirs: Any = pytorch_metric_learning.losses.TripletMarginLoss(
        margin=200,
        distance=pytorch_metric_learning.distances.LpDistance(normalize_embeddings=False, power=2),
        reducer=reducers.MeanReducer() if reduction == "mean" else reducers.AvgNonZeroReducer(),
    )(embeddings, labels)
    assert_close(ours, theirs.item())
    (gradient,) = torch.autograd.grad(ours, embeddings)
    (their_gradient,) = torch.autograd.grad(theirs, embeddings)
    torch.testing.assert_close(gradient, their_gradient, rtol=checks.RELATIVE, atol=1e-11)


# --- large batches ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["chen", "law"])
def test_a_batch_of_1024_rows_takes_seconds(form: str) -> None:
    labels = torch.arange(1024) % 4
    embeddings = torch.randn(1024, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = objective("quadruplet", form=form)
    started = time.perf_counter()
    loss(embeddings, labels).backward()
    assert time.perf_counter() - started < 20
    # 1024 · 255 same-class pairs, with 768 · 512 (chen) or 1024 · 768 (law) ordered negatives.
    assert loss.log["quadruplets"] == 1024 * 255 * 768 * (512 if form == "chen" else 1024)
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()

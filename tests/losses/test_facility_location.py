from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Hashable, Iterable

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from tests.losses import checks
from tests.losses.checks import assert_close, objective, uneven_batch


def assigned(distances: list[list[float]], chosen: list[int]) -> list[int]:
    """The place in ``chosen`` of each row's medoid."""
    rows = range(len(distances))
    return [min(range(len(chosen)), key=lambda k: distances[i][chosen[k]]) for i in rows]


def score(
    distances: list[list[float]], labels: list[int], chosen: list[int], gamma: float
) -> float:
    clusters = assigned(distances, chosen)
    facility = -sum(distances[i][chosen[k]] for i, k in enumerate(clusters))
    return facility + gamma * (1 - mutual_information(labels, clusters))


def mutual_information(labels: list[int], clusters: list[int]) -> float:
    """Normalised by the geometric mean of the entropies; scikit-learn takes 30 times as long."""

    def entropy(values: Iterable[Hashable]) -> float:
        counts = Counter(values)
        total = counts.total()
        return -sum(count / total * math.log(count / total) for count in counts.values())

    of_labels, of_clusters = entropy(labels), entropy(clusters)
    if not of_labels or not of_clusters:
        return 0.0
    shared = of_labels + of_clusters - entropy(zip(labels, clusters, strict=True))
    return max(0.0, shared) / math.sqrt(of_labels * of_clusters)


@pytest.mark.parametrize("seed", range(10))
def test_the_mutual_information_of_these_tests_equals_scikit_learn(seed: int) -> None:
    generator = random.Random(seed)
    labels, clusters = ([generator.randrange(4) for _ in range(12)] for _ in range(2))
    expected = normalized_mutual_info_score(labels, clusters, average_method="geometric")
    assert mutual_information(labels, clusters) == pytest.approx(expected, rel=1e-12)
    assert mutual_information(labels, [0] * 12) == 0


def twin(
    rows: list[list[float]], labels: list[int], gamma: float = 1.0, swaps: int = 5
) -> tuple[float, float]:
    """The loss by the search, and by trying every set of medoids."""
    units = [checks.on_the_sphere(row) for row in rows]
    distances = [[math.dist(u, v) for v in units] for u in units]
    everyone = range(len(rows))
    classes = sorted(set(labels))

    def preferred(chosen: list[int], last: int) -> float:
        # Of a cluster of two, either row is as good: the one nearer to all rows is taken.
        return score(distances, labels, chosen, gamma) - 1e-9 * sum(distances[last])

    chosen: list[int] = []
    for _ in classes:
        left = [j for j in everyone if j not in chosen]
        chosen.append(max(left, key=lambda j: preferred([*chosen, j], j)))
    for _ in range(swaps):
        for k in range(len(classes)):
            members = [i for i in everyone if assigned(distances, chosen)[i] == k]
            candidates = [[*chosen[:k], j, *chosen[k + 1 :]] for j in members]
            chosen = max(candidates, key=lambda s: preferred(s, s[k]))

    oracle = 0.0
    for c in classes:
        members = [i for i in everyone if labels[i] == c]
        oracle -= min(sum(distances[i][j] for i in members) for j in members)
    sets = itertools.combinations(everyone, len(classes))
    best = max(score(distances, labels, list(s), gamma) for s in sets)
    return (
        max(0.0, score(distances, labels, chosen, gamma) - oracle),
        max(0.0, best - oracle),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gamma", [0.0, 1.0, 8.0, 100.0])
@pytest.mark.parametrize("swaps", [0, 1, 5])
def test_equals_the_plain_search(seed: int, gamma: float, swaps: int) -> None:
    embeddings, labels = uneven_batch(seed)
    expected, _ = twin(embeddings.tolist(), labels.tolist(), gamma, swaps)
    loss = objective("facility_location", gamma=gamma, swaps=swaps)
    assert_close(loss(embeddings, labels), expected)


def test_the_search_never_exceeds_the_maximum_and_often_finds_it() -> None:
    found = []
    for seed in range(20):
        embeddings, labels = uneven_batch(seed, sizes=(4, 3, 2))
        _, maximum = twin(embeddings.tolist(), labels.tolist())
        value = objective("facility_location")(embeddings, labels).item()
        assert value <= maximum + 1e-12
        found.append(value == pytest.approx(maximum, abs=1e-9))
    assert sum(found) >= 10


def test_swaps_never_lower_what_was_found() -> None:
    for seed in range(20):
        embeddings, labels = uneven_batch(seed)
        values = [
            objective("facility_location", swaps=swaps)(embeddings, labels).item()
            for swaps in range(6)
        ]
        assert all(after >= before - 1e-12 for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("seed", range(4))
def test_the_logged_nmi_equals_scikit_learn(seed: int) -> None:
    # The loss shows which medoids were found.
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(12, 4, dtype=torch.float64, generator=generator)
    labels = torch.arange(12) % 3
    loss = objective("facility_location", gamma=1.0)
    value = loss(embeddings, labels).item()
    units = [checks.on_the_sphere(row) for row in embeddings.tolist()]
    distances = [[math.dist(u, v) for v in units] for u in units]
    oracle = sum(
        min(sum(distances[i][j] for i in range(c, 12, 3)) for j in range(c, 12, 3))
        for c in range(3)
    )
    matches = []
    for chosen in itertools.combinations(range(12), 3):
        if score(distances, labels.tolist(), list(chosen), 1.0) + oracle == pytest.approx(value):
            clusters = assigned(distances, list(chosen))
            matches.append(
                normalized_mutual_info_score(labels, clusters, average_method="geometric")
            )
    assert loss.log["nmi"].item() in [pytest.approx(float(nmi)) for nmi in matches]


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_the_gradient_is_right(gamma: float) -> None:
    checks.assert_the_gradient_is_right("facility_location", seed=1, gamma=gamma)


def test_no_gradient_flows_through_the_choice_of_medoids() -> None:
    # γ changes the choice, but not the gradient of a given choice.
    embeddings, labels = uneven_batch(0)
    gradients = []
    for gamma in (1.0, 1.0 + 1e-9):
        leaf = embeddings.clone().requires_grad_()
        objective("facility_location", gamma=gamma)(leaf, labels).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def a_class_of_two_and_another(labels: list[int]) -> bool:
    return 1 < len(set(labels)) < len(labels)


def test_degenerate_batches_have_a_finite_loss_and_gradient() -> None:
    checks.assert_degenerate_batches_are_finite("facility_location", a_class_of_two_and_another)


def test_order_and_precision_do_not_matter_and_nan_is_not_hidden() -> None:
    checks.assert_the_order_of_rows_does_not_matter("facility_location")
    checks.assert_single_precision_is_near("facility_location")
    checks.assert_a_diverged_batch_gives_nan("facility_location")


def test_the_length_of_the_embeddings_does_not_matter() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("facility_location")
    scales = torch.linspace(0.5, 4, len(labels), dtype=torch.float64)[:, None]
    assert_close(loss(scales * embeddings, labels), loss(embeddings, labels).item())


def test_classes_in_separate_points_have_no_loss() -> None:
    labels = torch.arange(64) % 4
    loss = objective("facility_location")
    embeddings = torch.eye(4, dtype=torch.float64)[labels].requires_grad_()
    value = loss(embeddings, labels)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert loss.log["nmi"].item() == pytest.approx(1)
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_a_collapsed_batch_has_the_whole_margin_as_loss_and_no_gradient() -> None:
    # All in one point: every set of medoids costs 0, and one of them holds nearly all rows.
    embeddings = torch.ones(64, 4, dtype=torch.float64).requires_grad_()
    loss = objective("facility_location", gamma=2.0)
    value = loss(embeddings, torch.arange(64) % 4)
    value.backward()
    assert value.item() == pytest.approx(2 * (1 - loss.log["nmi"].item()))
    assert loss.log["nmi"] < 0.2
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_training_separates_the_classes() -> None:
    embeddings, labels = uneven_batch(0, sizes=(8, 8, 8, 8))
    leaf = embeddings.clone().requires_grad_()
    loss = objective("facility_location")
    optimizer = torch.optim.Adam([leaf], lr=0.05)
    nmi = []
    for _ in range(150):
        optimizer.zero_grad()
        loss(leaf, labels).backward()
        optimizer.step()
        nmi.append(loss.log["nmi"].item())
    assert nmi[0] < 0.6
    assert nmi[-1] > 0.95
    checks.assert_distances_are_logged(
        loss_after(leaf, labels), [checks.on_the_sphere(r) for r in leaf.tolist()], labels.tolist()
    )


def loss_after(embeddings: torch.Tensor, labels: torch.Tensor) -> torch.nn.Module:
    loss: torch.nn.Module = objective("facility_location")
    loss(embeddings, labels)
    return loss

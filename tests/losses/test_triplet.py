from __future__ import annotations

import copy
import itertools
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import pytorch_metric_learning.miners
import pytorch_metric_learning.reducers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.losses import build
from textmetric.losses.distances import Distance, pairwise
from textmetric.losses.mining import MINERS, Miner, _random_negatives, pair_masks
from textmetric.sampling.streams import Stream, seed_of

ALL_MINERS = get_args(Miner)
FIXED_MINERS = ["all", "easy", "hard"]  # those that draw nothing
DISTANCES = get_args(Distance)
EPS = 2.0**-52


def triplet(seed: int = 0, **params: Any) -> Any:
    return build("metric", {"name": "triplet", **params}, dim=4, classes=3, seed=seed)


def batch(rows: int = 18, classes: int = 3, dim: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Uneven classes that overlap, so that every kind of triplet occurs."""
    generator = torch.Generator().manual_seed(rows)
    labels = torch.randint(classes, (rows,), generator=generator)
    embeddings = torch.randn(rows, dim, dtype=torch.float64, generator=generator)
    return embeddings * 0.3 + labels[:, None] * 0.2, labels


def plain_distance(a: list[float], b: list[float], distance: str, normalize: bool) -> float:
    if normalize or distance == "cosine":
        a = [x / math.hypot(*a) for x in a]
        b = [x / math.hypot(*b) for x in b]
    if distance == "cosine":
        return 1 - sum(x * y for x, y in zip(a, b, strict=True))
    length = math.dist(a, b)
    return length**2 if distance == "squared_euclidean" else length


def mined(
    d: list[list[float]], labels: list[int], margin: float, miner: str, drawn: list[list[int]]
) -> list[tuple[int, int, int]]:
    """The triplets of a batch, from the definitions; ``drawn[a][p]`` is the random negative."""
    triplets = []
    rows = range(len(labels))
    for a in rows:
        positives = [p for p in rows if p != a and labels[p] == labels[a]]
        negatives = [n for n in rows if labels[n] != labels[a]]
        if not positives or not negatives:
            continue
        if miner == "all":
            triplets += [(a, p, n) for p in positives for n in negatives]
        elif miner == "hard":
            p = max(positives, key=lambda p: d[a][p])
            triplets.append((a, p, min(negatives, key=lambda n: d[a][n])))
        elif miner == "easy":
            p = min(positives, key=lambda p: d[a][p])
            triplets.append((a, p, max(negatives, key=lambda n: d[a][n])))
        else:
            for p in positives:
                semi_hard = [n for n in negatives if d[a][p] < d[a][n] < d[a][p] + margin]
                if miner == "semi_hard" and semi_hard:
                    triplets.append((a, p, min(semi_hard, key=lambda n: d[a][n])))
                else:
                    triplets.append((a, p, drawn[a][p]))
    return triplets


def twin(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    *,
    margin: float = 0.2,
    miner: str = "semi_hard",
    distance: str = "euclidean",
    reduction: str = "mean",
    normalize: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    """The loss and the share of active triplets, by plain loops."""
    rows = embeddings.tolist()
    d = [[plain_distance(a, b, distance, normalize) for b in rows] for a in rows]
    _, negative = pair_masks(labels)
    generator = torch.Generator().manual_seed(seed_of(seed, Stream.OBJECTIVE))
    drawn = _random_negatives(negative, generator).tolist()
    triplets = mined(d, labels.tolist(), margin, miner, drawn)
    hinges = [max(0.0, d[a][p] - d[a][n] + margin) for a, p, n in triplets]
    active = sum(h > 0 for h in hinges)
    over = active if reduction == "active_mean" else len(triplets)
    return sum(hinges) / max(over, 1), active / len(triplets) if triplets else math.nan


def rounding(embeddings: torch.Tensor) -> float:
    """A bound on how far two ways to average T hinges of a batch may differ.

    A mean of T numbers no larger than s, each a few roundings off, is off by at most
    (log₂ T + c)·eps·s when summed pairwise and T·eps·s in a plain loop, for which T·eps·s with
    T ≤ B³ stands here; s is the largest distance (squared) plus a margin of at most 1.
    """
    largest = float(pairwise(embeddings.detach()).max())
    return len(embeddings) ** 3 * EPS * (max(largest, largest**2) + 1)


@pytest.mark.parametrize("miner", ALL_MINERS)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("reduction", ["mean", "active_mean"])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_the_plain_loops(miner: str, distance: str, reduction: str, normalize: bool) -> None:
    embeddings, labels = batch()
    params = {
        "miner": miner,
        "distance": distance,
        "reduction": reduction,
        "normalize": normalize,
        "margin": 0.15,
    }
    objective = triplet(seed=3, **params)
    loss = objective(embeddings, labels)
    expected, active = twin(embeddings, labels, seed=3, **params)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected, rel=0, abs=rounding(embeddings))
    assert objective.log["active_fraction"].item() == pytest.approx(active)


@pytest.mark.parametrize("miner", ALL_MINERS)
def test_single_precision_is_within_its_rounding(miner: str) -> None:
    embeddings, labels = batch(rows=64)
    embeddings = embeddings.float()
    loss = triplet(miner=miner, seed=1)(embeddings, labels)
    assert loss.dtype == torch.float32
    expected, _ = twin(embeddings.double(), labels, miner=miner, seed=1)
    # Slopes, distances and their pairwise sum: 4 + log₂ 64² roundings of numbers of this size. A
    # hinge that is 0 in one precision and not in the other is at most a rounding itself.
    size = float(pairwise(embeddings).max()) + 0.2
    assert loss.item() == pytest.approx(expected, rel=0, abs=16 * 2.0**-23 * size)


@settings(max_examples=150, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=9),
    margin=st.integers(0, 3),
    miner=st.sampled_from(ALL_MINERS),
    reduction=st.sampled_from(["mean", "active_mean"]),
)
def test_ties_are_decided_as_the_definitions_say(
    points: list[tuple[int, int]], margin: int, miner: str, reduction: str
) -> None:
    # Whole numbers on a line: equal distances and hinges of exactly 0 are everywhere.
    embeddings = torch.tensor([[float(x)] for x, _ in points], dtype=torch.float64)
    labels = torch.tensor([y for _, y in points])
    objective = triplet(miner=miner, margin=margin, reduction=reduction)
    loss = objective(embeddings, labels)
    expected, active = twin(embeddings, labels, miner=miner, margin=margin, reduction=reduction)
    assert loss.item() == pytest.approx(expected, rel=0, abs=rounding(embeddings))
    assert objective.log["active_fraction"].item() == pytest.approx(active, nan_ok=True)


@pytest.mark.parametrize("miner", ALL_MINERS)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("reduction", ["mean", "active_mean"])
def test_the_gradient_is_right(miner: str, distance: str, reduction: str) -> None:
    embeddings, labels = batch(rows=10)
    objective = triplet(miner=miner, distance=distance, reduction=reduction, normalize=True)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        objective.generator.manual_seed(0)  # the same draws at every point
        return objective(rows, labels)

    # Away from kinks: gradcheck moves a row by 1e-6, so by 1e-4 no hinge may change sign and no
    # two distances of an anchor may change places.
    d = pairwise(embeddings / embeddings.norm(dim=1, keepdim=True), distance)  # type: ignore[arg-type]
    steps = torch.cat([d, d + 0.2], dim=1).sort(1).values.diff(dim=1)
    assert steps.min() > 1e-5
    assert loss(embeddings) > 0 or miner == "easy"
    assert torch.autograd.gradcheck(loss, (embeddings.requires_grad_(),))


@pytest.mark.parametrize("miner", ALL_MINERS)
def test_classes_farther_apart_than_the_margin_have_no_loss(miner: str) -> None:
    labels = torch.arange(12) % 3
    embeddings = (torch.randn(12, 4) * 0.01 + labels[:, None] * 10).requires_grad_()
    objective = triplet(miner=miner)
    loss = objective(embeddings, labels)
    loss.backward()
    assert loss.item() == 0
    assert objective.log["active_fraction"].item() == 0
    assert embeddings.grad is not None
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


@pytest.mark.parametrize("miner", ALL_MINERS)
@pytest.mark.parametrize("reduction", ["mean", "active_mean"])
@pytest.mark.parametrize(
    "labels",
    [[0], [0, 1], [0, 0], [2] * 8, list(range(8)), [0, 0, 0, 0, 0, 0, 0, 1]],
    ids=["one row", "two singletons", "one pair", "one class", "singletons", "one negative"],
)
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "duplicates"])
def test_degenerate_batches_have_a_finite_loss_and_gradient(
    miner: str, reduction: str, labels: list[int], kind: str
) -> None:
    rows = torch.randn(len(labels), 3)
    rows = {
        "random": rows,
        "equal": torch.ones_like(rows),
        "zero": torch.zeros_like(rows),
        "duplicates": rows[torch.arange(len(rows)) // 2],
    }[kind].requires_grad_()
    for distance, normalize in itertools.product(DISTANCES, [False, True]):
        objective = triplet(
            miner=miner, reduction=reduction, distance=distance, normalize=normalize
        )
        rows.grad = None
        loss = objective(rows, torch.tensor(labels))
        loss.backward()
        assert rows.grad is not None
        assert torch.isfinite(loss)
        assert torch.isfinite(rows.grad).all()
        valid = any(labels.count(y) > 1 for y in labels) and len(set(labels)) > 1
        if not valid:
            assert loss.item() == 0
            assert torch.equal(rows.grad, torch.zeros_like(rows))
            assert math.isnan(objective.log["active_fraction"])
            assert objective.log["triplets"] == 0
        elif kind in ("equal", "zero"):
            assert loss.item() == pytest.approx(0.2)  # every hinge is the margin


def test_a_diverged_batch_gives_nan_rather_than_a_number() -> None:
    embeddings, labels = batch()
    embeddings[3] = math.nan
    for miner in ALL_MINERS:
        assert math.isnan(triplet(miner=miner)(embeddings, labels))


@pytest.mark.parametrize("miner", FIXED_MINERS)
def test_the_order_of_rows_does_not_matter(miner: str) -> None:
    embeddings, labels = batch()
    embeddings.requires_grad_()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    plain = triplet(miner=miner)(embeddings, labels)
    (gradient,) = torch.autograd.grad(plain, embeddings)
    moved = triplet(miner=miner)(embeddings[order], labels[order])
    (moved_gradient,) = torch.autograd.grad(moved, embeddings)
    assert moved.item() == pytest.approx(plain.item(), rel=0, abs=rounding(embeddings))
    # A gradient sums ≤ 2 B² terms no larger than 1.
    torch.testing.assert_close(moved_gradient, gradient, rtol=0, atol=2 * len(labels) ** 2 * EPS)


def test_semi_hard_mining_without_fallback_does_not_depend_on_the_order_of_rows() -> None:
    # Classes apart on a line by less than the margin: every pair has a semi-hard negative.
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 3
    embeddings = torch.rand(12, 1, dtype=torch.float64, generator=generator) + 2 * labels[:, None]
    order = torch.randperm(12, generator=generator)
    objective = triplet(margin=3)
    plain = objective(embeddings, labels)
    assert objective.log["mined_fraction"] == 1
    moved = objective(embeddings[order], labels[order])
    assert moved.item() == pytest.approx(plain.item(), rel=0, abs=rounding(embeddings))


@pytest.mark.parametrize("miner", ALL_MINERS)
def test_the_same_seed_draws_the_same_losses(miner: str) -> None:
    embeddings, labels = batch()

    def losses(seed: int) -> list[float]:
        objective = triplet(seed=seed, miner=miner)
        torch.rand(seed + 1)  # the global generator does not matter
        return [objective(embeddings, labels).item() for _ in range(5)]

    assert losses(1) == losses(1)
    drawn = miner in ("random", "semi_hard")
    assert (losses(1) != losses(2)) == drawn
    assert (len(set(losses(1))) > 1) == drawn


def test_random_negatives_are_uniform() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    positive, negative = pair_masks(labels)
    generator = torch.Generator().manual_seed(0)
    distances = torch.zeros(6, 6)
    rounds = 4000
    counts = torch.zeros(6, 6)
    for _ in range(rounds):
        # All distances are 0, so every triplet is active and the slope counts the draws.
        counts += MINERS["random"](distances, positive, negative, 0.2, generator).slope
    drawn = -counts * negative
    for a, (positives, negatives) in enumerate(
        zip(positive.sum(1).tolist(), negative.sum(1).tolist(), strict=True)
    ):
        trials = rounds * positives
        deviation = math.sqrt(trials * (1 / negatives) * (1 - 1 / negatives))
        found = drawn[a][negative[a]]
        assert found.sum() == trials
        # Five standard deviations of a binomial count: 1 in 10⁶.
        assert (found - trials / negatives).abs().max() <= 5 * deviation


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_the_smallest_and_the_largest_draw_take_the_first_and_the_last_negative(
    draw: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, draw))
    labels = torch.arange(24) % 3
    _, negative = pair_masks(labels)
    drawn = _random_negatives(negative, torch.Generator())
    assert negative.gather(1, drawn).all()
    expected = negative.int().argmax(1) if draw == 0 else 23 - negative.flip(1).int().argmax(1)
    assert (drawn == expected[:, None]).all()


def test_a_semi_hard_batch_reports_the_share_that_fell_back() -> None:
    # Anchor 0.0: its positive at 1.0 has a semi-hard negative at 1.1. Anchor 1.0: its positive is
    # at 1, its negative at 0.1 only, so it falls back.
    embeddings = torch.tensor([[0.0], [1.0], [1.1]], dtype=torch.float64)
    objective = triplet(margin=0.2)
    loss = objective(embeddings, torch.tensor([0, 0, 1]))
    assert objective.log["mined_fraction"] == 0.5
    assert objective.log["triplets"] == 2
    # Hinges 1 − 1.1 + 0.2 and 1 − 0.1 + 0.2; six roundings of numbers below 2.
    assert loss.item() == pytest.approx((0.1 + 1.1) / 2, rel=0, abs=6 * 2 * EPS)


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = batch()
    objective = triplet(distance="squared_euclidean")
    objective(embeddings, labels)
    rows = embeddings.tolist()
    pairs = [
        (labels[i] == labels[j], math.dist(rows[i], rows[j]) ** 2)
        for i in range(18)
        for j in range(18)
        if i != j
    ]
    for name, same in [("positive_distance", True), ("negative_distance", False)]:
        chosen = [d for equal, d in pairs if equal == same]
        assert objective.log[name].item() == pytest.approx(
            sum(chosen) / len(chosen), abs=rounding(embeddings)
        )
        assert not objective.log[name].requires_grad


def test_can_be_copied_and_pickled() -> None:
    embeddings, labels = batch()
    objective = triplet(miner="random", seed=4)
    twins = [copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))]
    loss = objective(embeddings, labels)
    assert [t(embeddings, labels) for t in twins] == [loss, loss]


# --- against pytorch-metric-learning, where it computes the same thing -----------------------


def theirs(distance: str, reducer: Any, margin: float = 0.2) -> Any:
    return pytorch_metric_learning.losses.TripletMarginLoss(
        margin=margin, distance=their_distance(distance), reducer=reducer
    )


def their_distance(distance: str) -> Any:
    if distance == "cosine":
        return pytorch_metric_learning.distances.CosineSimilarity()
    return pytorch_metric_learning.distances.LpDistance(
        normalize_embeddings=False, power=2 if distance == "squared_euclidean" else 1
    )


@pytest.mark.parametrize("distance", DISTANCES)
def test_all_triplets_equal_pytorch_metric_learning(distance: str) -> None:
    embeddings, labels = batch(rows=24)
    reducers = pytorch_metric_learning.reducers
    atol = rounding(embeddings)
    for reduction, reducer in [
        ("mean", reducers.MeanReducer()),
        ("active_mean", reducers.AvgNonZeroReducer()),
    ]:
        ours = triplet(miner="all", distance=distance, reduction=reduction)(embeddings, labels)
        expected = theirs(distance, reducer)(embeddings, labels)
        torch.testing.assert_close(ours, expected, rtol=0, atol=atol)
    objective = triplet(miner="all", distance=distance)
    total = objective(embeddings, labels) * objective.log["triplets"]
    expected = theirs(distance, reducers.SumReducer())(embeddings, labels)
    torch.testing.assert_close(total, expected, rtol=0, atol=atol * int(objective.log["triplets"]))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", ["hard", "easy"])
def test_hard_and_easy_mining_equal_pytorch_metric_learning(distance: str, kind: str) -> None:
    embeddings, labels = batch(rows=24)
    miner = pytorch_metric_learning.miners.BatchEasyHardMiner(
        pos_strategy=kind, neg_strategy=kind, distance=their_distance(distance)
    )
    loss = theirs(distance, pytorch_metric_learning.reducers.MeanReducer(), margin=1.0)
    a = embeddings.clone().requires_grad_()
    b = embeddings.clone().requires_grad_()
    ours = triplet(miner=kind, distance=distance, margin=1.0)(a, labels)
    expected = loss(b, labels, miner(b, labels))
    torch.testing.assert_close(ours, expected, rtol=0, atol=rounding(embeddings))
    ours.backward()
    expected.backward()
    # Sums of ≤ B² terms of size ≤ 2 · the largest distance, by two orders of summation.
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=24**2 * 10 * EPS)
    if kind == "hard":
        batch_hard = pytorch_metric_learning.miners.BatchHardMiner(
            distance=their_distance(distance)
        )
        assert loss(embeddings, labels, batch_hard(embeddings, labels)) == expected


def test_semi_hard_takes_one_negative_a_pair_unlike_pytorch_metric_learning() -> None:
    # pytorch-metric-learning's "semihard" keeps every semi-hard triplet, drops the pairs that
    # have none, and averages over what is left; ours keeps the hardest of each pair.
    embeddings, labels = batch(rows=24)
    miner = pytorch_metric_learning.miners.TripletMarginMiner(
        margin=0.2, type_of_triplets="semihard", distance=their_distance("euclidean")
    )
    d = pairwise(embeddings)
    hardest: dict[tuple[int, int], float] = {}
    triplets = list(zip(*(x.tolist() for x in miner(embeddings, labels)), strict=True))
    for a, p, n in triplets:
        hardest[a, p] = min(hardest.get((a, p), math.inf), d[a, n].item())
    objective = triplet()
    objective(embeddings, labels)
    pairs = int(objective.log["triplets"])
    assert len(triplets) > len(hardest)
    assert pairs > len(hardest)
    assert objective.log["mined_fraction"].item() * pairs == pytest.approx(len(hardest))


# --- large batches ---------------------------------------------------------------------------


def test_the_loss_of_25_million_triplets_is_exact() -> None:
    # more than single precision counts: 2²⁴ + 1 is none of its numbers
    rows, positives, negatives = 512, 127, 384
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(rows, 8, dtype=torch.float64, generator=generator)
    labels = torch.arange(rows) % 4
    objective = triplet(miner="all")
    loss = objective(embeddings, labels).item()
    d = pairwise(embeddings)
    total = 0.0
    for a in range(rows):
        same = labels == labels[a]
        others = d[a][~same]
        same[a] = False
        total += float((d[a][same][:, None] - others + 0.2).clamp_min_(0).sum())
    triplets = rows * positives * negatives
    assert triplets > 2**24
    assert objective.log["triplets"] == triplets
    # Row sums of ≤ 2¹⁶ terms are summed pairwise (16 roundings), then 512 of them in a loop.
    size = float(d.max()) + 0.2
    assert loss == pytest.approx(total / triplets, rel=0, abs=528 * EPS * size)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_stays_within_a_few_matrices_at_1024_rows() -> None:
    # The triplets' index lists would take 4.6 GiB and one (B, B, B) mask 1 GiB. A (B, B) matrix
    # takes at most 8 MiB; thirty of them are allowed.
    code = """
import re, sys, torch
from textmetric.losses import build
torch.set_num_threads(1)
labels = torch.arange(1024) % 4
def step(rows):
    for miner in sys.argv[1].split(","):
        objective = build("metric", {"name": "triplet", "miner": miner}, dim=32, classes=4)
        objective(torch.randn(rows, 32, requires_grad=True), labels[:rows]).backward()
def peak():  # MiB; ru_maxrss would count what the parent held before the exec
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
step(64)
before = peak()
step(1024)
print(peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, ",".join(ALL_MINERS)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert 8 <= int(run.stdout) <= 240

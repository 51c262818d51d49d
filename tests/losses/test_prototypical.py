from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch
from textmetric.sampling.batches import steps_per_epoch


def twin(
    rows: list[list[float]],
    labels: list[int],
    *,
    support: int = 5,
    normalize: bool = False,
    scale: float = 1.0,
) -> tuple[float, float, float]:
    """The loss, the share of active queries and that of right ones, by plain loops."""
    if normalize:
        rows = [checks.on_the_sphere(row) for row in rows]
    prototypes, queries = {}, []
    for label in set(labels):
        of_class = [i for i in range(len(rows)) if labels[i] == label]
        shots = 1 if len(of_class) == 1 else min(support, len(of_class) // 2)
        prototypes[label] = [mean([rows[i][k] for i in of_class[:shots]]) for k in range(4)]
        queries += of_class[shots:]
    losses, right = [], []
    for q in queries:
        logits = {c: -scale * math.dist(rows[q], p) ** 2 for c, p in prototypes.items()}
        total = sum(math.exp(logit) for logit in logits.values())
        losses.append(-math.log(math.exp(logits[labels[q]]) / total))
        right.append(float(max(logits, key=logits.__getitem__) == labels[q]))
    return mean(losses), mean([float(x > math.log(2)) for x in losses]), mean(right)


OPTIONS = pytest.mark.parametrize(
    "options",
    [{}, {"support": 1}, {"support": 2}, {"normalize": True, "scale": 10.0}, {"scale": 0.1}],
    ids=["plain", "one shot", "two shots", "unit vectors", "soft"],
)


@pytest.mark.parametrize("seed", range(4))
@OPTIONS
@pytest.mark.parametrize("sizes", [(5, 4, 2, 1), (12, 11, 1), (2, 2), (2, 1)])
def test_equals_the_plain_loops(seed: int, options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    embeddings, labels = uneven_batch(seed, sizes)
    loss = objective("prototypical", **options)
    expected, active, right = twin(embeddings.tolist(), labels.tolist(), **options)
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)
    assert loss.log["accuracy"].item() == pytest.approx(right)


@OPTIONS
def test_the_gradient_is_right(options: dict[str, Any]) -> None:
    checks.assert_the_gradient_is_right("prototypical", **options)


@OPTIONS
def test_degenerate_batches_have_a_finite_loss_and_gradient(options: dict[str, Any]) -> None:
    checks.assert_degenerate_batches_are_finite(
        "prototypical", checks.a_pair_and_a_negative, **options
    )


@OPTIONS
def test_single_precision_is_near_and_nan_is_not_hidden(options: dict[str, Any]) -> None:
    checks.assert_single_precision_is_near("prototypical", **options)
    checks.assert_a_diverged_batch_gives_nan("prototypical", **options)


def test_only_the_order_inside_a_class_matters() -> None:
    embeddings, labels = uneven_batch(2)
    plain = objective("prototypical")(embeddings, labels)
    by_class = labels.argsort(stable=True)
    moved = objective("prototypical")(embeddings[by_class], labels[by_class])
    assert moved.item() == pytest.approx(plain.item(), rel=checks.RELATIVE)
    swapped = labels.argsort(stable=True, descending=True).flip(0)  # last of a class first
    other = objective("prototypical")(embeddings[swapped], labels[swapped])
    assert other.item() != pytest.approx(plain.item(), rel=1e-3)


def test_classes_far_apart_lose_nothing_and_a_collapse_loses_the_logarithm_of_the_classes() -> None:
    labels = torch.arange(64) % 4
    assert objective("prototypical")(torch.eye(4)[labels] * 10, labels).item() == 0
    collapsed = objective("prototypical")(torch.zeros(64, 4), labels)
    assert collapsed.item() == pytest.approx(math.log(4))


def test_unit_vectors_need_a_scale() -> None:
    # The best that 4 classes can do on the sphere: the corners of a tetrahedron, D² = 8/3.
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    labels = torch.arange(64) % 4
    for scale in (1, 10):
        value = objective("prototypical", normalize=True, scale=scale)(corners[labels], labels)
        expected = math.log(1 + 3 * math.exp(-scale * 8 / 3))
        assert value.item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("prototypical")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


# --- episodes ---------------------------------------------------------------------------------


def episodes(labels: np.ndarray, batch_size: int = 64, count: int = 2, **params: Any) -> Any:
    batches = objective("prototypical", **params).batches(labels.astype(np.int32), batch_size, 3)
    return [rows for _ in range(count) for rows in batches.epoch()]


@pytest.mark.parametrize(
    ("classes", "ways", "rows"), [(4, 4, 16), (219, 16, 4), (7, 7, 9), (2, 2, 32)]
)
def test_an_episode_is_a_whole_batch_shared_evenly(classes: int, ways: int, rows: int) -> None:
    labels = np.arange(classes * 40) % classes
    found = episodes(labels)
    assert len(found) == 2 * steps_per_epoch(len(labels), 64)
    for batch in found:
        assert batch.dtype == np.int64
        assert len(set(batch.tolist())) == 64
        counts = np.unique(labels[batch], return_counts=True)[1]
        assert len(counts) == ways
        assert counts.min() == rows


def test_support_and_query_of_four_classes_are_5_and_11_rows() -> None:
    labels = np.arange(400) % 4
    (batch, *_) = episodes(labels)
    drawn = torch.from_numpy(labels[batch])
    earlier = torch.tensor([int((drawn[:i] == drawn[i]).sum()) for i in range(64)])
    # All but the first five rows of a class at 0: a sixth in its support would draw it nearer.
    embeddings = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    embeddings[earlier >= 5] = 0
    prototypes = torch.stack([embeddings[drawn == c].sum(0) / 5 for c in range(4)])
    lengths = prototypes.square().sum(1)
    expected = (lengths + (-lengths).logsumexp(0)).mean()  # as many queries of each class
    assert objective("prototypical")(embeddings, drawn).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("few", [2, 3, 4, 7, 15])
@pytest.mark.parametrize("support", [1, 5])
def test_no_row_of_a_small_class_is_both_support_and_query(few: int, support: int) -> None:
    labels = np.repeat([0, 1, 2, 3], [200, 200, 200, few])
    met = set()
    for batch in episodes(labels, support=support):
        small = batch[labels[batch] == 3].tolist()
        assert len(small) == 16
        assert not set(small[:support]) & set(small[support:])
        met |= set(small)
    assert len(met) == few


def test_a_class_of_one_row_is_left_out_if_two_others_have_more() -> None:
    labels = np.repeat([0, 1, 2], [90, 90, 1])
    found = episodes(labels)
    assert len(found) == 2 * steps_per_epoch(181, 64)
    assert {2} & set(labels[np.concatenate(found)].tolist()) == set()
    assert all(len(batch) == 64 for batch in found)
    with_it = episodes(np.repeat([0, 1, 2], [90, 1, 1]))
    assert set(np.concatenate(with_it).tolist()) >= {90, 91}


def test_episodes_depend_on_the_seed_alone() -> None:
    labels = np.repeat(np.arange(5), [50, 40, 30, 3, 1]).astype(np.int32)

    def drawn(seed: int) -> list[list[int]]:
        batches = objective("prototypical").batches(labels, 32, seed)
        return [rows.tolist() for _ in range(2) for rows in batches.epoch()]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)

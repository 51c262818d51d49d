from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import pytorch_metric_learning.losses
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, dot, mean, objective, on_the_sphere
from tests.tiny import trained


def rows_of(seed: int, texts: int, spread: float = 1.0) -> torch.Tensor:
    """(2 · texts, 4): views, then copies that are near them; float64."""
    generator = torch.Generator().manual_seed(seed)
    views = torch.randn(texts, 4, dtype=torch.float64, generator=generator)
    noise = torch.randn(texts, 4, dtype=torch.float64, generator=generator)
    return torch.cat([views, views + spread * noise])


def twin(rows: list[list[float]], temperature: float = 0.1) -> tuple[float, float]:
    """The loss and the share of texts whose copy is not recognised, by plain loops."""
    size = len(rows) // 2
    u = [on_the_sphere(row) for row in rows[:size]]
    copies = [on_the_sphere(row) for row in rows[size:]]

    def p(i: int, v: list[float]) -> float:
        total = sum(math.exp(dot(u[k], v) / temperature) for k in range(size))
        return math.exp(dot(u[i], v) / temperature) / total

    losses, missed = [], []
    for i in range(size):
        loss = -math.log(p(i, copies[i]))
        for j in range(size):
            if j != i:
                loss -= math.log(1 - p(i, u[j]))
        losses.append(loss)
        missed.append(float(p(i, copies[i]) < 0.5))
    return mean(losses), mean(missed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("texts", [2, 3, 12])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_equals_the_plain_loops(seed: int, texts: int, temperature: float) -> None:
    rows = rows_of(seed, texts)
    loss = objective("invariant_spreading", temperature=temperature)
    expected, missed = twin(rows.tolist(), temperature)
    assert_close(loss(rows, torch.zeros(2 * texts, dtype=torch.int64)), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(missed)
    near = mean([math.dist(*map(on_the_sphere, pair)) for pair in zip(*halves(rows), strict=True)])
    assert loss.log["positive_distance"].item() == pytest.approx(near)
    u = [on_the_sphere(row) for row in halves(rows)[0]]
    apart = mean([math.dist(u[i], u[j]) for i in range(texts) for j in range(i)])
    assert loss.log["negative_distance"].item() == pytest.approx(apart)


def halves(rows: torch.Tensor) -> tuple[list[list[float]], list[list[float]]]:
    views, copies = rows.chunk(2)
    return views.tolist(), copies.tolist()


def test_the_gradient_is_right() -> None:
    loss = objective("invariant_spreading")
    labels = torch.zeros(10, dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda e: loss(e, labels), (rows_of(0, 5).requires_grad_(),))


def test_labels_are_not_used() -> None:
    rows = rows_of(1, 6)
    losses = {
        objective("invariant_spreading")(rows, torch.tensor(labels)).item()
        for labels in ([0] * 12, list(range(12)), [3, 1] * 6)
    }
    assert len(losses) == 1


def test_the_order_of_the_texts_does_not_matter() -> None:
    rows = rows_of(1, 6)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(12, dtype=torch.int64)
    plain = objective("invariant_spreading")(rows, labels)
    moved = objective("invariant_spreading")(rows[torch.cat([order, order + 6])], labels)
    assert moved.item() == pytest.approx(plain.item(), rel=checks.RELATIVE)


def test_degenerate_batches_have_a_finite_loss_and_gradient() -> None:
    checks.assert_degenerate_batches_are_finite(
        "invariant_spreading", lambda labels: len(labels) >= 4
    )


def test_single_precision_is_near_and_nan_is_not_hidden() -> None:
    checks.assert_single_precision_is_near("invariant_spreading")
    checks.assert_a_diverged_batch_gives_nan("invariant_spreading")


def test_the_last_of_an_odd_number_of_rows_belongs_to_none() -> None:
    rows, labels = rows_of(0, 4), torch.zeros(9, dtype=torch.int64)
    odd = torch.cat([rows, torch.ones(1, 4, dtype=torch.float64)])
    assert objective("invariant_spreading")(odd, labels) == objective("invariant_spreading")(
        rows, labels[:8]
    )


def test_orthogonal_texts_with_equal_copies_have_almost_no_loss() -> None:
    rows = torch.eye(4).repeat(2, 1)
    loss = objective("invariant_spreading")
    value = loss(rows, torch.zeros(8, dtype=torch.int64))
    own = math.exp(10) / (math.exp(10) + 3)
    other = 1 / (math.exp(10) + 3)
    assert value.item() == pytest.approx(-math.log(own) - 3 * math.log(1 - other), rel=1e-3)
    assert loss.log["active_fraction"] == 0


def test_a_collapsed_batch_has_the_loss_of_a_guess() -> None:
    value = objective("invariant_spreading")(torch.ones(16, 4), torch.zeros(16, dtype=torch.int64))
    # 8 texts: log 8, and each of the 7 others has a probability of 1/8.
    assert value.item() == pytest.approx(math.log(8) - 7 * math.log(7 / 8), rel=1e-5)


def test_the_first_term_is_one_side_of_ntxent_over_half_of_its_rows() -> None:
    """Its NTXentLoss normalises over all 2B − 1 rows and has no second term."""
    rows = rows_of(0, 6)
    instances = torch.arange(6).repeat(2)
    theirs: Any = pytorch_metric_learning.losses.NTXentLoss(temperature=0.1)
    ours = objective("invariant_spreading")(rows, instances)
    u, copies = (torch.nn.functional.normalize(half) for half in rows.chunk(2))
    both = torch.cat([u, copies])
    logits = (both @ both.T / 0.1).fill_diagonal_(-math.inf)
    over_all = torch.nn.functional.cross_entropy(logits, torch.arange(12).roll(6))
    assert theirs(rows, instances).item() == pytest.approx(over_all.item())
    first = torch.nn.functional.cross_entropy(copies @ u.T / 0.1, torch.arange(6))
    assert first < over_all  # 6 rows to be taken for, not 11
    assert first < ours


# --- views ------------------------------------------------------------------------------------


def ragged(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Texts whose tokens are all different: 0, 1, 2, …"""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.arange(offsets[-1], dtype=np.int32), offsets


def texts_of(ids: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids, offsets[1:-1])]


@pytest.mark.parametrize("options", [{}, {"drop": 0.9}, {"crop": 0.9}, {"drop": 0, "crop": 0}])
def test_a_view_is_a_part_of_its_text_in_its_order_and_never_empty(options: dict[str, Any]) -> None:
    loss = objective("invariant_spreading", **options)
    lengths = [0, 1, 2, 3, 40, 0, 7]
    ids, offsets = ragged(lengths)
    before = ids.copy()
    for _ in range(50):
        found = texts_of(*loss.views(ids, offsets))
        assert len(found) == 14
        for view, text in zip(found, texts_of(ids, offsets) * 2, strict=True):
            assert view == sorted(view)
            assert set(view) <= set(text)
            assert len(view) >= min(1, len(text))
    assert np.array_equal(ids, before)


def test_without_drop_a_view_is_a_span_of_at_least_its_share() -> None:
    loss = objective("invariant_spreading", drop=0, crop=0.5)
    lengths = set()
    for _ in range(200):
        for view in texts_of(*loss.views(*ragged([10, 10]))):
            assert np.diff(view).tolist() == [1] * (len(view) - 1)
            lengths.add(len(view))
    assert lengths == {6, 7, 8, 9, 10} or lengths == {5, 6, 7, 8, 9, 10}


def test_a_span_begins_anywhere_in_its_text() -> None:
    loss = objective("invariant_spreading", drop=0, crop=0.5)
    views = texts_of(*loss.views(*ragged([10] * 2000)))
    for length in (6, 7, 8, 9):
        first = [view[0] % 10 for view in views if len(view) == length]
        counts = np.bincount(first, minlength=11 - length)
        assert len(counts) == 11 - length
        # a fair draw of this many places: five standard deviations
        share = 1 / len(counts)
        assert np.abs(counts - len(first) * share).max() < 5 * math.sqrt(
            len(first) * share * (1 - share)
        )


def test_without_crop_a_share_of_the_tokens_is_dropped() -> None:
    loss = objective("invariant_spreading", drop=0.2, crop=0)
    ids, _ = loss.views(*ragged([50] * 400))
    # 40,000 draws: the share is within 0.01 except in one of 10⁶ cases
    assert len(ids) / 40_000 == pytest.approx(0.8, abs=0.01)


def test_without_drop_and_crop_both_views_are_the_text() -> None:
    ids, offsets = ragged([3, 0, 5])
    views, starts = objective("invariant_spreading", drop=0, crop=0).views(ids, offsets)
    assert texts_of(views, starts) == texts_of(ids, offsets) * 2
    assert views.dtype == np.int32
    assert starts.dtype == np.int64


def test_views_depend_on_the_seed_alone() -> None:
    def drawn(seed: int) -> list[list[int]]:
        loss = objective("invariant_spreading", seed=seed)
        return [ids for _ in range(2) for ids in texts_of(*loss.views(*ragged([9, 12])))]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_training_moves_the_views_of_a_text_together() -> None:
    _, curve, _ = trained("metric", {"name": "invariant_spreading"}, epochs=8)
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert curve[-1]["positive_distance"] < curve[-1]["negative_distance"]

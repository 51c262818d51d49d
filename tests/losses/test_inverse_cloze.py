from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, dot, mean, objective, on_the_sphere
from tests.losses.test_invariant_spreading import halves, ragged, rows_of, texts_of
from tests.tiny import trained

NAME = "inverse_cloze"


def twin(rows: list[list[float]], temperature: float) -> tuple[float, float]:
    """The loss and the share of spans that their rest does not recognise, by plain loops."""
    size = len(rows) // 2
    spans = [on_the_sphere(row) for row in rows[:size]]
    rests = [on_the_sphere(row) for row in rows[size:]]

    def p(of: int, given: list[float], among: list[list[float]]) -> float:
        total = sum(math.exp(dot(given, other) / temperature) for other in among)
        return math.exp(dot(given, among[of]) / temperature) / total

    losses, missed = [], []
    for i in range(size):
        own = p(i, rests[i], spans)
        losses += [-math.log(p(i, spans[i], rests)), -math.log(own)]
        missed.append(float(own < 0.5))
    return mean(losses), mean(missed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("texts", [2, 3, 12])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_the_plain_loops(seed: int, texts: int, temperature: float) -> None:
    rows = rows_of(seed, texts)
    loss = objective(NAME, temperature=temperature)
    expected, missed = twin(rows.tolist(), temperature)
    assert_close(loss(rows, torch.zeros(2 * texts, dtype=torch.int64)), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(missed)
    near = mean([math.dist(*map(on_the_sphere, pair)) for pair in zip(*halves(rows), strict=True)])
    assert loss.log["positive_distance"].item() == pytest.approx(near)
    spans = [on_the_sphere(row) for row in halves(rows)[0]]
    apart = mean([math.dist(spans[i], spans[j]) for i in range(texts) for j in range(i)])
    assert loss.log["negative_distance"].item() == pytest.approx(apart)


def test_the_gradient_is_right() -> None:
    loss = objective(NAME)
    labels = torch.zeros(10, dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda e: loss(e, labels), (rows_of(0, 5).requires_grad_(),))


def test_labels_are_not_used() -> None:
    rows = rows_of(1, 6)
    losses = {
        objective(NAME)(rows, torch.tensor(labels)).item()
        for labels in ([0] * 12, list(range(12)), [3, 1] * 6)
    }
    assert len(losses) == 1


def test_spans_and_rests_may_change_places() -> None:
    rows, labels = rows_of(2, 6), torch.zeros(12, dtype=torch.int64)
    assert_close(objective(NAME)(rows, labels), objective(NAME)(rows.roll(6, 0), labels).item())


def test_degenerate_batches_have_a_finite_loss_and_gradient() -> None:
    checks.assert_degenerate_batches_are_finite(NAME, lambda labels: len(labels) >= 4)


def test_single_precision_is_near_and_nan_is_not_hidden() -> None:
    checks.assert_single_precision_is_near(NAME)
    checks.assert_a_diverged_batch_gives_nan(NAME)


def test_a_collapsed_batch_has_the_loss_of_a_guess() -> None:
    value = objective(NAME)(torch.ones(16, 4), torch.zeros(16, dtype=torch.int64))
    assert value.item() == pytest.approx(math.log(8), rel=1e-5)


# --- views ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
def test_a_span_and_its_rest_are_the_text(share: float) -> None:
    loss = objective(NAME, share=share)
    lengths = [0, 1, 2, 3, 40, 0, 7]
    ids, offsets = ragged(lengths)
    before = ids.copy()
    for _ in range(50):
        views = texts_of(*loss.views(ids, offsets))
        assert len(views) == 14
        for span, rest, text in zip(views[:7], views[7:], texts_of(ids, offsets), strict=True):
            assert np.diff(span).tolist() == [1] * (len(span) - 1)
            if len(text) < 2:  # nothing can be left out
                assert span == rest == text
                continue
            assert sorted(span + rest) == text
            assert rest == sorted(rest)
            assert len(span) == min(max(round(share * len(text)), 1), len(text) - 1)
    assert np.array_equal(ids, before)


def test_a_span_begins_anywhere_in_its_text() -> None:
    views = texts_of(*objective(NAME, share=0.3).views(*ragged([10] * 4000)))[:4000]
    counts = np.bincount([span[0] % 10 for span in views], minlength=8)
    assert len(counts) == 8
    # a fair draw of eight places: five standard deviations
    assert np.abs(counts - 500).max() < 5 * math.sqrt(4000 / 8 * 7 / 8)


def test_views_have_the_types_of_tokens_and_depend_on_the_seed_alone() -> None:
    def drawn(seed: int) -> list[list[int]]:
        loss = objective(NAME, seed=seed)
        return [ids for _ in range(2) for ids in texts_of(*loss.views(*ragged([19, 12])))]

    ids, offsets = objective(NAME).views(*ragged([3, 0, 5]))
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_training_moves_the_parts_of_a_text_together() -> None:
    _, curve, _ = trained("metric", {"name": NAME}, epochs=8)
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert curve[-1]["positive_distance"] < curve[-1]["negative_distance"]

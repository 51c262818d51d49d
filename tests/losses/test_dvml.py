from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch
from tests.tiny import corpus, trained
from textmetric.encoders import BagEncoder
from textmetric.losses.dvml import FIRST, SECOND, Phase
from textmetric.params import Train
from textmetric.sampling.streams import Stream, seed_of
from textmetric.training.loop import fit

BASES = pytest.mark.parametrize("base", ["triplet", "n_pair"])
PHASES = pytest.mark.parametrize("phase", [FIRST, SECOND], ids=["first", "second"])


def dvml(phase: Phase = FIRST, seed: int = 0, **params: Any) -> Any:
    torch.manual_seed(1)
    loss = objective("dvml", seed=seed, **params).double()
    loss.phase = phase
    return loss


def linear(layer: torch.nn.Linear, row: list[float]) -> list[float]:
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    return [
        sum(w * x for w, x in zip(line, row, strict=True)) + b
        for line, b in zip(weight, bias, strict=True)
    ]


def twin(loss: Any, rows: list[list[float]], labels: torch.Tensor, weights: list[float]) -> float:
    """The loss by plain loops and the base, whose own tests check it; the draws are the same."""
    loss.generator.manual_seed(seed_of(0, Stream.OBJECTIVE))
    samples, size, dim = loss.params.samples, len(rows), len(rows[0])
    noise = torch.randn(samples, size, dim, generator=loss.generator).tolist()
    first, _, second = loss.decoder
    divergence, errors, metric = [], [], []
    for row in rows:
        m, v = linear(loss.mean, row), linear(loss.log_variance, row)
        divergence.append(sum((a * a + math.exp(b) - 1 - b) / 2 for a, b in zip(m, v, strict=True)))
    for t in range(samples):
        varied = []
        for row, draws in zip(rows, noise[t], strict=True):
            m, v = linear(loss.mean, row), linear(loss.log_variance, row)
            z = [e + a + math.exp(b / 2) * x for e, a, b, x in zip(row, m, v, draws, strict=True)]
            decoded = linear(second, [math.tanh(x) for x in linear(first, z)])
            errors.append(sum((e - d) ** 2 for e, d in zip(row, decoded, strict=True)))
            varied.append(z)
        metric.append(loss.base(torch.tensor(varied, dtype=torch.float64), labels).item())
    last = loss.base(torch.tensor(rows, dtype=torch.float64), labels).item()
    terms = [mean(divergence), mean(errors), mean(metric), last]
    return sum(w * term for w, term in zip(weights, terms, strict=True))


@pytest.mark.parametrize("seed", range(3))
@BASES
@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("hidden", [0, 3])
def test_equals_the_plain_loops(seed: int, base: str, samples: int, hidden: int) -> None:
    embeddings, labels = uneven_batch(seed)
    for phase, weights in [(FIRST, [1, 1, 0.1, 1]), (SECOND, [0.8, 1, 0.2, 0.8])]:
        loss = dvml(phase, base=base, samples=samples, hidden=hidden)
        value = loss(embeddings, labels)
        assert_close(value, twin(loss, embeddings.tolist(), labels, weights))
        logged = [loss.log[n] for n in ("divergence", "reconstruction", "varied", "invariant")]
        terms = sum(w * float(term) for w, term in zip(weights, logged, strict=True))
        assert terms == pytest.approx(value.item())


@BASES
def test_the_gradient_of_the_second_phase_is_right_with_a_fixed_target(base: str) -> None:
    # No gradient flows into the target of the decoder: with a target that is not the embedding
    # itself autograd is right.
    embeddings, labels = uneven_batch(0)
    target = embeddings.clone()

    def with_a_fixed_target(e: torch.Tensor) -> torch.Tensor:
        loss = dvml(SECOND, base=base, samples=3)
        value = loss(e, labels)
        loss.generator.manual_seed(seed_of(0, Stream.OBJECTIVE))
        varied = e + loss.mean(e) + (loss.log_variance(e) / 2).exp() * loss._noise(e)
        decoded = loss.decoder(varied)
        moved = (target - decoded).square().sum(2).mean()
        return value + moved - (e - decoded).square().sum(2).mean()

    def plain(e: torch.Tensor) -> torch.Tensor:
        return dvml(SECOND, base=base, samples=3)(e, labels)

    embeddings.requires_grad_()
    (ours,) = torch.autograd.grad(plain(embeddings), embeddings)
    step = 1e-6
    for place in [(0, 0), (4, 2), (11, 3)]:
        shift = torch.zeros_like(embeddings)
        shift[place] = step
        with torch.no_grad():
            up = with_a_fixed_target(embeddings + shift)
            down = with_a_fixed_target(embeddings - shift)
        # central differences: step² and rounding over step
        assert ours[place].item() == pytest.approx((up - down).item() / (2 * step), abs=1e-7)


def test_in_the_first_phase_only_the_decoder_gets_the_gradient_of_its_loss() -> None:
    embeddings, labels = uneven_batch(0)
    for phase, reaches in [(FIRST, False), (SECOND, True)]:
        loss = dvml(Phase(0, 1, 0, 0, phase.joint))
        rows = embeddings.clone().requires_grad_()
        loss(rows, labels).backward()
        assert rows.grad is not None
        assert bool(rows.grad.any()) == reaches
        assert bool(loss.mean.weight.grad.any()) == reaches
        assert loss.decoder[0].weight.grad.any()


@pytest.mark.parametrize(
    ("epochs", "share", "first"),
    [(10, 0.25, 2), (4, 0.25, 1), (3, 0.25, 0), (1, 0.25, 0), (4, 0.0, 0), (4, 1.0, 4)],
)
def test_the_first_phase_is_its_share_of_the_epochs_rounded_down(
    epochs: int, share: float, first: int
) -> None:
    loss, phases = objective("dvml", samples=1, first_phase=share), []
    fit(
        BagEncoder(27, 4), loss, corpus().train, Train(epochs=epochs, batch_size=12),
        sampler="balanced", seed=0, on_epoch=lambda epoch: phases.append(loss.phase),
    )  # fmt: skip
    assert phases == [FIRST] * first + [SECOND] * (epochs - first)


@BASES
@PHASES
def test_without_its_other_terms_it_equals_its_base(base: str, phase: Phase) -> None:
    embeddings, labels = uneven_batch(0)
    loss = dvml(Phase(0, 0, 0, 1, phase.joint), base=base, samples=1)
    value = loss(embeddings, labels)
    plain = objective(base)
    if base == "triplet":  # the draws before its last call
        torch.randn(1, *embeddings.shape, generator=plain.generator)
        plain(embeddings, labels)
    assert value.item() == plain(embeddings, labels).item()
    assert {"divergence", "reconstruction", "varied", "invariant", *plain.log} == set(loss.log)


@BASES
@PHASES
def test_degenerate_batches_have_a_finite_loss_and_gradient(base: str, phase: Phase) -> None:
    for kind, rows, labels in checks.degenerate_batches():
        loss = dvml(phase, base=base)
        embeddings = rows.double().requires_grad_()
        value = loss(embeddings, torch.tensor(labels))
        value.backward()
        assert torch.isfinite(value), (kind, labels)
        assert embeddings.grad is not None
        assert torch.isfinite(embeddings.grad).all(), (kind, labels)
        if not checks.a_pair_and_a_negative(labels):
            assert loss.log["varied"] == loss.log["invariant"] == 0


@BASES
def test_single_precision_is_near_and_nan_is_not_hidden(base: str) -> None:
    embeddings, labels = uneven_batch(1)
    expected = dvml(base=base)(embeddings, labels).item()
    value = dvml(base=base).float()(embeddings.float(), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=1e-4)
    embeddings[3] = math.nan
    assert math.isnan(dvml(base=base)(embeddings, labels).detach())


def test_on_average_the_order_of_rows_does_not_matter() -> None:
    embeddings, labels = uneven_batch(2)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    values = [
        dvml(samples=1000, base="n_pair")(rows, y).item()
        for rows, y in [(embeddings, labels), (embeddings[order], labels[order])]
    ]
    # means of 1000 draws each; the terms with draws vary by about their own size
    assert values[0] == pytest.approx(values[1], rel=0.07)


def test_draws_depend_on_the_seed_alone() -> None:
    embeddings, labels = uneven_batch(0)

    def run(seed: int) -> list[float]:
        loss = dvml(seed=seed)
        return [loss(embeddings, labels).item() for _ in range(3)]

    assert run(1) == run(1)
    assert len(set(run(1))) == 3
    assert run(1) != run(2)


@BASES
def test_training_separates_classes_that_have_words_of_their_own(base: str) -> None:
    _, curve, _ = trained("metric", {"name": "dvml", "base": base}, epochs=12)
    assert curve[-1]["validation_map_at_r"] == 1

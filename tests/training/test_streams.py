"""What a seed changes in a training and in a transfer, purpose by purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import CPU, corpus, trained
from textmetric.encoders import BagEncoder
from textmetric.ensemble import TextEnsemble
from textmetric.losses import Objective, family_of
from textmetric.params import Finetune, Model, Train
from textmetric.sampling.streams import Stream
from textmetric.text import LabelledTokens
from textmetric.training import loop
from textmetric.training.finetuning import TransferHead, finetune
from textmetric.types import Int64


class Watching:
    """In place of a step: keeps what a training starts from and its batches, and learns nothing."""

    embeddings = torch.eye(2)

    def __init__(
        self, encoder: BagEncoder, objective: Objective, data: LabelledTokens, *others: object
    ) -> None:
        self.vectors = encoder.weight.detach().clone()
        self.head = [value.detach().clone() for value in objective.parameters()]
        self.objective = objective
        self.data = data
        self.batches: list[list[int]] = []

    def __call__(self, rows: Int64, lr: float) -> float:
        self.batches.append(rows.tolist())
        return 0.0

    def drawn(self) -> list[object]:
        """What the objective draws for one batch, whatever its weights are."""
        with torch.no_grad():
            for value in self.objective.parameters():
                value.fill_(0.1)
        if self.objective.VIEWS > 1:
            return [x.tolist() for x in self.objective.views(np.arange(40), np.arange(0, 41, 8))]
        self.objective.train()
        rows = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
        if isinstance(self.objective, TransferHead):
            return self.objective.logits(rows).tolist()
        return [self.objective(rows, torch.arange(20) % 4).item()]


Start = Callable[..., Watching]


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Start:
    """What a training starts from and what it does, without its learning."""
    return lambda seed, name="triplet", **options: _watched(
        monkeypatch, lambda: trained(family_of(name), {"name": name}, seed=seed, **options)
    )


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> Start:
    """The same of a transfer from scratch with a fifth of the rows."""
    return lambda seed, tuning="frozen": _watched(
        monkeypatch,
        lambda: finetune(
            corpus(), None, tuning=tuning, tanh=True, share=0.2, settings=Finetune(epochs=2),
            model=Model(dim=8), train=Train(batch_size=12), seed=seed, device=CPU,
        ),
    )  # fmt: skip


def _watched(monkeypatch: pytest.MonkeyPatch, run: Callable[[], Any]) -> Watching:
    seen: list[Watching] = []
    monkeypatch.setattr(loop, "_step", lambda *given: seen.append(Watching(*given)) or seen[-1])
    run()
    (watching,) = seen
    return watching


@pytest.mark.parametrize("name", ["cross_entropy", "proxy_nca", "norm_softmax"])
def test_each_seed_has_its_own_first_weights(training: Start, name: str) -> None:
    one, same, other = (training(seed, name) for seed in (0, 0, 1))
    assert torch.equal(one.vectors, same.vectors)
    assert not torch.isclose(one.vectors, other.vectors).any()
    assert torch.equal(one.head[0], same.head[0])
    assert not torch.isclose(one.head[0], other.head[0]).any()


@pytest.mark.parametrize(
    ("name", "sampler"),
    [("triplet", "shuffled"), ("triplet", "balanced"), ("prototypical", "balanced")],
)
def test_each_seed_has_its_own_batches(training: Start, name: str, sampler: str) -> None:
    one, same, other = (training(seed, name, sampler=sampler).batches for seed in (0, 0, 1))
    assert one == same
    assert not any(a == b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["triplet", "dvml", "invariant_spreading"])
def test_each_seed_has_its_own_draws_of_the_objective(training: Start, name: str) -> None:
    one, same, other = (training(seed, name).drawn() for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_a_balanced_arm_trains_on_balanced_batches_and_a_shuffled_one_on_every_row(
    training: Start,
) -> None:
    data = corpus()
    few = data.train.take(np.flatnonzero((data.train.labels != 1) | (np.arange(60) < 20)))
    data = type(data)(data.vocabulary, data.label_names, few, data.validation, data.test)
    balanced, shuffled = (
        training(0, sampler=sampler, data=data).batches for sampler in ("balanced", "shuffled")
    )
    assert all(np.bincount(few.labels[rows]).tolist() == [4, 4, 4] for rows in balanced)
    epoch = len(shuffled) // 4
    assert sorted(row for rows in shuffled[:epoch] for row in rows) == list(range(len(few)))


@pytest.mark.parametrize("rows", [30, 1000, 3000])
def test_the_curve_measures_a_random_sample_of_the_validation_rows(
    monkeypatch: pytest.MonkeyPatch, training: Start, rows: int
) -> None:
    data = corpus(validation=rows)
    # every row can be told by its label
    numbered = LabelledTokens(data.validation.tokens, np.arange(rows, dtype=np.int32))
    data = type(data)(data.vocabulary, data.label_names, data.train, numbered, data.test)
    seen: list[LabelledTokens] = []
    monkeypatch.setattr(loop, "_map_at_r", lambda encoder, sample: seen.append(sample) or 0.0)
    for seed in (0, 0, 1):
        training(seed, data=data, epochs=1)
    one, same, other = (sample.labels.tolist() for sample in seen)
    assert one == same == sorted(set(one))
    assert len(one) == min(rows, 1000)
    assert (one != other) == (rows > 1000)
    if rows > 1000:
        # uniform over all rows: a third in each thousand, within five standard deviations of 15
        thousands = np.bincount(np.array(one) // 1000, minlength=3)
        assert np.abs(thousands - 1000 / 3).max() < 75
    for place in (0, -1):
        expected = numbered.tokens.take([one[place]]).ids
        assert seen[0].tokens.take([place]).ids.tolist() == expected.tolist()


def test_each_seed_has_its_own_weights_rows_batches_and_dropout_in_the_transfer(
    transfer: Start,
) -> None:
    one, same, other = (transfer(seed, "finetuned") for seed in (0, 0, 1))
    assert torch.equal(one.vectors, same.vectors)
    assert not torch.isclose(one.vectors, other.vectors).any()
    assert torch.equal(one.head[2], same.head[2])
    assert not torch.isclose(one.head[2], other.head[2]).any()
    assert one.batches == same.batches
    assert not any(a == b for a, b in zip(one.batches, other.batches, strict=True))
    assert one.drawn() == same.drawn()
    assert one.drawn() != other.drawn()
    # of a frozen encoder the token of a text is the number of its row
    frozen, again, rows = (
        set(transfer(seed).data.tokens.whole().ids.tolist()) for seed in (0, 0, 1)
    )
    assert len(frozen) == len(rows) == 12
    assert frozen == again
    assert frozen != rows


def test_each_purpose_draws_once_and_from_a_stream_of_its_own(
    monkeypatch: pytest.MonkeyPatch, training: Start, transfer: Start
) -> None:
    drawn: list[tuple[int, Stream]] = []

    class Noting(np.random.SeedSequence):
        def __init__(self, entropy: int, spawn_key: tuple[int]) -> None:
            drawn.append((entropy, Stream(*spawn_key)))
            super().__init__(entropy, spawn_key=spawn_key)

    monkeypatch.setattr(np.random, "SeedSequence", Noting)
    of_training = [Stream.WEIGHTS, Stream.BATCHES, Stream.OBJECTIVE, Stream.VALIDATION]
    for name in ("triplet", "dvml", "invariant_spreading"):
        drawn.clear()
        training(3, name)
        used = of_training + [Stream.OBJECTIVE] * (name == "dvml")  # of its base, which is replaced
        assert sorted(drawn) == sorted(
            (0 if place == 4 else 3, stream) for place, stream in enumerate(used)
        )
    drawn.clear()
    transfer(3)
    assert sorted(drawn) == [
        (3, stream)
        for stream in (
            Stream.TRANSFER_WEIGHTS, Stream.TRANSFER_ROWS, Stream.TRANSFER_BATCHES, Stream.DROPOUT
        )
    ]  # fmt: skip
    drawn.clear()
    TextEnsemble(members=1, seed=3).fit(["a b", "b a", "c d", "d c"], [0, 0, 1, 1])
    assert drawn[:2] == [(3, Stream.GROUPINGS), (3, Stream.MEMBERS)]

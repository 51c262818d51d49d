from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tiny import CPU, corpus, trained
from textmetric.params import Finetune, Model, Train
from textmetric.sampling.batches import BatchSampler
from textmetric.sampling.draws import share_of_rows
from textmetric.sampling.streams import Stream, generator_of, seed_of
from textmetric.text import LabelledTokens, TokenizedCorpus, Vocabulary
from textmetric.training.finetuning import (
    TransferHead,
    epoch_rows,
    finetune,
    shared_tokens,
    start,
)
from textmetric.training.loop import fit


def run(
    source: bool,
    tuning: str,
    *,
    tanh: bool = True,
    share: float = 1.0,
    seed: int = 0,
    data: TokenizedCorpus | None = None,
    **settings: object,
) -> pd.DataFrame:
    curve = finetune(
        data or corpus(seed=1),
        trained(epochs=8)[0] if source else None,
        tuning=tuning,
        tanh=tanh,
        share=share,
        settings=Finetune(**{"epochs": 4, "lr": 0.1} | settings),
        model=Model(dim=8),
        train=Train(batch_size=12),
        seed=seed,
        device=CPU,
    )
    return pd.DataFrame(curve)


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("tuning", ["frozen", "finetuned"])
@pytest.mark.parametrize("tanh", [True, False])
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_accuracy_comes_by_epoch_and_the_test_part_is_read_once(
    source: bool, tuning: str, tanh: bool, share: float
) -> None:
    curve = run(source, tuning, tanh=tanh, share=share)
    assert curve["epoch"].tolist() == [1, 2, 3, 4]
    assert curve["validation_accuracy"].between(0, 1).all()
    assert curve["test_accuracy"].isna().tolist() == [True, True, True, False]


def test_embeddings_that_know_the_classes_transfer_even_frozen_and_from_few_rows() -> None:
    for tuning in ("frozen", "finetuned"):
        for share in (0.1, 1.0):
            curve = run(True, tuning, share=share, epochs=10)
            assert curve["test_accuracy"].iloc[-1] == 1, (tuning, share)


@pytest.mark.parametrize("tuning", ["frozen", "finetuned"])
def test_the_same_seed_gives_the_same_curve_and_another_one_another(tuning: str) -> None:
    one, two, other = (run(True, tuning, share=0.5, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert not one.equals(other)


def test_with_one_seed_every_initialisation_and_head_starts_from_the_same_weights() -> None:
    data, source = corpus(seed=1), trained(epochs=2)[0]
    classified = trained("classification", epochs=2)[0]
    heads = [
        start(data, model, tanh=tanh, model=Model(dim=8), seed=5)[1].state_dict()
        for model in (None, source, classified)
        for tanh in (True, False)
    ]
    for head in heads[1:]:
        assert head.keys() == heads[0].keys()
        assert all(torch.equal(head[name], heads[0][name]) for name in head)
    other = start(data, None, tanh=True, model=Model(dim=8), seed=6)[1].state_dict()
    assert not torch.equal(other["hidden.weight"], heads[0]["hidden.weight"])


@pytest.mark.parametrize("layer", ["bag", "linear"])
def test_what_the_source_knows_is_copied_and_the_rest_starts_as_from_scratch(layer: str) -> None:
    data, source = corpus(seed=1), trained(epochs=2, layer=layer)[0]
    source.vocabulary = Vocabulary(source.vocabulary.tokens[:15])
    known = shared_tokens(data.vocabulary, source.vocabulary)
    (scratch, _), (encoder, _) = (
        start(data, model, tanh=True, model=Model(dim=8, layer=layer), seed=0)
        for model in (None, source)
    )
    np.testing.assert_array_equal(
        encoder.weight.detach()[known > 0], source.encoder.weight.detach()[known[known > 0]]
    )
    np.testing.assert_array_equal(
        encoder.weight.detach()[known == 0], scratch.weight.detach()[known == 0]
    )
    if layer == "linear":
        assert torch.equal(encoder.projection.weight, source.encoder.projection.weight)


LABELS = np.repeat([0, 1, 2, 3], [400, 60, 30, 1]).astype(np.int32)


def test_no_rows_give_no_rows() -> None:
    nothing = np.empty(0, dtype=np.int32)
    assert epoch_rows(nothing, 0.1, seed=0).tolist() == []


@pytest.mark.parametrize("share", [0.01, 0.07, 0.3, 0.8, 1.0])
def test_an_epoch_of_every_share_has_as_many_rows_and_repeats_them_evenly(share: float) -> None:
    rows = epoch_rows(LABELS, share, seed=0)
    assert len(rows) == len(LABELS)
    chosen, times = np.unique(rows, return_counts=True)
    seed = seed_of(0, Stream.TRANSFER_ROWS)
    assert chosen.tolist() == share_of_rows(LABELS, share, seed).tolist()
    assert times.max() - times.min() <= 1
    # Rows stand sorted by label here: the odd repetitions must not all go to the first.
    by_label = np.bincount(LABELS[rows]) / len(rows)
    wanted = np.bincount(LABELS[chosen]) / len(chosen)
    np.testing.assert_allclose(by_label, wanted, atol=1.5 / len(rows))


def test_an_epoch_of_the_whole_train_part_is_every_row_once_in_order() -> None:
    assert epoch_rows(LABELS, 1.0, seed=3).tolist() == list(range(len(LABELS)))


def test_a_batch_of_one_row_trains_like_any_other() -> None:
    data = corpus(rows=7, seed=1)  # 21 rows: batches of 5 leave one alone
    for tuning in ("frozen", "finetuned"):
        curve = finetune(
            data, None, tuning=tuning, tanh=True, share=1.0, settings=Finetune(epochs=2),
            model=Model(dim=8), train=Train(batch_size=5), seed=0, device=CPU,
        )  # fmt: skip
        assert np.isfinite([row["train_loss"] for row in curve]).all()


def test_a_label_of_one_row_and_an_empty_validation_part_are_trained() -> None:
    whole = corpus(seed=1)
    keep = np.flatnonzero((whole.train.labels != 2) | (np.arange(len(whole.train)) == 2))
    data = TokenizedCorpus(
        whole.vocabulary, whole.label_names, whole.train.take(keep),
        whole.validation.take([]), whole.test,
    )  # fmt: skip
    for tuning in ("frozen", "finetuned"):
        curve = run(True, tuning, data=data, share=0.01)
        assert curve["validation_accuracy"].isna().all()
        assert curve["validation_loss"].isna().all()
        assert 0 <= curve["test_accuracy"].iloc[-1] <= 1


def test_a_frozen_encoder_gives_the_head_what_it_gives_a_reader() -> None:
    """Texts are embedded once; the slow way is to bag and project them in every batch."""
    data, source = corpus(seed=1), trained(epochs=4, layer="linear")[0]
    settings, train = Finetune(epochs=2), Train(batch_size=12)
    encoder, head = start(data, source, tanh=True, model=Model(), seed=0)
    losses: list[float] = []
    encoder.requires_grad_(False)
    batches = BatchSampler("shuffled", data.train.labels, 12, 0, stream=Stream.TRANSFER_BATCHES)
    fit(
        encoder, head, data.train, train.model_copy(update={"epochs": 2, "lr": settings.lr}),
        sampler="shuffled", seed=0, batches=batches, frozen=True,
        on_epoch=lambda epoch: losses.append(epoch.loss),
    )  # fmt: skip
    curve = finetune(
        data, source, tuning="frozen", tanh=True, share=1.0, settings=settings,
        model=Model(), train=train, seed=0, device=CPU,
    )  # fmt: skip
    # Projections may round differently, and Adagrad's first steps only see the signs of gradients.
    assert [row["train_loss"] for row in curve] == pytest.approx(losses, rel=5e-3)


def test_shared_tokens_maps_ids_and_leaves_strangers_at_zero() -> None:
    target, source = Vocabulary(["<unk>", "b", "c", "a"]), Vocabulary(["<unk>", "a", "x", "b"])
    assert shared_tokens(target, source).tolist() == [0, 3, 0, 1]


class Dropped(torch.nn.Module):
    """Dropout whose choice is known."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.rng = rng

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return values
        stays = self.rng.random(tuple(values.shape), dtype=np.float32) >= 0.2
        return values * torch.from_numpy(stays / 0.8).to(values.dtype)


def layers_of(head: TransferHead, dim: int, classes: int, seed: int) -> torch.nn.Sequential:
    """The head of the study, layer by layer, with the weights and the dropout of ``head``."""
    rng = generator_of(seed, Stream.DROPOUT)
    twin = torch.nn.Sequential(
        Dropped(rng), torch.nn.BatchNorm1d(dim), torch.nn.Linear(dim, 64),
        Dropped(rng), torch.nn.BatchNorm1d(64), torch.nn.Linear(64, classes),
        *([torch.nn.Tanh()] if head.tanh else []),
    )  # fmt: skip
    for place, name in ((1, "first"), (2, "hidden"), (4, "second"), (5, "out")):
        twin[place].load_state_dict(getattr(head, name).state_dict())
    return twin.to(head.out.weight.dtype)


@pytest.mark.parametrize("tanh", [True, False])
def test_the_head_is_that_of_the_study(tanh: bool) -> None:
    torch.manual_seed(0)
    head = TransferHead(32, 4, tanh=tanh, seed=7)
    twin = layers_of(head, 32, 4, seed=7)
    for _ in range(3):
        rows = torch.randn(50, 32)
        torch.testing.assert_close(head.logits(rows), twin(rows))
    many = 100 * torch.randn(50, 32)
    torch.testing.assert_close(head.eval().logits(many), twin.eval()(many))
    assert (head.logits(many).abs().max() <= 1) == tanh


@pytest.mark.parametrize("tanh", [True, False])
@pytest.mark.parametrize("rows", [2, 17])
def test_the_heads_own_gradient_is_that_of_autograd(tanh: bool, rows: int) -> None:
    """In float64, over several steps: the draws and the running means go on alike."""
    torch.manual_seed(0)
    dim, classes = 5, 3
    head = TransferHead(dim, classes, tanh=tanh, seed=7).double()
    twin = layers_of(head, dim, classes, seed=7)
    rng = np.random.default_rng(1)
    for _ in range(3):
        # far from 0 and of different spread, as the running means would not show otherwise
        values, labels = 3 + 2 * rng.normal(size=(rows, dim)), rng.integers(0, classes, size=rows)
        found = head.loss_and_gradient(
            values, labels, [one.detach().numpy() for one in head.parameters()]
        )
        assert found is not None
        leaf = torch.from_numpy(values).requires_grad_()
        twin.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(leaf), torch.from_numpy(labels))
        loss.backward()
        # sums of at most 64 products of values around 1 each, in float64
        assert found.loss == pytest.approx(loss.item(), rel=1e-12)
        np.testing.assert_allclose(found.embeddings, leaf.grad, rtol=0, atol=1e-11)
        for gradient, parameter in zip(found.parameters, twin.parameters(), strict=True):
            np.testing.assert_allclose(gradient, parameter.grad, rtol=0, atol=1e-11)
    for place, name in ((1, "first"), (4, "second")):
        for moment in ("running_mean", "running_var"):
            torch.testing.assert_close(
                getattr(getattr(head, name), moment), getattr(twin[place], moment)
            )


def test_scores_that_are_large_alike_do_not_overflow() -> None:
    values, labels = np.random.default_rng(0).normal(size=(9, 5)), np.arange(9) % 3
    losses = []
    for shift in (0, 1000):
        torch.manual_seed(0)
        head = TransferHead(5, 3, tanh=False).double()
        with torch.no_grad():
            head.out.bias += shift
        found = head.loss_and_gradient(
            values, labels, [one.detach().numpy() for one in head.parameters()]
        )
        assert found is not None
        losses.append(found.loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)


def test_a_true_class_far_below_the_others_has_a_finite_loss() -> None:
    values, labels = np.random.default_rng(0).normal(size=(9, 5)), np.zeros(9, dtype=np.int64)
    torch.manual_seed(0)
    head = TransferHead(5, 3, tanh=False).double()
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.copy_(torch.tensor([0.0, 1000.0, 0.0]))
    parameters = [one.detach().numpy() for one in head.parameters()]
    found = head.loss_and_gradient(values, labels, parameters)
    assert found is not None
    assert found.loss == pytest.approx(1000)


def test_the_compiled_step_trains_the_head_as_torch_does() -> None:
    # not Adagrad, whose first steps are the signs of gradients that may be all rounding
    settings = Train(epochs=3, batch_size=12, optimizer="sgd")
    data, losses = corpus(seed=1), []
    for plain in (True, False):
        encoder, head = start(data, None, tanh=True, model=Model(dim=8), seed=0)
        seen: list[float] = []
        fit(
            encoder, head, data.train, settings, sampler="shuffled", seed=0,
            plain=plain, on_epoch=lambda epoch, seen=seen: seen.append(epoch.loss),
        )  # fmt: skip
        losses.append(seen)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_tanh_keeps_the_loss_from_falling_below_its_bound() -> None:
    """Logits in ±1 give the right one of 3 classes at most e / (e + 2/e)."""
    least = -np.log(np.e / (np.e + 2 / np.e))
    bounded, free = (run(True, "finetuned", tanh=tanh, epochs=10) for tanh in (True, False))
    assert bounded["validation_loss"].min() >= least
    assert free["validation_loss"].min() < least


def test_one_row_alone_is_scored_by_the_running_means() -> None:
    head = TransferHead(8, 3)
    row, label = torch.randn(1, 8), torch.tensor([1])
    loss = head(row, label)
    assert head.training
    assert head.first.training
    torch.testing.assert_close(loss, head.eval()(row, label))


def test_frozen_drops_what_the_source_does_not_know() -> None:
    """A vector that is never learnt would only be noise."""
    data, source = corpus(seed=1), trained(epochs=4)[0]
    source.vocabulary = Vocabulary(source.vocabulary.tokens[:15])
    known = shared_tokens(data.vocabulary, source.vocabulary)
    keep = np.where(known > 0, np.arange(len(known)), 0).astype(np.int32)
    assert 0 < (keep == 0).sum() - 1 < len(keep)
    parts = (data.train, data.validation, data.test)
    twin = TokenizedCorpus(
        data.vocabulary,
        data.label_names,
        *(LabelledTokens(part.tokens.remap(keep), part.labels) for part in parts),
    )
    curves = [
        finetune(
            texts, source, tuning=tuning, tanh=True, share=1.0, settings=Finetune(epochs=2),
            model=Model(dim=8), train=Train(batch_size=12), seed=0, device=CPU,
        )
        for tuning in ("frozen", "finetuned")
        for texts in (data, twin)
    ]  # fmt: skip
    assert pd.DataFrame(curves[0]).equals(pd.DataFrame(curves[1]))
    assert not pd.DataFrame(curves[2]).equals(pd.DataFrame(curves[3]))


def test_a_source_that_knows_no_token_of_the_target_is_no_collapse() -> None:
    data = corpus(seed=1)
    strange = Vocabulary(["<unk>", *(f"{token}ish" for token in data.vocabulary.tokens[1:])])
    assert (shared_tokens(strange, trained(epochs=1)[0].vocabulary) == 0).all()
    for tuning in ("frozen", "finetuned"):
        curve = run(True, tuning, data=replace(data, vocabulary=strange))
        assert curve["train_loss"].notna().all()

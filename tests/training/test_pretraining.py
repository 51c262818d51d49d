"""What the encoder learns from text alone, and that nothing of it depends on labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import CPU, WORDS, corpus, trained
from textmetric.encoders import build_encoder
from textmetric.errors import UserError
from textmetric.losses import OBJECTIVES, build, class_of
from textmetric.params import Model, Pretrain, Train
from textmetric.sampling.batches import BatchSampler
from textmetric.sampling.streams import Stream, generator_of, seed_of
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus
from textmetric.training import loop, pretraining
from textmetric.training.step import TorchStep

OPTIONS = Pretrain(epochs=3, batch_size=8, lr=0.2)
SETTINGS = Train(epochs=4, batch_size=12)


def with_text(data: TokenizedCorpus, rows: int = 30) -> TokenizedCorpus:
    """The corpus with texts without a label, of the same words."""
    rng = np.random.default_rng(9)
    words = [word for few in WORDS.values() for word in few]
    texts = [" ".join(rng.choice(words, size=6)) for _ in range(rows)]
    return replace(data, unlabelled=data.vocabulary.encode(texts))


def encoder_after(texts: RaggedTokens, seed: int = 0, **options: Any) -> torch.Tensor:
    torch.manual_seed(seed_of(seed, Stream.WEIGHTS))
    encoder = build_encoder(Model(dim=8), len(corpus().vocabulary))
    pretraining.pretrain(encoder, texts, OPTIONS.model_copy(update=options), SETTINGS, seed=seed)
    return encoder.weight.detach()


def starts(monkeypatch: pytest.MonkeyPatch, runs: list[dict[str, Any]]) -> list[torch.Tensor]:
    """The token vectors that the labelled training of each run starts from."""
    found: list[torch.Tensor] = []
    monkeypatch.setattr(
        loop, "fit", lambda encoder, *_, **__: found.append(encoder.weight.detach().clone())
    )
    for each in runs:
        loop.train(**each)
    return found


def run(data: TokenizedCorpus, family: str = "metric", **others: Any) -> dict[str, Any]:
    name = "cross_entropy" if family == "classification" else "triplet"
    return {
        "corpus": data,
        "family": family,
        "objective": {"name": name},
        "sampler": "balanced",
        "model": Model(dim=8),
        "settings": SETTINGS,
        "seed": 0,
        "device": CPU,
        "pretrain": OPTIONS,
    } | others


def test_it_is_the_loop_over_shuffled_batches_of_all_texts_with_a_seed_of_its_own() -> None:
    texts = with_text(corpus()).texts
    own = seed_of(4, Stream.PRETRAINING)
    torch.manual_seed(seed_of(4, Stream.WEIGHTS))
    encoder = build_encoder(Model(dim=8), len(corpus().vocabulary))
    objective = build("metric", {"name": "inverse_cloze"}, dim=8, classes=1, seed=own)
    data = LabelledTokens(texts, np.zeros(len(texts), dtype=np.int32))
    batches, steps = BatchSampler("shuffled", data.labels, 8, own), -(-len(texts) // 8)
    step = TorchStep(encoder, objective, data, "adagrad")
    for done in range(3 * steps):
        if done % steps == 0:
            epoch = batches.epoch()
        step(next(epoch), 0.2 * (1 - done / (3 * steps)))
    assert torch.allclose(encoder_after(texts, seed=4), encoder.weight, atol=1e-5)


def test_all_arms_of_a_seed_start_from_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_text(corpus())
    runs = [
        run(data),
        run(data, "classification"),
        run(data, objective={"name": "dvml"}),
        run(data, sampler="shuffled"),
        run(data, seed=1),
    ]
    found = starts(monkeypatch, runs)
    assert len(found) == 5
    for same in found[1:4]:
        assert torch.equal(same, found[0])
    assert not torch.isclose(found[4], found[0]).all()
    assert torch.allclose(found[0], encoder_after(data.texts), atol=1e-5)


def test_labels_have_no_say_and_texts_without_one_have() -> None:
    data = corpus()
    swapped = replace(data.train, labels=(data.train.labels + 1) % 3)
    one, other = (encoder_after(each.texts) for each in (data, replace(data, train=swapped)))
    assert torch.equal(one, other)
    assert not torch.isclose(encoder_after(with_text(data).texts), one).all()


def test_without_pretraining_texts_without_a_label_change_nothing_but_the_vocabulary() -> None:
    plain, more = (trained(data=data)[0] for data in (corpus(), with_text(corpus())))
    assert torch.equal(plain.encoder.weight, more.encoder.weight)
    assert np.array_equal(plain.centroids, more.centroids)


def test_pretraining_changes_neither_batches_nor_heads_of_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[list[list[int]], list[torch.Tensor]]] = []

    class Watching:
        embeddings = torch.eye(2)

        def __init__(self, encoder: Any, objective: Any, data: Any, *others: Any) -> None:
            head = [value.detach().clone() for value in objective.parameters()]
            self.batches: list[list[int]] = []
            seen.append((self.batches, head))

        def __call__(self, rows: Any, lr: float) -> float:
            self.batches.append(rows.tolist())
            return 0.0

    monkeypatch.setattr(loop, "_step", Watching)
    loop.train(**run(corpus(), "classification", pretrain=None))
    loop.train(**run(corpus(), "classification"))
    (plain, head), _, (after, head_after) = seen
    assert plain == after
    assert all(torch.equal(a, b) for a, b in zip(head, head_after, strict=True))


def test_its_epochs_tick_and_have_their_seconds() -> None:
    ticks: list[None] = []
    found = loop.train(**run(corpus()), tick=lambda: ticks.append(None))
    assert len(ticks) == 3 + 4
    assert len(found.pretraining) == 3
    assert len(found.seconds) == len(found.curve) == 4
    assert all(seconds > 0 for seconds in found.pretraining)
    assert loop.train(**run(corpus(), pretrain=None)).pretraining == []


def test_words_of_the_same_texts_become_similar() -> None:
    """Before any label: the words of a class occur together, so they are near each other."""

    def nearness(weight: torch.Tensor) -> float:
        ids = data.vocabulary.ids
        rows = torch.nn.functional.normalize(
            torch.stack([weight[[ids[word] for word in words]].mean(0) for words in WORDS.values()])
        )
        single = torch.nn.functional.normalize(weight)
        own, others = [], []
        for place, words in enumerate(WORDS.values()):
            cosines = single[[ids[word] for word in words]] @ rows.T
            own.append(cosines[:, place])
            others.append(cosines[:, [i for i in range(3) if i != place]].flatten())
        return float(torch.cat(own).mean() - torch.cat(others).mean())

    data = corpus(rows=100)
    for name in ("inverse_cloze", "invariant_spreading"):
        assert nearness(encoder_after(data.texts, objective=name, epochs=8, lr=0.3)) > 0.5, name


@pytest.mark.parametrize("name", [n for names in OBJECTIVES.values() for n in names])
def test_an_objective_is_taken_if_it_needs_no_labels_and_else_refused(name: str) -> None:
    options = Pretrain(objective=name, epochs=1, batch_size=8)
    texts = corpus().texts
    encoder = build_encoder(Model(dim=8), len(corpus().vocabulary))
    if class_of(name).NEEDS_LABELS:
        with pytest.raises(UserError, match=f"^pretrain.objective is '{name}', which needs labels"):
            pretraining.pretrain(encoder, texts, options, SETTINGS, seed=0)
    else:
        pretraining.pretrain(encoder, texts, options, SETTINGS, seed=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "inverse_close"}, "did you mean 'inverse_cloze'"),
        ({"parameters": {"margin": 1}}, "pretrain.parameters has 'margin', which 'inverse_cloze'"),
        ({"parameters": {"temperatur": 1}}, "did you mean 'pretrain.parameters.temperature'"),
        ({"parameters": {"temperature": 0}}, "pretrain.parameters.temperature is 0"),
        ({"parameters": {"name": "triplet"}}, "give the name as pretrain.objective"),
    ],
)
def test_mistakes_are_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        encoder_after(corpus().texts, **options)
    assert "\n" not in str(caught.value)


def test_what_the_loop_complains_about_names_the_pretraining() -> None:
    with pytest.raises(UserError, match=r"^pretrain: the training set has no rows"):
        encoder_after(RaggedTokens.empty())


def test_its_seed_is_a_stream_of_the_trainings() -> None:
    others: Sequence[int] = [seed_of(3, stream) for stream in Stream]
    assert len(set(others)) == len(Stream)
    own = seed_of(3, Stream.PRETRAINING)
    first = generator_of(own, Stream.BATCHES).permutation(1000)
    assert not np.array_equal(first, generator_of(3, Stream.BATCHES).permutation(1000))

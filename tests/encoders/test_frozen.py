from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.tiny import WITH_MINILM
from textmetric.encoders import FrozenEncoder, TextVectors, build_encoder, load_encoder
from textmetric.encoders import frozen as module
from textmetric.encoders.frozen import sentence_vectors
from textmetric.errors import UserError
from textmetric.files import write_array, write_json
from textmetric.grid import Family
from textmetric.inference import checked_vectors
from textmetric.losses import build
from textmetric.params import Model, Train
from textmetric.sampling.batches import BatchSampler
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training.compiled_step import CompiledStep
from textmetric.training.loop import fit

LAYERS = pytest.mark.parametrize("layer", ["linear", "layernorm", "mlp"])
VALUES = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)


def frozen(layer: str = "linear", values: np.ndarray = VALUES) -> FrozenEncoder:
    torch.manual_seed(0)
    encoder = build_encoder(
        Model(encoder="frozen", dim=4, layer=layer), 1, TextVectors(values, "some/model", "abc")
    )
    assert isinstance(encoder, FrozenEncoder)
    return encoder


def rows(*ids: int) -> RaggedTokens:
    return RaggedTokens.one_each(np.array(ids, dtype=np.int32))


@LAYERS
def test_an_embedding_is_the_projection_of_the_vector_of_its_own_text(layer: str) -> None:
    encoder = frozen(layer)
    picked = [7, 0, 3, 7]
    with torch.no_grad():
        expected = encoder.project(torch.from_numpy(VALUES[picked])).numpy()
    found = encoder.embed(rows(*picked))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(encoder.embed_vectors(VALUES[picked]), found)
    assert np.unique(found.round(4), axis=0).shape == (3, 4)


def test_the_vectors_are_mapped_and_never_trained(tmp_path: Path) -> None:
    write_array(tmp_path / "target.npy", VALUES)
    write_json(tmp_path / "about.json", {"vectors": "some/model", "sha256": "abc"})
    vectors = TextVectors.load(tmp_path / "target.npy")
    assert (vectors.source, vectors.sha256) == ("some/model", "abc")
    assert isinstance(vectors.values.base, np.memmap)
    encoder = frozen(values=vectors.values)
    assert np.shares_memory(encoder.weight.numpy(), vectors.values)
    assert [name for name, value in encoder.named_parameters() if value.requires_grad] == [
        "projection.weight",
        "projection.bias",
    ]


def test_the_projection_starts_alike_however_many_texts_there_are() -> None:
    few, many = frozen(values=VALUES[:2]), frozen()
    assert torch.equal(few.projection.weight, many.projection.weight)


@LAYERS
def test_a_saved_encoder_is_its_projection_alone(layer: str) -> None:
    encoder = frozen(layer)
    arrays = encoder.arrays()
    assert all(name.startswith("projection.") for name in arrays)
    model = Model(encoder="frozen", dim=4, layer=layer, vectors="some/model")
    again = load_encoder(model, arrays, tokens=99, width=6, sha256="abc")
    assert isinstance(again, FrozenEncoder)
    assert (again.dim, again.layer, again.width) == (4, layer, 6)
    assert (again.source, again.sha256) == ("some/model", "abc")
    np.testing.assert_array_equal(again.embed_vectors(VALUES), encoder.embed_vectors(VALUES))


def test_what_does_not_fit_is_refused_in_one_sentence() -> None:
    encoder = frozen()
    encoder.detach()
    with pytest.raises(UserError, match="vectors of the sentence encoder some/model, not tokens"):
        encoder.embed(rows(0))
    assert encoder.embed(rows()).shape == (0, 4)
    for values in (VALUES[:, :5], VALUES[0]):
        with pytest.raises(UserError, match=r"was made for \(n, 6\)"):
            encoder.embed_vectors(values)
        with pytest.raises(UserError, match=r"was made for \(n, 6\)"):
            encoder.attach(values)
    encoder.source = None
    with pytest.raises(UserError, match=r"given vectors of width 6, not texts.*\(n, 6\)"):
        encoder.vectors(["a text"])
    with pytest.raises(UserError, match="there are no vectors of the texts"):
        build_encoder(Model(encoder="frozen", layer="linear"), 1)
    with pytest.raises(UserError, match=r"set model\.encoder to frozen"):
        build_encoder(Model(), 1, TextVectors(VALUES))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        (np.array([["a"]]), "<U1"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), r"NaN or infinity in row 1 \(counted from 0\)"),
        (np.array([[1e300]]), "row 0"),
    ],
)
def test_vectors_are_finite_numbers_one_a_text(values: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=f"the text vectors .*{said}"):
        checked_vectors(values, "the text vectors")


def test_vectors_of_any_number_become_float32() -> None:
    assert checked_vectors([[1, 2]], "the text vectors").dtype == np.float32
    half = VALUES.astype(np.float16)
    np.testing.assert_array_equal(checked_vectors(half, "these"), half.astype(np.float32))


def test_a_file_of_vectors_that_is_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "target.npy"
    write_json(tmp_path / "about.json", {"encoder": "bag"})
    with pytest.raises(UserError, match=r"about\.json does not say"):
        TextVectors.load(path)
    write_json(tmp_path / "about.json", {"vectors": None, "sha256": ""})
    write_array(path, VALUES.astype(np.float64))
    with pytest.raises(UserError, match=r"target\.npy cannot be read as float32 vectors"):
        TextVectors.load(path)


class Counting:
    """A sentence encoder whose vector is the length of a text, and which notes what it gets."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: list[str], **options: object) -> np.ndarray:
        self.texts += texts
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def test_equal_texts_are_encoded_once_and_every_text_gets_its_own_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting = Counting()
    monkeypatch.setattr(module, "_opened", lambda name: (counting, "abc"))
    found = sentence_vectors(["bb", "a", "bb", "\ud800", "ccc"], "some/model", progress=False)
    assert counting.texts == ["bb", "a", "?", "ccc"]
    assert found.values[:, 0].tolist() == [2, 1, 2, 1, 3]
    assert (found.source, found.sha256) == ("some/model", "abc")
    with pytest.raises(UserError, match=r"sha256 abc…, but def… when the model was trained"):
        sentence_vectors(["a"], "some/model", sha256="def")


def test_a_model_whose_sentence_encoder_is_gone_says_which_one_it_needs() -> None:
    encoder = frozen()
    assert encoder.vectors([]).shape == (0, 6)
    with pytest.raises(
        UserError, match="this model embeds the vectors of the sentence encoder some/model: "
    ):
        encoder.vectors(["a text"])


def test_a_step_leaves_the_vectors_and_moves_the_projection() -> None:
    encoder = frozen()
    before = encoder.projection.weight.detach().clone()
    objective = build(Family.CLASSIFICATION, {"name": "cross_entropy"}, dim=4, classes=2)
    labels = np.arange(12, dtype=np.int32) % 2
    step = CompiledStep(
        encoder, objective, LabelledTokens(rows(*range(12)), labels), "sgd", batch_size=12
    )
    step(np.arange(12), 0.5)
    np.testing.assert_array_equal(encoder.weight.numpy(), VALUES)
    assert not torch.equal(encoder.projection.weight, before)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_training_equals_a_plain_loop_of_torch_over_the_vectors(
    optimizer: str, plain: bool
) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 50).astype(np.int32)
    values = rng.normal(size=(60, 6)).astype(np.float32)
    texts = rng.permutation(60)[:50].astype(np.int32)
    encoder = frozen(values=values)
    head = build(Family.CLASSIFICATION, {"name": "cross_entropy"}, dim=4, classes=3)
    linear, out = nn.Linear(6, 4), nn.Linear(4, 3)
    linear.load_state_dict(encoder.projection.state_dict())
    start = [value.detach().clone() for value in head.parameters()]
    settings = Train(epochs=3, batch_size=8, optimizer=optimizer, lr=0.05)
    data = LabelledTokens(RaggedTokens.one_each(texts), labels)
    fit(encoder, head, data, settings, sampler="shuffled", seed=5, plain=plain)

    with torch.no_grad():
        out.weight.copy_(start[0])
        out.bias.copy_(start[1])
    parameters = [*linear.parameters(), *out.parameters()]
    kinds = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}
    updates = kinds[optimizer](parameters, lr=settings.lr)
    batches = BatchSampler("shuffled", labels, 8, 5)
    done, total = 0, 3 * 7
    for _ in range(3):
        for batch in batches.epoch():
            updates.param_groups[0]["lr"] = settings.lr * (1 - done / total)
            done += 1
            updates.zero_grad()
            scores = out(linear(torch.from_numpy(values[texts[batch]])))
            true = torch.from_numpy(labels[batch].astype(np.int64))
            nn.functional.cross_entropy(scores, true).backward()
            updates.step()
    assert done == total
    for ours, theirs in zip(
        [*encoder.projection.parameters(), *head.parameters()], parameters, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(encoder.weight.numpy(), values)


@WITH_MINILM
def test_the_real_sentence_encoder_gives_close_texts_close_vectors() -> None:
    texts = ["a red apple", "green fruit", "a fast lorry", "a red apple"]
    found = sentence_vectors(texts, "all-MiniLM-L6-v2", progress=False)
    assert found.values.shape == (4, 384)
    assert found.sha256.startswith("53aa51172d142c89")
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-5)
    cosines = found.values @ found.values.T
    assert cosines[0, 1] > cosines[0, 2] + 0.1
    np.testing.assert_array_equal(found.values[0], found.values[3])
    # alone or in a batch: the same up to rounding
    alone = sentence_vectors(texts[2:3], "all-MiniLM-L6-v2", progress=False)
    np.testing.assert_allclose(alone.values[0], found.values[2], atol=1e-5)

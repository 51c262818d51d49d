from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from tests.tiny import CPU, corpus, trained
from textmetric.encoders import BagEncoder
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import ClassificationObjective, Objective, family_of
from textmetric.losses.cross_entropy import CrossEntropy, CrossEntropyParameters
from textmetric.losses.objective import Batches
from textmetric.measures import class_centroids
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.sampling.batches import BatchSampler
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus
from textmetric.training.compiled_step import CompiledStep
from textmetric.training.device import choose_device
from textmetric.training.loop import Epoch, fit, train, train_centroids
from textmetric.training.step import TorchStep

FAMILIES = pytest.mark.parametrize("family", ["classification", "metric"])
LAYERS = pytest.mark.parametrize("layer", ["bag", "linear"])


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@LAYERS
def test_training_equals_plain_torch_step_by_step(optimizer: str, layer: str) -> None:
    """The loop against nn.EmbeddingBag(sparse=True), torch.optim and the same batches."""
    data = corpus().train
    settings = Train(epochs=3, batch_size=12, optimizer=optimizer, lr=0.2)

    def start() -> tuple[BagEncoder, CrossEntropy]:
        torch.manual_seed(5)
        encoder = BagEncoder(27, 8, layer)
        head = CrossEntropy(CrossEntropyParameters(), dim=8, classes=3)
        return encoder.double(), head.double()

    encoder, head = start()
    losses: list[float] = []
    fit(
        encoder, head, data, settings, sampler="shuffled", seed=1,
        on_epoch=lambda epoch: losses.append(epoch.loss),
    )  # fmt: skip

    twin, twin_head = start()
    bag = nn.EmbeddingBag(27, 8, mode="mean", sparse=True).double()
    bag.weight.data.copy_(twin.weight.data)
    modules = [bag, twin_head, *([twin.projection] if twin.projection else [])]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adagrad
    reference = kind(parameters, lr=0.2)
    batches = BatchSampler("shuffled", data.labels, 12, seed=1)
    expected = []
    step, total = 0, 3 * batches.steps
    for _ in range(3):
        epoch = []
        for rows in batches.epoch():
            reference.param_groups[0]["lr"] = 0.2 * (1 - step / total)
            step += 1
            texts = [torch.from_numpy(data.tokens.take([row]).ids) for row in rows]
            offsets = torch.tensor([0, *np.cumsum([len(text) for text in texts])[:-1]])
            embeddings = bag(torch.cat(texts).long(), offsets)
            if twin.projection is not None:
                embeddings = twin.projection(embeddings)
            loss = twin_head(embeddings, torch.from_numpy(data.labels[rows].astype(np.int64)))
            reference.zero_grad()
            loss.backward()
            reference.step()
            epoch.append(loss.item())
        expected.append(np.mean(epoch))
    # float64 sums in another order, over some dozen steps
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    torch.testing.assert_close(encoder.weight.data, bag.weight.data, rtol=1e-9, atol=1e-11)


@FAMILIES
@LAYERS
def test_training_separates_classes_that_have_words_of_their_own(family: str, layer: str) -> None:
    model, curve, _ = trained(family, layer=layer, epochs=12)
    test = corpus().test
    embeddings = model.embed(test.tokens)
    assert embeddings.shape == (9, 8)
    assert (model.predict_centroid(embeddings) == test.labels).all()
    if family == "classification":
        assert (model.predict_head(embeddings) == test.labels).all()
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert curve[-1]["validation_map_at_r"] == 1


@FAMILIES
@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
def test_same_seed_same_bytes_other_seed_other_bytes(
    family: str, sampler: str, tmp_path: Path
) -> None:
    for name, seed in (("first", 3), ("second", 3), ("third", 4)):
        trained(family, seed=seed, sampler=sampler)[0].save(tmp_path / name)
    first, second, third = (
        (tmp_path / name / "weights.safetensors").read_bytes()
        for name in ("first", "second", "third")
    )
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    "name", ["cross_entropy", "triplet", "dvml", "invariant_spreading", "magnet", "prototypical"]
)
def test_the_number_of_threads_does_not_change_the_result(name: str) -> None:
    before = torch.get_num_threads()
    weights = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        weights.append(trained(family_of(name), {"name": name})[0].encoder.weight.detach().numpy())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*weights)


@FAMILIES
def test_the_curve_has_a_row_an_epoch_with_what_the_objective_logs(family: str) -> None:
    _, curve, seconds = trained(family)
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4]
    assert len(seconds) == 4
    for name in ("active_fraction", "positive_distance", "negative_distance"):
        assert all(np.isnan(row[name]) == (family == "classification") for row in curve)
    assert all(0 <= row["validation_map_at_r"] <= 1 for row in curve)
    if family == "metric":
        assert curve[-1]["positive_distance"] < curve[-1]["negative_distance"]


def test_a_training_keeps_the_loss_of_every_step() -> None:
    found = train(
        corpus(), family=Family.METRIC, objective={"name": "triplet"}, sampler="balanced",
        model=Model(dim=8), settings=Train(epochs=3, batch_size=12), seed=0, device=CPU,
    )  # fmt: skip
    by_epoch = np.reshape(found.losses, (3, 5)).mean(axis=1)
    assert [row["loss"] for row in found.curve] == pytest.approx(by_epoch.tolist())


@FAMILIES
@pytest.mark.parametrize(("rows", "pairs"), [(0, False), (1, False), (3, False), (4, True)])
def test_without_two_validation_rows_of_a_class_the_curve_says_nan(
    family: str, rows: int, pairs: bool
) -> None:
    _, curve, _ = trained(family, data=corpus(validation=rows), epochs=2)
    assert all(np.isnan(row["validation_map_at_r"]) != pairs for row in curve)


@FAMILIES
def test_texts_without_a_known_token_train_and_embed_as_zero(family: str) -> None:
    data = corpus()
    tokens = data.train.tokens
    offsets = tokens.offsets.copy()
    offsets[1] = 0  # the first text loses its tokens to the second
    emptied = LabelledTokens(RaggedTokens(tokens.ids, offsets), data.train.labels)
    twin = TokenizedCorpus(data.vocabulary, data.label_names, emptied, data.validation, data.test)
    model, _, _ = trained(family, data=twin)
    assert not model.embed(emptied.tokens)[0].any()


class Broken(Objective):
    """Returns what it was given, whatever the batch."""

    def __init__(self, value: float) -> None:
        nn.Module.__init__(self)
        self.log: dict[str, float | torch.Tensor] = {}
        self.value = value

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return embeddings.nan_to_num().sum() * self.value


class Listening(CrossEntropy):
    """Notes what a training tells and asks."""

    def __init__(self, batches: list[list[int]] | None = None) -> None:
        super().__init__(CrossEntropyParameters(), dim=8, classes=3)
        self.heard: list[object] = []
        self.own = batches

    def batches(self, labels: np.ndarray, batch_size: int, seed: int) -> Batches | None:
        self.heard.append(("batches", labels.tolist(), batch_size, seed))
        return None if self.own is None else self

    def begin_epoch(
        self, epoch: int, epochs: int, embed: Callable[[], npt.NDArray[np.float32]]
    ) -> None:
        self.heard.append(("epoch", epoch, epochs, embed().copy()))

    def epoch(self) -> Iterator[npt.NDArray[np.int64]]:
        for rows in self.own or []:
            self.heard.append(rows)
            yield np.array(rows)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.heard.append(("loss", labels.tolist()))
        return super().forward(embeddings, labels)

    def loss_and_gradient(self, *given: object) -> None:  # type: ignore[override]
        return None


PLAIN = pytest.mark.parametrize("plain", [False, True], ids=["compiled", "torch"])


@PLAIN
def test_an_objective_is_told_of_every_epoch_before_its_batches(plain: bool) -> None:
    objective, encoder, data = Listening(), BagEncoder(27, 8), corpus().train
    after: list[np.ndarray] = []
    fit(
        encoder, objective, data, Train(epochs=3, batch_size=12), sampler="shuffled", seed=9,
        plain=plain, on_epoch=lambda epoch: after.append(encoder.embed(data.tokens)),
    )  # fmt: skip
    assert objective.heard[0] == ("batches", data.labels.tolist(), 12, 9)
    entries = [entry for entry in objective.heard if entry[0] == "epoch"]
    assert [entry[1:3] for entry in entries] == [(1, 3), (2, 3), (3, 3)]
    for entry, embeddings in zip(entries[1:], after, strict=False):
        np.testing.assert_array_equal(entry[3], embeddings)
    kinds = [entry[0] for entry in objective.heard]
    assert kinds == ["batches", *["epoch", *["loss"] * 5] * 3]


def test_a_training_runs_on_one_thread_with_modules_in_training_mode() -> None:
    encoder, objective = BagEncoder(27, 8).eval(), Listening().eval()
    modes: list[bool] = []
    fit(
        encoder, objective, corpus().train, Train(epochs=1, batch_size=12), sampler="shuffled",
        seed=0, on_epoch=lambda epoch: modes.extend(
            [encoder.training, objective.training, torch.get_num_threads() == 1]
        ),
    )  # fmt: skip
    assert modes == [True, True, True]
    assert not encoder.training
    assert not objective.training


class Logging(Listening):
    """Logs the number of the batch, and nothing in every third."""

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        number = sum(entry[0] == "loss" for entry in self.heard)  # type: ignore[index]
        self.log = {"number": torch.tensor(float("nan") if number % 3 == 0 else float(number))}
        return super().forward(embeddings, labels)


@PLAIN
def test_what_an_objective_logs_is_averaged_over_the_batches_that_have_it(plain: bool) -> None:
    epochs: list[Epoch] = []
    fit(
        BagEncoder(27, 8), Logging(), corpus().train, Train(epochs=2, batch_size=12),
        sampler="shuffled", seed=0, plain=plain, on_epoch=epochs.append,
    )  # fmt: skip
    assert [epoch.log["number"] for epoch in epochs] == [(1 + 2 + 4) / 3, (5 + 7 + 8) / 3]


@PLAIN
def test_an_objectives_own_batches_are_used_and_asked_for_one_at_a_time(plain: bool) -> None:
    own = [[0, 1, 2, 3], [4, 4], [5], [59, 0, 1], [7, 8]]
    objective, data = Listening(own), corpus().train
    fit(
        BagEncoder(27, 8), objective, data, Train(epochs=2, batch_size=12),
        sampler="balanced", seed=0, plain=plain,
    )  # fmt: skip
    heard = [entry for entry in objective.heard if entry[0] not in ("batches", "epoch")]
    expected = [x for rows in own for x in (rows, ("loss", data.labels[rows].tolist()))]
    assert heard == expected * 2


@pytest.mark.parametrize("count", [4, 6])
def test_an_objective_with_another_number_of_batches_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        fit(
            BagEncoder(27, 8), Listening([[0, 1]] * count), corpus().train,
            Train(epochs=1, batch_size=12), sampler="balanced", seed=0,
        )  # fmt: skip


class Doubled(Listening):
    """Sees every text twice: as it is, and without its first token."""

    VIEWS = 2

    def views(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        self.heard.append(("views", ids.copy()))
        texts = np.split(ids, offsets[1:-1])
        views = texts + [text[1:] for text in texts]
        ends = np.cumsum([0, *map(len, views)])
        return np.concatenate(views).astype(np.int32), ends.astype(np.int64)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.seen = embeddings.detach().clone()
        return super().forward(embeddings, labels)


@PLAIN
@LAYERS
def test_an_objective_may_see_altered_copies_of_the_texts(plain: bool, layer: str) -> None:
    torch.manual_seed(0)
    data, rows = corpus().train, np.array([3, 8, 3])
    encoder, objective = BagEncoder(27, 8, layer), Doubled()
    kind = TorchStep if plain else partial(CompiledStep, batch_size=12)
    step = kind(encoder, objective, data, "sgd")
    texts = [data.tokens.take([row]).ids.tolist() for row in rows]
    views = texts + [text[1:] for text in texts]
    ends = np.cumsum([0, *map(len, views)])
    expected = encoder(torch.tensor([*chain(*views)]), torch.from_numpy(ends[:-1])).detach()
    step(rows, 0.1)
    torch.testing.assert_close(objective.seen, expected)
    torch.testing.assert_close(step.embeddings, expected)
    assert objective.heard[0][1].tolist() == [*chain(*texts)]
    assert objective.heard[1] == ("loss", [*data.labels[rows], *data.labels[rows]])


@pytest.mark.parametrize(
    "views",
    [
        ([30], [0, 1, 1]),
        ([1] * 7, [0, 7, 7]),
        ([1], [0, 1]),
    ],
    ids=["unknown token", "longer than its text", "too few views"],
)
def test_a_view_that_is_no_part_of_its_text_is_an_error(
    views: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = Doubled()
    step = CompiledStep(BagEncoder(27, 8), objective, corpus().train, "sgd", batch_size=4)
    given = np.array(views[0], dtype=np.int32), np.array(views[1], dtype=np.int64)
    monkeypatch.setattr(objective, "views", lambda ids, offsets: given)
    with pytest.raises(IndexError, match="a view holds"):
        step(np.array([0]), 0.1)


def test_a_loss_that_is_not_a_number_stops_with_the_epoch_and_a_remedy() -> None:
    with pytest.raises(
        UserError, match=r"diverged in epoch 1 \(seed 7\).*lower the learning rate \(lr\)"
    ):
        fit(
            BagEncoder(27, 8), Broken(float("nan")), corpus().train,
            Train(batch_size=12), sampler="shuffled", seed=7,
        )  # fmt: skip


def test_a_loss_or_an_embedding_that_is_not_a_number_is_enough() -> None:
    one_step = Train(epochs=1, batch_size=64)
    for value, broken in ((float("nan"), False), (0.0, True)):
        encoder = BagEncoder(27, 8)
        if broken:
            encoder.weight.data[1:] = float("nan")
        with pytest.raises(UserError, match="diverged in epoch 1"):
            fit(
                encoder, Broken(value), corpus().train, one_step, sampler="shuffled", seed=0
            )  # fmt: skip


def test_a_collapse_is_a_mean_distance_below_a_thousandth_between_classes() -> None:
    data, one_step = corpus().train, Train(epochs=1, batch_size=64)

    def train_once(mean_distance: float, rows: list[int]) -> None:
        encoder = BagEncoder(27, 8)
        apart = float(torch.pdist(torch.from_numpy(encoder.embed(data.tokens))).mean())
        encoder.weight.data *= mean_distance / apart
        batches = Listening([rows])
        fit(
            encoder, Broken(0.0), data, one_step, sampler="shuffled", seed=0, batches=batches
        )  # fmt: skip

    every = list(range(60))
    train_once(1.01e-3, every)
    with pytest.raises(UserError, match=r"mean distance is 9\.9e-04"):
        train_once(0.99e-3, every)
    train_once(0.0, [0, 3, 6])  # of one class


def test_collapsed_embeddings_stop_instead_of_reporting_a_perfect_cohesion() -> None:
    encoder = BagEncoder(27, 8)
    encoder.weight.data[:] = 1
    with pytest.raises(UserError, match=r"collapsed in epoch 1 .*another miner"):
        fit(
            encoder, Broken(0.0), corpus().train,
            Train(batch_size=12), sampler="shuffled", seed=0,
        )  # fmt: skip


def test_a_frozen_encoder_stays_and_its_head_learns() -> None:
    encoder = BagEncoder(27, 8, "linear")
    head = CrossEntropy(CrossEntropyParameters(), dim=8, classes=3)
    before = [value.clone() for value in (*encoder.parameters(), *head.parameters())]
    epochs: list[Epoch] = []
    fit(
        encoder, head, corpus().train, Train(epochs=2, batch_size=12),
        sampler="shuffled", seed=0, frozen=True, on_epoch=epochs.append,
    )  # fmt: skip
    after = [*encoder.parameters(), *head.parameters()]
    same = [torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    assert same == [True] * 3 + [False] * 2
    assert epochs[1].loss < epochs[0].loss


@FAMILIES
@LAYERS
def test_a_saved_model_gives_the_same_embeddings_and_predictions(
    family: str, layer: str, tmp_path: Path
) -> None:
    model, _, _ = trained(family, layer=layer)
    model.save(tmp_path / "model")
    loaded = TrainedModel.load(tmp_path / "model")
    embeddings = model.embed(corpus().test.tokens)
    np.testing.assert_array_equal(loaded.embed(corpus().test.tokens), embeddings)
    np.testing.assert_array_equal(
        loaded.predict_centroid(embeddings), model.predict_centroid(embeddings)
    )
    assert loaded.vocabulary == model.vocabulary
    assert (loaded.head is None) == (family == "metric")
    if isinstance(loaded.head, ClassificationObjective):
        np.testing.assert_array_equal(
            loaded.predict_head(embeddings), model.predict_head(embeddings)
        )


def test_a_model_without_head_says_how_to_predict() -> None:
    model, _, _ = trained("metric", epochs=1)
    with pytest.raises(UserError, match="no classification head"):
        model.predict_head(np.zeros((1, 8), dtype=np.float32))


def test_loading_something_else_than_a_model_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model\.json"):
        TrainedModel.load(tmp_path)
    trained(epochs=1)[0].save(tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        TrainedModel.load(tmp_path / "model")
    description = tmp_path / "model" / "model.json"
    text = description.read_text()
    description.write_text(text.replace('"basic_english"', '"basic_german"'))
    with pytest.raises(UserError, match=r"model\.json: unknown tokenizer 'basic_german'.* install"):
        TrainedModel.load(tmp_path / "model")
    description.write_text(text.replace('"format": 3', '"format": 1'))
    with pytest.raises(
        UserError, match=r"has format 1, this version reads format 3: .* train again"
    ):
        TrainedModel.load(tmp_path / "model")


def test_saving_never_replaces_a_folder_that_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not a saved model"):
        trained(epochs=1)[0].save(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:x", "0", "cuda:", "cuda:\u0663", "meta", "cpu\n", b"cpu"]
)
def test_an_unknown_device_is_an_error_that_lists_the_known(name: str) -> None:
    with pytest.raises(UserError, match=r"^device is .*: use auto, cpu or cuda"):
        choose_device(name, "device")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_says_so() -> None:
    with pytest.raises(UserError, match="torch finds no CUDA device"):
        choose_device("cuda", "device")
    assert choose_device("auto", "device") == CPU


def test_centroids_by_blocks_are_the_means_of_unit_embeddings() -> None:
    rng = np.random.default_rng(0)
    offsets = np.cumsum([0, *rng.integers(0, 5, 50)], dtype=np.int64)
    tokens = RaggedTokens(rng.integers(1, 20, offsets[-1], dtype=np.int32), offsets)
    data = LabelledTokens(tokens, rng.integers(0, 3, 50, dtype=np.int32))
    torch.manual_seed(0)
    encoder = BagEncoder(20, 8)
    expected = class_centroids(encoder.embed(tokens), data.labels, 4)
    np.testing.assert_array_equal(train_centroids(encoder, data, 4), expected.astype(np.float32))
    np.testing.assert_allclose(train_centroids(encoder, data, 4, rows_at_once=7), expected, 1e-6)


def test_cuda_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, device in (("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")):
        assert choose_device(name, "device") == torch.device(device)
    with pytest.raises(UserError, match="torch finds 2 CUDA devices"):
        choose_device("cuda:2", "device")

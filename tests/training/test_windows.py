from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from tests import tiny
from textmetric.embedder import TextEmbedder
from textmetric.encoders import BagEncoder
from textmetric.errors import UserError
from textmetric.losses import build, family_of
from textmetric.losses.objective import Batches
from textmetric.params import Pretrain, Train
from textmetric.sampling.batches import WindowSampler, window_bounds
from textmetric.text import LabelledTokens, RaggedTokens, RaggedView
from textmetric.training.loop import fit
from textmetric.training.pretraining import pretrain
from textmetric.training.windows import Windows

TOKENS, CLASSES, BATCH, WINDOW = 40, 3, 8, 20


class Asked(RaggedView):
    """A view that notes the rows it is asked for."""

    asked: ClassVar[list[list[int]]] = []

    def take(self, rows: ArrayLike) -> RaggedTokens:
        self.asked.append(np.asarray(rows).tolist())
        return super().take(rows)


def texts(rows: int = 70) -> LabelledTokens:
    """Random tokens; the texts get longer, so that each window has a longer one than the last."""
    rng = np.random.default_rng(0)
    lengths = np.arange(rows) // 5
    ids = rng.integers(1, TOKENS, lengths.sum(), dtype=np.int32)
    offsets = np.cumsum([0, *lengths])
    return LabelledTokens(
        RaggedTokens(ids, offsets), rng.integers(0, CLASSES, rows).astype(np.int32)
    )


def in_two_files(data: LabelledTokens, folder: Path) -> LabelledTokens:
    """The same, with the tokens in two mapped files, cut inside a window."""
    for name, part in zip(("one", "two"), data.tokens.whole().cut(30), strict=True):
        part.save(folder / name)
    stored = Asked.over([RaggedTokens.load(folder / name) for name in ("one", "two")])
    return LabelledTokens(stored, data.labels)


def weights(
    data: LabelledTokens,
    objective: str,
    window: int | None,
    *,
    sampler: str = "shuffled",
    plain: bool = False,
    batches: Batches | None = None,
) -> torch.Tensor:
    torch.manual_seed(3)
    encoder = BagEncoder(TOKENS, 4)
    module = build(family_of(objective), {"name": objective}, dim=4, classes=CLASSES, seed=1)
    settings = Train(epochs=3, batch_size=BATCH, window=window)
    fit(encoder, module, data, settings, sampler=sampler, seed=1, plain=plain, batches=batches)
    return encoder.weight.detach()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("objective", "sampler"),
    [("cross_entropy", "shuffled"), ("triplet", "balanced"), ("invariant_spreading", "shuffled")],
)
def test_reading_by_windows_changes_nothing_but_the_batches(
    objective: str, sampler: str, plain: bool, tmp_path: Path
) -> None:
    """Against the same batches from all rows in memory."""
    data = texts()
    batches = WindowSampler(sampler, data.labels, BATCH, 1, WINDOW)
    expected = weights(data, objective, None, plain=plain, batches=batches)
    stored = in_two_files(data, tmp_path)
    Asked.asked.clear()
    found = weights(stored, objective, WINDOW, sampler=sampler, plain=plain)
    assert len(Asked.asked) == 3 * 5  # three epochs of five windows
    assert max(map(len, Asked.asked)) <= WINDOW
    assert torch.equal(found, expected)
    assert not torch.equal(found, weights(data, objective, None, sampler=sampler, plain=plain))


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
def test_one_window_of_all_rows_is_training_without_windows(sampler: str, tmp_path: Path) -> None:
    expected = weights(texts(), "triplet", None, sampler=sampler)
    stored = in_two_files(texts(), tmp_path)
    for window in (None, 72, 1000):  # 72: the nine batches of 70 rows
        assert torch.equal(weights(stored, "triplet", window, sampler=sampler), expected)


def test_a_window_is_read_once_each_time_that_the_batches_come_to_it() -> None:
    data = texts()
    Asked.asked.clear()
    windows = Windows.of(Asked.over([data.tokens]), BATCH, WINDOW)
    sampler = WindowSampler("shuffled", data.labels, BATCH, 0, WINDOW)
    bounds = window_bounds(70, BATCH, WINDOW)
    assert bounds.tolist() == [0, 8, 24, 40, 56, 70]
    for epoch in range(1, 3):
        for rows in sampler.epoch():
            tokens, places = windows.holding(rows)
            expected = data.tokens.take(rows)
            found = tokens.take(places)
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.offsets, expected.offsets)
            assert not tokens.ids.flags.writeable
            assert len(tokens) <= WINDOW
        assert windows.read == epoch * 5
    assert sorted(map(tuple, Asked.asked[:5])) == [
        tuple(range(start, end)) for start, end in pairwise(bounds)
    ]


@pytest.mark.parametrize("rows", [[7, 8], [8, 7], [60, 3]])
def test_a_batch_from_two_windows_is_refused(rows: list[int]) -> None:
    windows = Windows.of(texts().tokens, BATCH, WINDOW)
    with pytest.raises(ValueError, match="but a window ends at 8"):
        windows.holding(np.array(rows))


@pytest.mark.parametrize("objective", ["magnet", "prototypical"])
def test_an_objective_with_its_own_batches_has_no_windows(objective: str) -> None:
    with pytest.raises(UserError, match=r"train\.window is 20, but the objective makes its own"):
        weights(texts(), objective, WINDOW)


def test_pretraining_reads_all_texts_by_windows(tmp_path: Path) -> None:
    data, more = texts(), texts(33).tokens
    joined = RaggedTokens.joined((part.ids, part.offsets) for part in (data.tokens, more))  # type: ignore[union-attr]
    found = []
    for tokens in (joined, RaggedView.over([in_two_files(data, tmp_path).tokens, more])):
        torch.manual_seed(3)
        encoder = BagEncoder(TOKENS, 4)
        options = Pretrain(epochs=2, batch_size=BATCH)
        pretrain(encoder, tokens, options, Train(window=WINDOW, batch_size=BATCH), seed=2)
        found.append(encoder.weight.detach())
    assert torch.equal(*found)


def test_only_a_model_trained_in_windows_says_so(tmp_path: Path) -> None:
    for window in (None, 24):
        model, _, _ = tiny.trained(window=window)
        model.save(tmp_path / "model")
        assert model.recipe.train.window == window
        assert model.recipe.model_dump()["train"].get("window", "none") == (window or "none")
        assert TextEmbedder.load(tmp_path / "model").get_params()["batch_size"] == 12

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tiny import CPU, corpus, trained
from textmetric.errors import UserError
from textmetric.params import Finetune, Model, Train
from textmetric.text import LabelledTokens, TokenizedCorpus, Vocabulary
from textmetric.transfer import TransferHead, finetune, finetune_seeds, shared_tokens


def run(source: bool, tuning: str, **settings: object) -> list[dict[str, float]]:
    return finetune(
        corpus(seed=1),
        trained(epochs=8)[0] if source else None,
        tuning=tuning,
        settings=Finetune(**{"epochs": 4, "lr": 0.1} | settings),
        model=Model(dim=8),
        train=Train(batch_size=12),
        seed=0,
        device=CPU,
    )


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("tuning", ["frozen", "finetuned"])
@pytest.mark.parametrize("tanh", [True, False])
def test_accuracy_comes_by_epoch_and_the_test_part_is_read_once(
    source: bool, tuning: str, tanh: bool
) -> None:
    curve = run(source, tuning, tanh=tanh)
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4]
    assert all(0 <= row["validation_accuracy"] <= 1 for row in curve)
    assert [np.isnan(row["test_accuracy"]) for row in curve] == [True, True, True, False]


def test_embeddings_that_know_the_classes_transfer_even_frozen() -> None:
    assert run(True, "frozen", epochs=10)[-1]["test_accuracy"] == 1
    assert run(True, "finetuned", epochs=10)[-1]["test_accuracy"] == 1


def test_the_same_seed_gives_the_same_curve() -> None:
    pd.testing.assert_frame_equal(
        pd.DataFrame(run(True, "finetuned")), pd.DataFrame(run(True, "finetuned"))
    )


def test_shared_tokens_maps_ids_and_leaves_strangers_at_zero() -> None:
    target, source = Vocabulary(["<unk>", "b", "c", "a"]), Vocabulary(["<unk>", "a", "x", "b"])
    assert shared_tokens(target, source).tolist() == [0, 3, 0, 1]
    assert shared_tokens(target, None).tolist() == [0, 0, 0, 0]


def test_the_head_is_that_of_the_study() -> None:
    head = TransferHead(32, 4)
    assert [type(layer).__name__ for layer in head.layers] == [
        "Dropout", "BatchNorm1d", "Linear", "Dropout", "BatchNorm1d", "Linear", "Tanh",
    ]  # fmt: skip
    assert head(torch.randn(1, 32), torch.tensor([0])) == 0
    logits = head.eval().logits(100 * torch.randn(50, 32))
    assert logits.abs().max() <= 1
    assert not isinstance(TransferHead(32, 4, tanh=False).layers[-1], torch.nn.Tanh)


def test_all_seeds_and_tunings_are_written_as_one_table(tmp_path: Path) -> None:
    corpus(seed=1).save(tmp_path / "target")
    for seed in (0, 1):
        trained(seed=seed, epochs=1)[0].save(tmp_path / "models" / f"seed-{seed}")
    arguments = {
        "seeds": [0, 1], "settings": Finetune(epochs=2), "model": Model(dim=8),
        "train": Train(batch_size=12), "progress": False,
    }  # fmt: skip
    out = tmp_path / "metric.csv"
    finetune_seeds(tmp_path / "target", tmp_path / "models", out, init="metric", **arguments)
    table = pd.read_csv(out)
    assert list(table.columns) == [
        "init", "tuning", "seed", "epoch", "train_loss", "validation_loss",
        "validation_accuracy", "test_accuracy",
    ]  # fmt: skip
    assert len(table) == 2 * 2 * 2
    with pytest.raises(UserError, match=r"holds no model\.json"):
        finetune_seeds(tmp_path / "target", tmp_path / "none", out, init="metric", **arguments)
    with pytest.raises(UserError, match="unknown init 'metrics'; did you mean 'metric'"):
        finetune_seeds(tmp_path / "target", tmp_path / "none", out, init="metrics", **arguments)


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
            texts, source, tuning=tuning, settings=Finetune(epochs=2), model=Model(dim=8),
            train=Train(batch_size=12), seed=0, device=CPU,
        )
        for tuning in ("frozen", "finetuned")
        for texts in (data, twin)
    ]  # fmt: skip
    assert pd.DataFrame(curves[0]).equals(pd.DataFrame(curves[1]))
    assert not pd.DataFrame(curves[2]).equals(pd.DataFrame(curves[3]))

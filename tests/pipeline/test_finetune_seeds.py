from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.tiny import CPU, corpus, trained
from textmetric import parallel
from textmetric.errors import UserError
from textmetric.grid import Arm, Family, Layout, Training
from textmetric.model import TrainedModel
from textmetric.params import Finetune, Model, Train
from textmetric.pipeline.finetune_seeds import SOURCE, TARGET, finetune_seeds
from textmetric.training.finetuning import finetune

ARM = Arm(Family.METRIC, "balanced")
SETTINGS = {
    "settings": Finetune(epochs=2, shares=[0.1, 1.0], sampler="balanced"),
    "model": Model(dim=8),
    "train": Train(batch_size=12),
    "progress": False,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A target, and a metric-learning model of the source for two seeds."""
    layout = Layout(tmp_path_factory.mktemp("transfer"))
    corpus(seed=1).save(layout.split(TARGET))
    for seed in (0, 1):
        trained(seed=seed, epochs=1)[0].save(layout.model(Training(ARM, SOURCE, seed)))
    return layout


def test_every_tuning_head_share_and_seed_is_a_row_of_one_table(layout: Layout) -> None:
    path = layout.transfer("metric")
    finetune_seeds(layout, "metric", seeds=[0, 1], **SETTINGS)
    before = path.read_bytes()
    finetune_seeds(layout, "metric", seeds=[0, 1], **SETTINGS)
    assert path.read_bytes() == before
    assert path.read_text().splitlines()[1].startswith("metric,frozen,true,0.1,0,1,")
    table = pd.read_csv(path)
    assert list(table.columns) == [
        "init", "tuning", "tanh", "share", "seed", "epoch", "train_loss", "validation_loss",
        "validation_accuracy", "test_accuracy",
    ]  # fmt: skip
    trainings = table.groupby(["tuning", "tanh", "share", "seed"])
    assert trainings.size().tolist() == [2] * 2**4
    assert (trainings["test_accuracy"].count() == 1).all()
    assert table["tanh"].dtype == bool


def test_every_training_starts_from_the_model_of_its_own_seed(layout: Layout) -> None:
    finetune_seeds(layout, "metric", seeds=[0, 1], **SETTINGS)
    table = pd.read_csv(layout.transfer("metric"), float_precision="round_trip")
    how = {name: SETTINGS[name] for name in ("settings", "model", "train")}
    for (tuning, tanh, share, seed), found in table.groupby(["tuning", "tanh", "share", "seed"]):
        source = TrainedModel.load(layout.model(Training(ARM, SOURCE, seed)))
        alone = finetune(
            corpus(seed=1), source, tuning=tuning, tanh=tanh, share=share, seed=seed, device=CPU,
            **how,
        )  # fmt: skip
        assert found["train_loss"].tolist() == [row["train_loss"] for row in alone]
    assert table["train_loss"].nunique() == len(table)


def test_files_that_were_rewritten_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_cores", lambda: 1)  # other processes start without a cache
    layout, losses = Layout(tmp_path), []
    for of_target, of_source in ((1, 0), (2, 0), (2, 1)):
        corpus(seed=of_target).save(layout.split(TARGET))
        trained(seed=of_source, epochs=1)[0].save(layout.model(Training(ARM, SOURCE, 0)))
        finetune_seeds(layout, "metric", seeds=[0], **SETTINGS)
        losses.append(pd.read_csv(layout.transfer("metric"))["train_loss"].tolist())
    assert not any(a == b for a, b in zip(losses[0], losses[1], strict=True))
    assert not any(a == b for a, b in zip(losses[1], losses[2], strict=True))


def test_scratch_needs_no_model_of_the_source(layout: Layout) -> None:
    finetune_seeds(layout, "scratch", seeds=[0], **SETTINGS)
    assert set(pd.read_csv(layout.transfer("scratch"))["init"]) == {"scratch"}


def test_a_missing_model_and_an_unknown_start_are_named(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"seed-7 holds no model\.json"):
        finetune_seeds(layout, "metric", seeds=[7], **SETTINGS)
    with pytest.raises(UserError, match="unknown family 'metrics'; did you mean 'metric'"):
        finetune_seeds(layout, "metrics", seeds=[0], **SETTINGS)

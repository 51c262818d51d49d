from __future__ import annotations

import pandas as pd
import pytest

from tests.tiny import corpus, trained
from textmetric.errors import UserError
from textmetric.grid import Arm, Family, Layout, Training
from textmetric.params import Finetune, Model, Train
from textmetric.pipeline.finetune_seeds import SOURCE, TARGET, finetune_seeds

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


def test_scratch_needs_no_model_of_the_source(layout: Layout) -> None:
    finetune_seeds(layout, "scratch", seeds=[0], **SETTINGS)
    assert set(pd.read_csv(layout.transfer("scratch"))["init"]) == {"scratch"}


def test_a_missing_model_and_an_unknown_start_are_named(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"seed-7 holds no model\.json"):
        finetune_seeds(layout, "metric", seeds=[7], **SETTINGS)
    with pytest.raises(UserError, match="unknown family 'metrics'; did you mean 'metric'"):
        finetune_seeds(layout, "metrics", seeds=[0], **SETTINGS)

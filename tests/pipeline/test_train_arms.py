from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import CPU, corpus
from textmetric import parallel
from textmetric.files import read_json, write_json
from textmetric.grid import Arm, Family, Layout, Split, Training, trainings
from textmetric.model import TrainedModel
from textmetric.params import Model, Pretrain, Train
from textmetric.pipeline.train_arms import train_arms
from textmetric.report.cost_table import write_costs
from textmetric.training.loop import train

FAMILY = Family.METRIC
SPLITS = [Split("target", "one"), Split("target", "two")]
ARMS = [Arm(FAMILY, "balanced"), Arm(FAMILY, "shuffled")]
SEEDS = [0, 1]
CELLS = trainings(ARMS, SPLITS, SEEDS)
HOW = {
    "objective": {"name": "triplet"},
    "model": Model(dim=8),
    "settings": Train(epochs=2, batch_size=12),
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Both samplers and two seeds on two splits."""
    layout = Layout(tmp_path_factory.mktemp("arms"))
    for seed, split in enumerate(SPLITS):
        corpus(seed=seed).save(layout.split(split))
    train_arms(
        layout, FAMILY, "target", splits=SPLITS, samplers=[arm.sampler for arm in ARMS],
        seeds=SEEDS, progress=False, max_size=500, **HOW,
    )  # fmt: skip
    return layout


def test_every_model_is_that_of_its_own_split_sampler_and_seed(layout: Layout) -> None:
    weights = []
    for cell in CELLS:
        alone = train(
            corpus(seed=SPLITS.index(cell.split)), family=FAMILY, sampler=cell.arm.sampler,
            seed=cell.seed, device=CPU, **HOW,
        )  # fmt: skip
        model = TrainedModel.load(layout.model(cell))
        weights.append(model.encoder.weight)
        assert torch.equal(weights[-1], alone.model.encoder.weight)
        assert (model.recipe.sampler, model.recipe.seed) == (cell.arm.sampler, cell.seed)
        assert (model.recipe.min_freq, model.recipe.max_size) == (1, 500)
        assert model.recipe.train == HOW["settings"]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(weights, 2))


def test_every_curve_and_cost_is_that_of_its_own_arm(layout: Layout) -> None:
    for split, arm in itertools.product(SPLITS, ARMS):
        table = np.genfromtxt(layout.curve(arm, split), delimiter=",", names=True)
        assert table["seed"].tolist() == [0, 0, 1, 1]
        assert table["epoch"].tolist() == [1, 2, 1, 2]
        expected = [
            row["loss"]
            for seed in SEEDS
            for row in train(
                corpus(seed=SPLITS.index(split)), family=FAMILY, sampler=arm.sampler, seed=seed,
                device=CPU, **HOW,
            ).curve
        ]  # fmt: skip
        assert table["loss"].tolist() == expected
        costs = read_json(layout.cost(arm, split))
        assert [cost["seed"] for cost in costs["seeds"]] == SEEDS
        assert all(len(cost["epoch_seconds"]) == 2 for cost in costs["seeds"])
        assert all(cost["peak_mib"] > 1 for cost in costs["seeds"])
        assert 0 < costs["stage_seconds"] < 600


def test_texts_that_were_rewritten_are_read_again(tmp_path: Path) -> None:
    layout, cell = Layout(tmp_path), Training(ARMS[0], SPLITS[0], 0)
    weights = []
    for seed in (0, 5):
        corpus(seed=seed).save(layout.split(cell.split))
        train_arms(
            layout, FAMILY, "target", splits=[cell.split], samplers=["balanced"], seeds=[0],
            progress=False, **HOW,
        )  # fmt: skip
        weights.append(TrainedModel.load(layout.model(cell)).encoder.weight)
    assert not torch.equal(*weights)


def test_pretraining_is_in_every_arm_and_in_the_costs(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    run = parallel.run
    monkeypatch.setattr(
        parallel, "run", lambda *args, **options: counted.append(options["ticks"]) or run(
            *args, **options
        ),
    )  # fmt: skip
    pretrain, before = Pretrain(epochs=3, batch_size=8), Layout(tmp_path)
    corpus(seed=0).save(before.split(SPLITS[0]))
    for family, objective in (
        (Family.METRIC, {"name": "triplet"}),
        (Family.CLASSIFICATION, {"name": "cross_entropy"}),
    ):
        train_arms(
            before, family, "target", splits=SPLITS[:1], samplers=["balanced"], seeds=[0],
            pretrain=pretrain, progress=False, **HOW | {"objective": objective},
        )  # fmt: skip
        costs = read_json(before.cost(Arm(family, "balanced"), SPLITS[0]))["seeds"][0]
        assert len(costs["pretraining_seconds"]) == 3
        assert len(costs["epoch_seconds"]) == 2
    assert counted == [5, 5]
    cell = Training(ARMS[0], SPLITS[0], 0)
    alone = train(
        corpus(seed=0), family=FAMILY, sampler="balanced", seed=0, device=CPU, pretrain=pretrain,
        **HOW,
    )  # fmt: skip
    after = TrainedModel.load(before.model(cell)).encoder.weight
    assert torch.equal(after, alone.model.encoder.weight)
    assert not torch.equal(after, TrainedModel.load(layout.model(cell)).encoder.weight)
    plain = read_json(layout.cost(ARMS[0], SPLITS[0]))["seeds"][0]
    assert set(plain) == {"seed", "epoch_seconds", "peak_mib"}
    write_costs(before, splits=SPLITS[:1], arms=[ARMS[0]])
    path = before.cost(ARMS[0], SPLITS[0])
    write_json(path, {"seeds": [costs | {"epoch_seconds": [1, 1], "pretraining_seconds": [2, 3]}],
                      "stage_seconds": 9})  # fmt: skip
    write_costs(before, splits=SPLITS[:1], arms=[ARMS[0]])
    assert "| 7.00 |" in before.cost_table.read_text()

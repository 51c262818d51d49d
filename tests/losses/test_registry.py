from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages import objectives
from textmetric import losses
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import (
    ClassificationObjective,
    Objective,
    build,
    carried_over,
    ignored,
    parameters,
)
from textmetric.params import read
from textmetric.schema import Section
from textmetric.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
METRIC = ", ".join(sorted([*losses.OBJECTIVES["metric"], "pml:<ClassName>"]))


@pytest.mark.parametrize(
    ("family", "name"),
    [(family, name) for family, names in losses.OBJECTIVES.items() for name in names],
)
def test_every_registered_objective_builds_with_its_defaults_and_runs(
    family: Family, name: str
) -> None:
    objective = build(family, {"name": name}, dim=3, classes=2)
    loss = objective(torch.randn(8, 3), torch.arange(8) % 2)
    assert isinstance(objective, Objective)
    assert isinstance(objective, ClassificationObjective) == (family == "classification")
    assert loss.ndim == 0
    assert torch.isfinite(loss)


def test_every_parameter_of_every_objective_has_a_default() -> None:
    for family, names in losses.OBJECTIVES.items():
        for name in names:
            assert isinstance(parameters(family, {"name": name}), Section)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "params", "message"),
    [
        (
            "metric",
            {"name": "tripplet"},
            f"unknown loss.name 'tripplet'; did you mean 'triplet'? Known: {METRIC}",
        ),
        (
            "classification",
            {"name": "cross-entropy"},
            "unknown classification.name 'cross-entropy'; did you mean 'cross_entropy'? "
            "Known: cross_entropy, norm_softmax",
        ),
        ("metric", {}, "loss.name is missing: add it, such as {name: triplet}"),
        ("metric", {"name": None}, f"unknown loss.name 'None'. Known: {METRIC}"),
        (
            "metric",
            {"name": ["triplet"]},
            f"unknown loss.name \"['triplet']\"; did you mean 'triplet'? Known: {METRIC}",
        ),
        (
            "classification",
            {},
            "classification.name is missing: add it, such as {name: cross_entropy}",
        ),
        (
            "classification",
            {"name": "pml:ArcFaceLoss"},
            "unknown classification.name 'pml:ArcFaceLoss'. Known: cross_entropy, norm_softmax",
        ),
        (
            "metric",
            {"name": "contrastive", "margin": 1, "powr": 2},
            "unknown parameter 'loss.powr'; did you mean 'loss.power'? Known: loss.balanced, "
            "loss.margin, loss.name, loss.normalize, loss.power",
        ),
        (
            "metric",
            {"name": "triplet", "margin": -0.5},
            "loss.margin is -0.5, but it should be greater than or equal to 0 (default 0.2)",
        ),
        (
            "metric",
            {"name": "triplet", "margin": "wide"},
            "loss.margin is 'wide', but it should be a valid number (default 0.2)",
        ),
        (
            "metric",
            {"name": "triplet", "margin": float("nan")},
            "loss.margin is nan, but it should be a finite number (default 0.2)",
        ),
        (
            "metric",
            {"name": "triplet", "margin": None},
            "loss.margin is None, but it should be a valid number (default 0.2)",
        ),
        (
            "metric",
            {"name": "triplet", "miner": "semihard"},
            "unknown loss.miner 'semihard'; did you mean 'semi_hard'? "
            "Known: all, easy, hard, random, semi_hard",
        ),
        (
            "metric",
            {"name": "triplet", "margn": 0.1},
            "unknown parameter 'loss.margn'; did you mean 'loss.margin'? Known: loss.distance, "
            "loss.margin, loss.miner, loss.name, loss.normalize, loss.reduction",
        ),
        (
            "classification",
            {"name": "cross_entropy", "margin": 0.2},
            "unknown parameter 'classification.margin'; did you mean 'classification.name'? "
            "Known: classification.name",
        ),
        (
            "metric",
            "triplet",
            "loss is 'triplet', but it should be a mapping with a name, such as {name: triplet}",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(
    family: Family, params: object, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        build(family, params, dim=2, classes=2)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_parameters_of_another_objective_of_the_family_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A second name for the same class replaces a second objective with other parameters.
    monkeypatch.setitem(losses.OBJECTIVES["metric"], "bare", "cross_entropy.CrossEntropy")
    build("metric", {"name": "bare", "margin": 0.1, "miner": "hard"}, dim=2, classes=2)
    with pytest.raises(UserError, match=r"unknown parameter 'loss\.marge'"):
        build("metric", {"name": "bare", "marge": 0.1}, dim=2, classes=2)


@pytest.mark.parametrize(
    ("changes", "printed"),
    [
        ({}, []),
        (
            {"name": "contrastive"},
            [
                "loss.margin is 0.2 as given; the default of contrastive is 1.0",
                "loss.distance is ignored: contrastive has no such parameter",
                "loss.miner is ignored: contrastive has no such parameter",
            ],
        ),
        (
            {"name": "pml:RankedListLoss", "Tn": 10},
            [
                "loss.margin is 0.2 as given; it has no default",
                "loss.Tn is 10 as given; it has no default",
                "loss.distance is ignored: pml:RankedListLoss has no such parameter",
                "loss.miner is ignored: pml:RankedListLoss has no such parameter",
            ],
        ),
    ],
)
def test_the_stage_prints_what_a_change_of_the_name_alone_does(
    changes: dict[str, object],
    printed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = read(ROOT / "params.yaml")
    given = params.loss | changes
    monkeypatch.chdir(tmp_path)
    objectives.main(argparse.Namespace(), params.model_copy(update={"loss": given}))
    assert capsys.readouterr().out.splitlines() == printed
    effective = json.loads((tmp_path / "data/objectives/metric.json").read_text())
    assert effective["parameters"]["margin"] == 0.2
    assert {"distance", "miner"} & set(effective["parameters"]) == (
        set() if changes else {"distance", "miner"}
    )


def test_shared_parameters_are_kept_and_foreign_ones_ignored() -> None:
    given = {"name": "contrastive", "margin": 0.2, "distance": "euclidean", "power": 1}
    assert ignored("metric", given) == ["distance"]
    assert carried_over("metric", given) == {"margin": (0.2, 1.0)}
    assert parameters("metric", given).model_dump()["margin"] == 0.2


def test_the_parameters_of_the_repository_are_the_defaults_of_its_objectives() -> None:
    params = read_yaml(ROOT / "params.yaml", "")
    for family in Family:
        given = params[family.section]
        assert given["name"] == losses.DEFAULTS[family]
        assert ignored(family, given) == []
        assert carried_over(family, given) == {}


def test_a_classifier_does_not_import_the_metric_objectives() -> None:
    code = (
        "import sys; from textmetric.losses import build\n"
        "build('classification', {'name': 'cross_entropy'}, dim=2, classes=2)\n"
        "sys.exit('textmetric.losses.triplet' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

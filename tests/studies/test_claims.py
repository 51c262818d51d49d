"""The ten conclusions of the original study, judged on a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studies import answers, claims
from studies.claims import Compared, Judged
from tests.report.fake_study import KEYS, SPLITS, write_study
from tests.tiny import corpus
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import Arm, Family, Layout
from textmetric.measures import Outcome
from textmetric.report.blocks import Judgement
from textmetric.splits import write_entries
from textmetric.yaml12 import flow, read_yaml

ROOT = Path(__file__).parents[2]
SAMPLES = {
    "target": {"sample_of": "ag_news", "classes": 4},
    "source": {"sample_of": "dbpedia_classes", "classes": 219},
}
SEEDS = [0, 1, 2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose metric arms take twice as long, with tiny corpora to train on."""
    folder = tmp_path / "run"
    write_study(folder, SEEDS, corpora=SAMPLES)
    layout = Layout(folder)
    write_entries(layout.splits, {KEYS[name]: SPLITS[name] for name in SPLITS})
    for role in ("target", "source"):
        corpus().save(layout.split(KEYS[role]))
        for sampler in ("shuffled", "balanced"):
            path = layout.cost(Arm(Family.METRIC, sampler), KEYS[role])
            seeds = read_json(path)["seeds"]
            for place, seed in enumerate(seeds):
                seed["epoch_seconds"] = [2.0, 1.0 + 0.01 * place]
            write_json(path, {"seeds": seeds, "stage_seconds": 3.0})
    params: dict[str, Any] = read_yaml(ROOT / "params.yaml", "")
    params["seeds"] = SEEDS
    params["model"] |= {"dim": 8}
    params["train"] |= {"epochs": 2, "batch_size": 12, "device": "cpu"}
    (folder / "params.yaml").write_text(flow(params))
    return folder


def program(run: Path, *options: str) -> str:
    out = run.parent / "out"
    words = [str(run), "--results", str(run.parent / "results"), "--out", str(out), *options]
    claims.main(claims.parser().parse_args(words))
    return (out / "claims.md").read_text()


def row_of(text: str, number: int) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {number} |"))


def test_the_page_judges_all_ten(run: Path, tmp_path: Path) -> None:
    text = program(run, "--epochs", "1", "3")
    assert [f"\n## {number}. " in text for number in range(1, 11)] == [True] * 10
    # the batches of metric learning take 3 seconds against 1.5
    assert row_of(text, 1).endswith("| **yes** |")
    assert "2.01 times as long [1.9" in text
    # one label is cut: two samplers, two measures
    assert text.partition("## 5. ")[2].partition("## 6. ")[0].count("| label\\|1, ") == 4
    # fine-tuning from metric learning is better in each of its four comparisons
    assert row_of(text, 8).endswith("| **yes** |")
    # more than the two epochs of the run are three
    assert "3 epochs, balanced batches" in text
    assert "1 epochs, balanced batches" not in text
    assert "MAP@R and Recall@1 of norm\\_softmax against triplet" in row_of(text, 9)
    # MAP@R is better by metric learning everywhere, also where the claim wants no difference
    similar = row_of(text, 10)
    assert "the opposite in" in similar
    assert (tmp_path / "out" / "claims.png").stat().st_size > 5_000
    shown = answers.read([tmp_path / "out" / "claims.md"])
    assert [each["question"].split(".")[0] for each in shown] == [*map(str, range(1, 11))]
    assert similar.endswith(f"| {shown[9]['found']} |")
    trained = sorted((tmp_path / "results" / "claims").glob("*.json"))
    # two numbers of epochs, and normalised softmax: two samplers, two families or corpora, seeds
    assert len(trained) == (2 + 1) * 2 * 2 * len(SEEDS) - (2 * len(SEEDS))  # both corpora are equal


def test_runs_that_are_about_something_else_are_refused(run: Path) -> None:
    params = read_yaml(run / "params.yaml", "")
    (run / "params.yaml").write_text(
        flow(params | {"model": {"encoder": "frozen", "layer": "linear"}})
    )
    with pytest.raises(UserError, match="given vectors"):
        program(run)
    summary = Layout(run).summary("source")
    write_json(summary, read_json(summary) | {"sample_of": None})
    with pytest.raises(UserError, match="the source of the run is my source, expected dbpedia_cl"):
        program(run)


def sweep(above: float) -> pd.DataFrame:
    """Classification is .1 better after 5 epochs; after 20 metric learning is, by ``above``."""
    return pd.DataFrame(
        [
            {"epochs": epochs, "sampler": "shuffled", "family": family, "seed": seed}
            | {"cohesion": 0.5 + 0.01 * seed * (1 + (family == Family.METRIC)) + away}
            for epochs, metric in ((5, -0.1), (20, above))
            for family, away in ((Family.CLASSIFICATION, 0.0), (Family.METRIC, metric))
            for seed in SEEDS
        ]
    )


@pytest.mark.parametrize(
    ("above", "verdict"),
    [(0.3, "**no, the opposite**"), (-0.3, "**yes**"), (-0.01, "no difference")],
)
def test_the_same_with_more_epochs_looks_at_more_epochs_alone(above: float, verdict: str) -> None:
    judged = claims.with_epochs(sweep(above), 10)
    (compared,) = judged.comparisons
    assert compared.what == "20 epochs, shuffled batches"
    assert judged.verdict.startswith(verdict)
    table = claims.sweep_intervals(sweep(above))
    assert list(table["epochs"]) == [5, 5, 20, 20]
    metric = table[(table["epochs"] == 20) & (table["line"] == "metric learning")]
    assert metric["mean"].item() == pytest.approx(0.52 + above)


def test_a_claim_that_nothing_speaks_to_is_not_judged() -> None:
    assert Judged(3, "").verdict == "not judged"
    said = [Compared("", "", outcome) for outcome in (Outcome.DEPENDS, Outcome.NO_DIFFERENCE)]
    assert Judged(3, "", said).verdict == "no difference at 95 %"
    mixed = [*said, Compared("", "", Outcome.FIRST), Compared("", "", Outcome.SECOND)]
    assert Judged(3, "", mixed).verdict == "yes in 1 of 4, the opposite in 1"


def test_labels_of_one_text_have_no_cohesion() -> None:
    result = claims.Result({"cohesion_0": 0.2, "cohesion_1": np.nan, "seconds": 9.0}, [], None)
    assert claims._mean_cohesion(result) == pytest.approx(0.2)
    assert np.isnan(claims._mean_cohesion(claims.Result({}, [], "diverged")))


def test_a_scarce_label_is_as_claimed_if_metric_learning_has_more() -> None:
    def per_seed(_: object, arm: Arm, key: str) -> np.ndarray:
        return np.array([0.5, 0.51, 0.53]) + 0.2 * (arm.family == Family.METRIC) * np.array(
            [1, 1, 1.1]
        )

    about = SimpleNamespace(label_names=["one"], scarce=[0])
    study: Any = SimpleNamespace(
        scarce=lambda role: ["split"], about=lambda split: about, samplers=["shuffled"],
        per_seed=per_seed,
    )  # fmt: skip
    assert claims.every_label(study).verdict == "**yes**"


@pytest.mark.parametrize(("table", "as_claimed"), [("8-1", Outcome.FIRST), ("R-1", Outcome.SECOND)])
def test_overall_a_difference_is_claimed_for_imbalanced_data_alone(
    table: str, as_claimed: Outcome
) -> None:
    verdict = SimpleNamespace(
        outcome=Outcome.FIRST, measure=SimpleNamespace(name="MAP@R"),
        paired=SimpleNamespace(mean=0.2, low=0.1, high=0.3),
        judgement=Judgement(Outcome.FIRST, "metric", "classification"),
    )  # fmt: skip
    finding: Any = SimpleNamespace(table=table, title="a table", verdict=verdict)
    (compared,) = claims.overall([finding]).comparisons
    assert compared.outcome is as_claimed

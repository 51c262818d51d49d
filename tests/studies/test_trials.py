"""Many trainings as one job: resumable, and each named by what it depends on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies import names
from studies.inputs import store
from studies.trials import Result, Trial, run_trials
from tests.tiny import corpus
from textmetric.errors import UserError
from textmetric.params import Model, Train

COSTS = {"seconds", "peak_mib"}
TRIPLET = {"name": "triplet"}


@pytest.fixture
def tiny(tmp_path: Path) -> Trial:
    return Trial(
        corpus=store(corpus(), tmp_path / "corpora"),
        family="metric",
        objective=TRIPLET,
        sampler="balanced",
        model=Model(dim=8),
        settings=Train(epochs=2, batch_size=12, device="cpu"),
        seed=0,
        neighbours=3,
    )


def run(*given: Trial, results: Path) -> list[Result]:
    return run_trials(given, results, progress=False)


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}


def same(one: Result, other: Result) -> bool:
    names = set(one.measures) - COSTS
    return names == set(other.measures) - COSTS and all(
        np.array_equal(one.measures[name], other.measures[name], equal_nan=True) for name in names
    )


def test_what_is_done_is_not_done_again(tiny: Trial, tmp_path: Path) -> None:
    results = tmp_path / "trials"
    given = [replace(tiny, seed=seed) for seed in range(3)]
    first = run(*given, results=results)
    before = stamps(results)
    assert len(before) == 3
    assert run(*given, results=results) == first
    assert stamps(results) == before


def test_only_what_is_missing_is_done(tiny: Trial, tmp_path: Path) -> None:
    results = tmp_path / "trials"
    given = [replace(tiny, seed=seed) for seed in range(3)]
    first = run(*given, results=results)
    lost = results / f"{given[1].key()}.json"
    lost.unlink()
    before = stamps(results)
    again = run(*given, results=results)
    after = stamps(results)
    assert {name for name in after if before.get(name) != after[name]} == {lost.name}
    assert all(same(one, other) for one, other in zip(first, again, strict=True))


def test_results_stand_in_the_order_of_the_trials(tiny: Trial, tmp_path: Path) -> None:
    given = [replace(tiny, seed=seed) for seed in (2, 0, 2)]
    found = run(*given, results=tmp_path / "trials")
    alone = run(given[1], results=tmp_path / "alone")
    assert same(found[1], alone[0])
    assert found[0] == found[2]
    assert not same(found[0], found[1])
    assert len(stamps(tmp_path / "trials")) == 2


def test_every_measure_of_the_studies_is_there(tiny: Trial, tmp_path: Path) -> None:
    (found,) = run(tiny, results=tmp_path)
    assert {
        "map_at_r",
        "recall_at_1",
        "recall_at_10",
        "recall_at_100",
        "knn_accuracy",
        "cohesion",
        "between_class_cosine",
        "validation_map_at_r",
        "hamming_recall_at_1",
        "hamming_map_at_r",
        "seconds",
        "peak_mib",
    } <= set(found.measures)
    assert found.measures["peak_mib"] > 1
    assert 0 < found.measures["map_at_r"] <= 1
    assert found.losses == []
    assert found.error is None


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"sampler": "shuffled"},
        {"objective": {"name": "triplet", "margin": 0.3}},
        {"objective": {"name": "lifted"}},
        {"family": "classification", "objective": {"name": "cross_entropy"}},
        {"model": Model(dim=9)},
        {"settings": Train(epochs=3, batch_size=12, device="cpu")},
        {"settings": Train(epochs=2, batch_size=12, device="cpu", lr=0.2)},
        {"neighbours": 4},
        {"losses": True},
        {"classes_per_batch": 2},
    ],
    ids=str,
)
def test_whatever_changes_the_result_changes_its_name(tiny: Trial, change: dict[str, Any]) -> None:
    assert replace(tiny, **change).key() != tiny.key()


def test_what_is_the_same_has_the_same_name(tiny: Trial, tmp_path: Path) -> None:
    assert replace(tiny, objective={"name": "triplet", "margin": 0.2}).key() == tiny.key()
    elsewhere = store(corpus(), tmp_path / "elsewhere")
    assert replace(tiny, corpus=elsewhere).key() == tiny.key()


def test_another_corpus_or_other_code_changes_the_name(
    tiny: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny.key()
    more = store(corpus(rows=21), tmp_path / "corpora")
    folders = [tiny.corpus, more] + [
        store(replace(corpus(), **{which: [2]}), tmp_path / "corpora")
        for which in ("scarce", "held_out", "unseen")
    ]
    assert len({replace(tiny, corpus=folder).key() for folder in folders}) == 5
    hashed: list[str] = []

    def edited(*modules: str) -> dict[str, str]:
        hashed.extend(modules)
        return dict.fromkeys(modules, "edited")

    monkeypatch.setattr(names, "code", edited)
    assert tiny.key() != before
    assert hashed == ["studies.trials", "studies.inside", "textmetric.losses.triplet"]


def test_another_objective_in_the_registry_leaves_the_names_as_they_are() -> None:
    code = names.code("studies.trials", "textmetric.losses.triplet")
    assert "textmetric/losses/triplet.py" in code
    assert "textmetric/training/loop.py" in code
    assert "textmetric/losses/__init__.py" not in code
    assert "textmetric/losses/lifted.py" not in code


def test_a_training_that_diverges_has_a_result_too(tiny: Trial, tmp_path: Path) -> None:
    settings = Train(epochs=2, batch_size=12, optimizer="sgd", device="cpu")
    settings = settings.model_copy(update={"lr": 1e30})  # which no user may give
    bad = replace(tiny, settings=settings, objective={"name": "lifted"})
    found, good = run(bad, tiny, results=tmp_path)
    assert found.error is not None
    assert "diverged" in found.error
    assert found.measures == {}
    assert good.error is None
    before = stamps(tmp_path)
    assert run(bad, results=tmp_path) == [found]
    assert stamps(tmp_path) == before


def test_the_loss_of_every_step_can_be_kept(tiny: Trial, tmp_path: Path) -> None:
    (found,) = run(replace(tiny, losses=True), results=tmp_path)
    assert len(found.losses) == 2 * math.ceil(60 / 12)
    assert all(loss >= 0 for loss in found.losses)


def test_a_file_that_is_no_result_is_told(tiny: Trial, tmp_path: Path) -> None:
    (tmp_path / f"{tiny.key()}.json").write_text("[]")
    with pytest.raises(UserError, match="is not the result of a training: delete it"):
        run(tiny, results=tmp_path)

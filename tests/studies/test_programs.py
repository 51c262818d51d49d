"""The programs as a user starts them, on a small table of texts."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from studies import ablations, charts, eight_points, league, options
from studies.trials import Result
from tests.tiny import WORDS
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import OBJECTIVES

ROOT = Path(__file__).parents[2]
PROGRAMS = pytest.mark.parametrize("program", ["league", "ablations", "eight_points"])
NAMES: list[tuple[Family, str]] = [
    (family, name)
    for family, names in OBJECTIVES.items()
    for name in names  # type: ignore[misc]
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        {"text": " ".join([*rng.choice(words, size=4), f"t{row}"]), "label": label}
        for label, words in WORDS.items()
        for row in range(40)
    ]
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def run(module: Any, folder: Path, texts: Path, *options: str) -> None:
    """The program in this process; its options are those of the command line."""
    words = ["--corpus", str(texts), "--params", str(ROOT / "params.yaml"), "--epochs", "2"]
    words += ["--seeds", "0", "1", "--out", str(folder), "--results", str(folder / "results")]
    module.main(module.parser().parse_args([*words, *options]))


def program(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"studies.{name}", *options],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@PROGRAMS
def test_help_has_examples(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = {"league": league, "ablations": ablations, "eight_points": eight_points}[program]
    with pytest.raises(SystemExit):
        module.parser().parse_args(["--help"])
    assert f"python -m studies.{program}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objectives", "tripplet"], "did you mean 'triplet'?"),
        (["--objectives", "{name: triplet, margin: -1}"], "loss.margin"),
        (["--objectives", "{name: contrastive, miner: hard}"], "has no parameter miner"),
        (["--seeds", "1", "1"], "--seeds is [1, 1]"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--corpus", "docstring"], "docstrings"),
        (["--corpus", "{path: [}"], "cannot be read as YAML"),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence(options: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        league.main(league.parser().parse_args(options))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mistake_ends_with_status_2() -> None:
    found = program("league", "--objectives", "tripplet")
    assert found.returncode == 2
    assert found.stderr.startswith("error: unknown objective 'tripplet'")


def test_the_league_ranks_by_map_at_r_and_resumes(texts: Path, tmp_path: Path) -> None:
    names = ["cross_entropy", "triplet", "{name: triplet, miner: hard}"]
    run(league, tmp_path, texts, "--objectives", *names)
    page = (tmp_path / "league.md").read_text(encoding="utf-8")
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    assert {line[0].strip("| ") for line in lines} == {
        "cross\\_entropy",
        "triplet",
        "triplet (miner hard)",
        "TF-IDF",
        "untrained",
    }
    values = [float(line[2].split()[0]) for line in lines]
    assert values == sorted(values, reverse=True)
    # what is not trained takes no seconds
    assert [line[0] for line in lines if "–" in line] == ["| untrained"]
    assert [line[1] for line in lines].count("baseline") == 2
    assert imread(tmp_path / "league.png").ndim == 3
    trials = tmp_path / "results" / "trials"
    before = {path: path.stat().st_mtime_ns for path in trials.iterdir()}
    assert len(before) == 3 * 2 * 2
    run(league, tmp_path, texts, "--objectives", *names)
    assert {path: path.stat().st_mtime_ns for path in trials.iterdir()} == before
    assert (tmp_path / "league.md").read_text(encoding="utf-8") == page


def test_an_interrupted_league_goes_on_where_it_was_left(texts: Path, tmp_path: Path) -> None:
    options = ["--corpus", str(texts), "--objectives", "triplet", "--epochs", "300"]
    options += ["--seeds", *map(str, range(12)), "--out", str(tmp_path)]
    options += ["--results", str(tmp_path / "results")]
    trials = tmp_path / "results" / "trials"
    started = subprocess.Popen(
        [sys.executable, "-m", "studies.league", *options],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while started.poll() is None and len(list(trials.glob("[!.]*.json"))) < 2:
        time.sleep(0.02)
    started.terminate()
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 2
    assert "run the same command again to go on" in errors
    before = {path: path.stat().st_mtime_ns for path in trials.glob("[!.]*.json")}
    assert 2 <= len(before) < 24
    league.main(league.parser().parse_args(options))
    after = {path: path.stat().st_mtime_ns for path in trials.glob("[!.]*.json")}
    assert len(after) == 24
    assert before.items() <= after.items()


def place(split: str, objective: str, lr: float, seed: int) -> dict[str, Any]:
    return {"split": split, "objective": objective, "family": "metric", "lr": lr, "seed": seed}


def result(
    validation: float, test: float, error: str | None = None, *, of_scarce: float | None = None
) -> Result:
    measures = {"validation_map_at_r": validation, "map_at_r": test, "scarce_map_at_r": test}
    measures["validation_scarce_map_at_r"] = validation if of_scarce is None else of_scarce
    return Result({} if error else measures, [], error)


def test_the_learning_rate_is_chosen_on_validation() -> None:
    # On the test part the other rate would be the better one.
    coordinates = [place("full", "a", lr, seed) for lr in (0.1, 0.3) for seed in (0, 1)]
    results = [result(0.6, 0.1), result(0.7, 0.3), result(0.5, 0.8), result(0.6, 0.8)]
    scarce = [place("scarce", *("a", lr, seed)) for lr in (0.1, 0.3) for seed in (0, 1)]
    ranked, failures = league.rank([*coordinates, *scarce], results * 2)
    row = ranked[ranked["measure"] == "map_at_r"].iloc[0]
    assert row["lr"] == 0.1
    assert row["mean"] == pytest.approx(0.2)
    assert failures == {}


def test_the_learning_rate_for_a_scarce_label_is_chosen_on_its_own_rows() -> None:
    coordinates = [
        place(split, "a", lr, seed)
        for split in ("full", "scarce")
        for lr in (0.1, 0.3)
        for seed in (0, 1)
    ]
    results = [result(0.6, 0.1, of_scarce=0.2)] * 2 + [result(0.5, 0.4, of_scarce=0.3)] * 2
    ranked, _ = league.rank(coordinates, results * 2)
    rates = ranked.set_index("measure")["lr"]
    assert (rates["map_at_r"], rates["scarce_map_at_r"]) == (0.1, 0.3)


def test_an_objective_that_diverged_comes_last_and_tells_why() -> None:
    coordinates = [
        place(split, name, 0.1, seed)
        for name in ("bad", "good")
        for split in ("full", "scarce")
        for seed in (0, 1)
    ]
    results = [result(0, 0, "it diverged")] + [result(0.9, 0.9)] * 3 + [result(0.1, 0.1)] * 4
    ranked, failures = league.rank(coordinates, results)
    assert ranked["objective"].drop_duplicates().tolist() == ["good", "bad"]
    first = ranked[(ranked["objective"] == "bad") & (ranked["measure"] == "map_at_r")].iloc[0]
    assert math.isnan(first["mean"])
    page = league.page(ranked, failures, "All of them.")
    assert "- bad, lr 0.1, seed 0: it diverged" in page
    assert "| bad | metric learning | – |" in page


def test_a_rate_at_which_a_seed_diverged_is_not_chosen() -> None:
    coordinates = [
        place(split, "a", lr, seed)
        for split in ("full", "scarce")
        for lr in (0.1, 9.0)
        for seed in (0, 1)
    ]
    results = [result(0.2, 0.2), result(0.2, 0.2), result(0.9, 0.9), result(0, 0, "diverged")] * 2
    ranked, failures = league.rank(coordinates, results)
    assert set(ranked["lr"]) == {0.1}
    assert failures == {"a": "lr 9, seed 1: diverged"}


def test_the_ablations_write_every_part(texts: Path, tmp_path: Path) -> None:
    options = ["--objectives", "norm_softmax", "triplet", "--widths", "4", "8", "--open", "0"]
    run(ablations, tmp_path, texts, *options)
    page = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    assert heads == [
        "## Width",
        "## Binary codes",
        "## Layer norm",
        "## Classes in a batch",
        "## The paper's conclusions, on text",
    ]
    for part in ("widths", "codes", "layer-norm", "classes"):
        assert f"(ablations-{part}.png)" in page
        assert imread(tmp_path / f"ablations-{part}.png").ndim == 3
    assert "| norm\\_softmax | 4 |" in page
    assert "| norm\\_softmax | without |" in page
    # Three classes: batches of all of them and of two.
    assert "| triplet | 3 |" in page
    assert "| triplet | 2 |" in page


def test_the_ablations_from_given_vectors_have_a_page_of_their_own(
    texts: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    words = [word for few in WORDS.values() for word in few]
    words += [f"more{number}" for number in range(32)]
    values = [" ".join(f"{value:.3f}" for value in rng.normal(size=32)) for _ in words]
    vectors = tmp_path / "words.vec"
    vectors.write_text("".join(f"{one} {row}\n" for one, row in zip(words, values, strict=True)))
    options = ["--objectives", "norm_softmax", "triplet", "--widths", "4", "8", "--open", "0"]
    options += ["--parts", "widths", "--vectors", str(vectors), "--seeds", "0", "1", "2"]
    run(ablations, tmp_path, texts, *options)
    random = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    page = (tmp_path / "ablations-given.md").read_text(encoding="utf-8")
    assert "(ablations-given-widths.png)" in page
    assert imread(tmp_path / "ablations-given-widths.png").ndim == 3
    assert "| conclusion | random | given vectors |" in page
    assert "| conclusion |" not in random
    (of_random,) = [line for line in random.splitlines() if line.startswith("| triplet | 8 |")]
    assert of_random not in page  # other weights, other measures


def test_the_ablations_do_the_parts_asked_for(texts: Path, tmp_path: Path) -> None:
    run(ablations, tmp_path, texts, "--open", "0", "--parts", "layer_norm")
    assert "## Width" not in (tmp_path / "ablations.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.glob("*.png")] == ["ablations-layer-norm.png"]
    with pytest.raises(UserError, match="unknown part 'layernorm'; did you mean 'layer_norm'"):
        run(ablations, tmp_path, texts, "--parts", "layernorm")


def test_the_ablations_measure_labels_that_were_never_trained_on(
    texts: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(texts)
    frame["label"] += np.where(np.arange(len(frame)) % 2, " one", " two")
    frame.to_csv(tmp_path / "six.csv", index=False)
    names = ["--objectives", "cross_entropy", "triplet", "--parts", "classes"]
    run(ablations, tmp_path, tmp_path / "six.csv", *names)
    page = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    assert "trained on 3 classes and measured on 3 others" in page
    # two seeds give every measure an interval, and no verdict
    assert "–" not in page.partition("## The paper's conclusions")[0]
    with pytest.raises(UserError, match=r"--open is 1\.0, expected a share of the labels below 1"):
        run(ablations, tmp_path, texts, "--open", "1")


@pytest.mark.parametrize(("family", "name"), NAMES, ids=[name for _, name in NAMES])
def test_every_objective_moves_the_points(family: Family, name: str) -> None:
    objective = {"name": name} | eight_points.PARAMETERS.get(name, {})
    found = eight_points.paths(family, objective, steps=20)
    assert found.shape == (21, 8, 2)
    assert np.isfinite(found).all()
    start, end = found[0], found[-1]
    assert np.array_equal(start, eight_points.paths("metric", {"name": "triplet"}, steps=1)[0])
    assert np.linalg.norm(end - start, axis=1).max() > 0.05
    assert np.array_equal(found, eight_points.paths(family, objective, steps=20))


def test_the_picture_of_the_points_is_the_same_bytes(tmp_path: Path) -> None:
    panels = {"triplet": eight_points.paths("metric", {"name": "triplet"}, steps=30)}
    for name in ("one.png", "other.png"):
        charts.eight_points(tmp_path / name, panels, eight_points.LABELS)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_all_of_the_registry_takes_part_by_default() -> None:
    chosen = options.chosen_objectives(None)
    assert [(family, objective["name"]) for family, objective in chosen] == NAMES

"""The real stages, as a user starts them, on tiny texts and without DVC."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from selenium.webdriver.common.keys import Keys

from tests.browser import Page, chromium
from tests.tiny import WORDS
from textmetric import TextEmbedder
from textmetric.grid import Family
from textmetric.model import TrainedModel
from textmetric.params import read
from textmetric.text import TokenizedCorpus
from textmetric.training.loop import train

ROOT = Path(__file__).parents[2]
SPLITS = ("target", "target-scarce-0", "source", "source-open")
# what the open split needs: labels on either side
MORE_WORDS = WORDS | {
    "sky": ["sun", "moon", "star", "cloud", "rain", "wind", "dawn", "dusk"],
    "tool": ["saw", "drill", "nail", "clamp", "file", "plane", "vice", "bolt"],
}


def run(folder: Path, stage: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def write_params(folder: Path, **sections: Any) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {
        "corpora": {"target": "few.csv", "source": {"path": "many.csv", "label": "topic"}},
        "splits": {
            "target": {"role": "target"},
            "target-scarce-0": {"role": "target", "scarce": [0], "keep": 0.2},
            "source": {"role": "source", "rare": 2},
            "source-open": {"role": "source", "open": 0.5},
        },
        "samplers": ["balanced", "shuffled"],
        "arms": ["cls_balanced", "metric_balanced"],
        "seeds": [0, 1],
    }
    params["train"] |= {"epochs": 2, "batch_size": 16}
    params["tsne"] |= {"points": 40}
    params["finetune"] |= {"epochs": 2, "sampler": "balanced", "shares": [0.1, 1.0]}
    for name, values in sections.items():
        params[name] = {**params[name], **values} if isinstance(values, dict) else values
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def write_table(
    path: Path, label: str, rows: int, seed: int, words: dict[str, list[str]] = WORDS
) -> None:
    rng = np.random.default_rng(seed)
    labels = [list(words)[row % len(words)] for row in range(rows)]
    # a number makes every text different: equal texts in train and test are dropped
    texts = [
        f"{' '.join(rng.choice(words[label], size=5))} the {row}"
        for row, label in enumerate(labels)
    ]
    pd.DataFrame({"text": texts, label: labels}).to_csv(path, index=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the whole pipeline has run."""
    folder = tmp_path_factory.mktemp("project")
    write_params(folder)
    write_table(folder / "few.csv", "label", 120, seed=0)
    write_table(folder / "many.csv", "topic", 200, seed=1, words=MORE_WORDS)
    steps: list[tuple[str, ...]] = [("fingerprint",), ("objectives",)]
    steps += [("download",), ("encode",), ("tokenize",), ("split",)]
    for family in ("cls", "metric"):
        steps += [("train", "--family", family, "--role", role) for role in ("target", "source")]
        steps += [(stage, "--family", family) for stage in ("embed", "evaluate", "tsne")]
    steps += [("finetune", "--init", init) for init in ("cls", "metric", "scratch")]
    steps += [("report",), ("page",), ("costs",)]
    for step in steps:
        finished = run(folder, *step)
        assert finished.returncode == 0, (step, finished.stderr)
    return folder


def test_every_stage_leaves_what_the_next_needs_and_nothing_half_written(project: Path) -> None:
    assert (project / "reports" / "results.md").stat().st_size > 1000
    assert (project / "plots" / "tsne" / "source.png").stat().st_size > 1000
    curves = pd.read_csv(project / "plots" / "curves" / "target-scarce-0.csv")
    assert curves["arm"].tolist() == ["cls_balanced"] * 2 + ["metric_balanced"] * 2
    assert curves["epoch"].tolist() == [1, 2, 1, 2]
    assert not list(project.rglob(".writing-*"))


def test_download_lets_no_text_cross_the_roles(tmp_path: Path) -> None:
    write_params(tmp_path, corpora={"target": "few.csv", "source": "few.csv"})
    write_table(tmp_path / "few.csv", "label", 120, seed=0)
    finished = run(tmp_path, "download")
    assert finished.returncode == 0, finished.stderr
    raw = tmp_path / "data" / "raw"
    target, source = (
        pd.read_parquet(raw / role / "corpus.parquet").groupby("split")["text"].agg(set)
        for role in ("target", "source")
    )
    assert target["test"] == source["test"]
    for part in ("train", "validation"):
        assert not (target["validation"] | target["test"]) & source[part]
        assert not (source["validation"] | source["test"]) & target[part]
    summary = json.loads((raw / "source" / "summary.json").read_text())
    assert summary["crossing_rows"] == len(target["validation"])
    assert f"crossing_rows {summary['crossing_rows']}" in finished.stdout


def test_metrics_are_flat_have_the_same_keys_and_lie_in_their_ranges(project: Path) -> None:
    found = {
        path.relative_to(project / "metrics").as_posix(): json.loads(path.read_text())
        for path in sorted((project / "metrics").rglob("*.json"))
    }
    assert len(found) == 2 * len(SPLITS)
    for name, metrics in found.items():
        family, _, split, _ = name.split("/")
        # one scarce label has no other to be compared with
        if split == "target-scarce-0":
            assert metrics.pop("scarce_among_cosine") is None, name
        assert all(isinstance(value, int | float) for value in metrics.values()), name
        assert 0 <= metrics["map_at_r"] <= 1
        assert ("scarce_map_at_r" in metrics) == (split in SPLITS[1:3])
        if split == "source-open":  # nothing predicts labels that it never saw
            assert not any("accuracy" in key for key in metrics)
            continue
        assert 0.9 < metrics["knn_accuracy"] <= 1
        assert ("head_accuracy" in metrics) == (family == "cls")
    whole, cut = (
        found[f"cls/target/{split}/balanced.json"] for split in ("target", "target-scarce-0")
    )
    assert cut["train_rows"] < whole["train_rows"]
    assert cut["test_rows"] == whole["test_rows"]


def test_the_page_shows_what_the_metrics_files_hold(project: Path) -> None:
    with chromium() as browser:
        page = Page(browser, project / "plots" / "report.html")
        page.requests()  # those of the empty page
        page.open()
        for split in SPLITS:
            rows = page.run(
                "return [...document.getElementById(arguments[0]).querySelectorAll('tbody tr')]"
                ".map((row) => [...row.cells].map((cell) => cell.textContent))",
                f"split-{split}",
            )
            shown = {row[0].strip(): row[1:] for row in reversed(rows)}
            for key, title in (("map_at_r", "MAP@R ↑"), ("cohesion", "cohesion ↑")):
                written = [
                    json.loads(path.read_text())[key]
                    for family in ("cls", "metric")
                    for path in (project / "metrics" / family).glob(f"*/{split}/balanced.json")
                ]
                assert [float(cell.split("±")[0]) for cell in shown[title]] == [
                    round(value, 3) for value in written
                ]
        # hover over a dot of the first map: its text is in the corpus
        panel = page.panel(0)
        page.run("arguments[0].focus()", panel)
        page.press(Keys.ARROW_RIGHT)
        page.wait("return !arguments[0].querySelector('.ring').hidden", panel)
        assert page.requests() == [f"file://{page.path}"]
        assert page.log() == []


def test_a_trained_model_loads_as_an_estimator(project: Path) -> None:
    for family in ("cls", "metric"):
        embedder = TextEmbedder.load(project / f"models/{family}/target/target/balanced/seed-1")
        assert embedder.predict(["apple bread the", "car bus the"]).tolist() == ["food", "road"]


def test_each_arm_is_trained_with_its_own_sampler_and_seed(project: Path) -> None:
    params, data = read(project / "params.yaml"), project / "data/splits/target/target"
    for sampler, seed in itertools.product(params.samplers, params.seeds):
        alone = train(
            TokenizedCorpus.load(data), family=Family.METRIC, sampler=sampler, seed=seed,
            objective=params.objective(Family.METRIC), model=params.model, settings=params.train,
            device=torch.device("cpu"),
        )  # fmt: skip
        folder = project / f"models/metric/target/target/{sampler}/seed-{seed}"
        assert torch.equal(TrainedModel.load(folder).encoder.weight, alone.model.encoder.weight), (
            folder
        )


def test_a_stage_that_runs_again_writes_the_same_bytes(project: Path) -> None:
    step = ("train", "--family", "metric", "--role", "target")
    watched = [
        *(project / "models/metric/target/target/balanced").rglob("*.*"),
        project / "data/curves/metric/target/target/balanced.csv",
    ]
    before = {path: path.read_bytes() for path in watched}
    assert len(before) == 5
    assert run(project, *step).returncode == 0
    assert {path: path.read_bytes() for path in watched} == before


@pytest.mark.parametrize(
    ("sections", "step", "said"),
    [
        ({"loss": {"margin": -1}}, ("objectives",), "loss.margin is -1"),
        ({"loss": {"name": "tripplet"}}, ("objectives",), "did you mean 'triplet'"),
        ({"train": {"lr": "fast"}}, ("objectives",), "train.lr is 'fast'"),
        ({"corpora": {"target": "none.csv"}}, ("download",), "none.csv"),
        ({"splits": {"../../..": {"role": "target"}}}, ("split",), "a name becomes a folder"),
        (
            {"corpora": {"target": {"path": "few.csv", "text": "body"}}},
            ("download",),
            "text, label",
        ),
        (
            {"splits": {"target": {"role": "target", "scarce": [7], "keep": 0.5}}},
            ("split",),
            "splits.target: ",
        ),
        (
            {"splits": {"target": {"role": "target", "scarce": [0], "keep": 1.5}}},
            ("split",),
            "splits.target: ",
        ),
        ({}, ("train", "--family", "cls", "--role", "goal"), "goal"),
        ({}, ("finetune", "--init", "metrics"), "unknown init 'metrics'; did you mean 'metric'"),
        ({}, ("embed", "--family", "metrics"), "did you mean 'metric'"),
        ({"seeds": [0, 7]}, ("embed", "--family", "metric"), "seed-7"),
    ],
)
def test_a_mistake_ends_with_one_sentence_and_status_2(
    project: Path, tmp_path: Path, sections: dict[str, Any], step: tuple[str, ...], said: str
) -> None:
    write_params(tmp_path, **sections)
    for name in ("few.csv", "many.csv", "data", "models"):
        (tmp_path / name).symlink_to(project / name)
    finished = run(tmp_path, *step)
    lines = [line for line in finished.stderr.splitlines() if "it/s" not in line]
    assert finished.returncode == 2, finished.stderr
    assert lines[-1].startswith("error: ")
    assert said in lines[-1]
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_leaves_what_was_there(
    project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    write_params(tmp_path, train={"epochs": 100_000, "batch_size": 16})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "splits").symlink_to(project / "data" / "splits")
    models = tmp_path / "models" / "metric"
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", "--family", "metric", "--role", "target"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs, and so maybe these tests, ignore Ctrl-C from birth
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    deadline = time.monotonic() + 60
    while not (models.is_dir() and os.listdir(models)) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert "error: interrupted" in said
    assert "Traceback" not in said
    assert os.listdir(models) == []


def test_help_shows_an_example() -> None:
    finished = run(ROOT, "train", "--help")
    assert finished.returncode == 0
    assert "Example: python -m stages.train --family metric --role target" in finished.stdout


@pytest.mark.parametrize(
    ("stage", "unused"),
    [
        ("fingerprint", "pandas matplotlib faiss numba"),
        ("objectives", "pandas matplotlib faiss numba"),
        ("download", "torch numba matplotlib faiss"),
        ("encode", "torch numba matplotlib faiss"),
        ("tokenize", "torch matplotlib faiss"),
        ("split", "torch numba pandas matplotlib faiss"),
        ("train", "pandas matplotlib faiss openTSNE"),
        ("embed", "pandas matplotlib numba"),
        ("evaluate", "torch numba pandas matplotlib"),
        ("tsne", "torch pandas matplotlib openTSNE"),
        ("finetune", "pandas matplotlib faiss"),
        ("report", "torch numba faiss"),
        ("page", "torch numba matplotlib faiss"),
        ("costs", "torch numba pandas matplotlib faiss"),
    ],
)
def test_no_stage_starts_by_importing_what_it_does_not_use(stage: str, unused: str) -> None:
    code = (
        f"import sys, stages.{stage}\n"
        f"print(*(name for name in {unused.split()} if name in sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert finished.stdout.split() == []

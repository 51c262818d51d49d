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
from selenium.webdriver.common.keys import Keys

from tests.browser import Page, chromium
from tests.tiny import WORDS
from textmetric import TextEmbedder
from textmetric.encoders.vectors import standardised
from textmetric.grid import INPUTS, ROLES, Baseline, Family
from textmetric.model import TrainedModel
from textmetric.params import read
from textmetric.text import NGRAMS, TokenizedCorpus
from textmetric.training.loop import train
from textmetric.yaml12 import flow, read_yaml

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
    params = read_yaml(ROOT / "params.yaml", "")
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
        params[name] = {**(params[name] or {}), **values} if isinstance(values, dict) else values
    (folder / "params.yaml").write_text(flow(params))


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
    steps += [("download",), ("vectors",), ("encode",), ("tokenize",), ("split",)]
    for family in ("cls", "metric"):
        steps += [("train", "--family", family, "--role", role) for role in ("target", "source")]
        steps += [(stage, "--family", family) for stage in ("embed", "evaluate", "tsne")]
    steps += [("finetune", "--init", init) for init in ("cls", "metric", "scratch")]
    steps += [("baselines",), ("report",), ("page",), ("costs",)]
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
    assert not list(project.rglob(".textmetric-writing-*"))


@pytest.mark.parametrize("tuned", [True, False])
def test_encoders_start_from_given_word_vectors(tmp_path: Path, tuned: bool) -> None:
    # "of" is in no text; two words of each topic have no vector
    words = ["of", *(word for topic in MORE_WORDS.values() for word in topic[:6])]
    values = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(words, values, strict=True)]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(words)} 4", *lines, ""]))
    write_params(
        tmp_path,
        splits={"target-scarce-0": {"role": "target", "scarce": [2], "keep": 0.2}},
        model={"dim": 6, "layer": "linear", "vectors": "words.vec"},
        train={"epochs": 1, "batch_size": 16, "vectors": "tuned" if tuned else "frozen"},
        seeds=[0],
    )  # fmt: skip
    write_table(tmp_path / "few.csv", "label", 120, seed=0)
    write_table(tmp_path / "many.csv", "topic", 200, seed=1, words=MORE_WORDS)
    steps = [("download",), ("vectors",), ("tokenize",), ("split",)]
    for step in [*steps, *[("train", "--family", "metric", "--role", r) for r in ROLES],
                 ("embed", "--family", "metric"), ("finetune", "--init", "metric"),
                 ("finetune", "--init", "scratch")]:  # fmt: skip
        finished = run(tmp_path, *step)
        assert finished.returncode == 0, (step, finished.stderr)
    for split in ("target", "target-scarce-0"):
        corpus = TokenizedCorpus.load(tmp_path / "data/splits/target" / split)
        model = TrainedModel.load(tmp_path / f"models/metric/target/{split}/balanced/seed-0")
        assert corpus.given == len(words) + 1
        assert model.vocabulary.tokens[1 : corpus.given] == words
        assert ("the" in model.vocabulary.tokens) == ("cake" in model.vocabulary.tokens) == tuned
        # of the seven words of a text five are of its topic, the others are "the" and a number
        assert corpus.found == pytest.approx(5 / 7 * 6 / 8, abs=0.03)
        weight = model.encoder.weight.detach().numpy()
        start = standardised(
            np.concatenate([np.zeros((1, 4), np.float32), values]), corpus.train.tokens.whole()
        )
        same = (weight[1 : corpus.given] == start[1:]).all(axis=1)
        assert same[0]
        assert same[19:].all()  # topics of the other role
        assert same[1:19].all() != tuned
        assert model.embed(corpus.test.tokens).shape == (len(corpus.test), 6)
    whole, cut = (
        len(TokenizedCorpus.load(tmp_path / "data/splits/target" / split).vocabulary)
        for split in ("target", "target-scarce-0")
    )
    assert cut < whole if tuned else cut == whole == len(words) + 1


def test_the_pipeline_with_character_ngrams(tmp_path: Path) -> None:
    write_params(tmp_path, model={"ngrams": "characters"})
    write_table(tmp_path / "few.csv", "label", 120, seed=0)
    write_table(tmp_path / "many.csv", "topic", 200, seed=1, words=MORE_WORDS)
    for step in ("download", "vectors", "tokenize", "split"):
        finished = run(tmp_path, step)
        assert finished.returncode == 0, (step, finished.stderr)
    vocabulary = TokenizedCorpus.load(tmp_path / "data/splits/target/target").vocabulary
    assert vocabulary.tokenizer is NGRAMS
    assert {"the", "·<th"} <= set(vocabulary.tokens)


def test_download_lets_no_text_cross_the_roles(tmp_path: Path) -> None:
    write_params(tmp_path, corpora={"target": "few.csv", "source": f"{INPUTS}/few.csv"})
    for folder in (tmp_path, tmp_path / INPUTS):
        folder.mkdir(exist_ok=True)
        write_table(folder / "few.csv", "label", 120, seed=0)
    finished = run(tmp_path, "download")
    assert finished.returncode == 0, finished.stderr
    notes = [line for line in finished.stdout.splitlines() if line.startswith("note:")]
    assert [note.split(",")[0] for note in notes] == ["note: few.csv is not in inputs/"]
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
                written += [
                    json.loads(path.read_text())["interval"][key][0]
                    for baseline in Baseline
                    for path in (project / "data/measures/baselines").glob(
                        f"*/{split}/{baseline}.json"
                    )
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
            "splits.target.keep is 1.5, but",
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
    for name in ("splits", "tokens"):
        (tmp_path / "data" / name).symlink_to(project / "data" / name)
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
        ("baselines", "matplotlib numba faiss"),
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


def test_text_without_a_label_goes_through_the_stages(tmp_path: Path) -> None:
    """A tiny table with empty labels, texts that leak, a split that unlabels, and pre-training."""
    write_params(
        tmp_path,
        corpora={
            "target": {"path": "few.csv", "unlabelled": "keep"},
            "source": {"path": "many.csv", "label": "topic"},
        },
        splits={
            "target": {"role": "target"},
            "target-scarce-0": {
                "role": "target", "scarce": [0, 1, 2], "keep": 0.2, "unlabel": True,
            },
            "source": {"role": "source", "rare": 2},
        },
        pretrain={"objective": "inverse_cloze", "epochs": 3, "batch_size": 16},
        seeds=[0],
        samplers=["balanced"],
        loss={"name": "triplet"},
    )  # fmt: skip
    write_table(tmp_path / "few.csv", "label", 120, seed=0)
    write_table(tmp_path / "many.csv", "topic", 200, seed=1, words=MORE_WORDS)
    finished = run(tmp_path, "download")
    assert finished.returncode == 0, finished.stderr
    raw = tmp_path / "data" / "raw"
    before, other = (
        pd.read_parquet(raw / role / "corpus.parquet") for role in ("target", "source")
    )
    tested, learnt = (
        [text for frame in (before, other) for text in frame["text"][frame["split"] == part]]
        for part in ("test", "train")
    )
    with (tmp_path / "few.csv").open("a") as file:
        file.writelines(f"{text},\n" for text in ["quite new words", *tested])
    steps: list[tuple[str, ...]] = [("fingerprint",), ("objectives",), ("download",), ("tokenize",)]
    steps += [
        ("split",),
        *(("train", "--family", f, "--role", "target") for f in ("cls", "metric")),
    ]
    for step in steps:
        finished = run(tmp_path, *step)
        assert finished.returncode == 0, (step, finished.stderr)
    after = pd.read_parquet(raw / "target" / "corpus.parquet")
    assert after["text"][after["split"] == "unlabelled"].tolist() == ["quite new words"]
    pd.testing.assert_frame_equal(after[after["split"] != "unlabelled"], before)
    summary = json.loads((raw / "target" / "summary.json").read_text())
    assert summary["unlabelled_rows"] == 1
    assert summary["unlabelled_leaked_rows"] == len(tested)
    assert len(learnt) > 50
    folder = tmp_path / "data" / "splits" / "target"
    full, scarce = (TokenizedCorpus.load(folder / name) for name in ("target", "target-scarce-0"))
    assert len(full.unlabelled) == 1
    assert len(scarce.unlabelled) == 1 + len(full.train) - len(scarce.train)
    assert len(scarce.vocabulary) == len(full.vocabulary)
    assert json.loads((tmp_path / "data/objectives/pretrain.json").read_text())["epochs"] == 3
    code = json.loads((tmp_path / "data/code/train_cls.json").read_text())
    assert "textmetric/losses/inverse_cloze.py" in code
    for name, corpus in (("target", full), ("target-scarce-0", scarce)):
        for family, objective in ((Family.METRIC, "triplet"), (Family.CLASSIFICATION, None)):
            model = TrainedModel.load(
                tmp_path / "models" / family.short / "target" / name / "balanced" / "seed-0"
            )
            params = read(tmp_path / "params.yaml")
            expected = train(
                corpus,
                family=family,
                objective={"name": objective or "cross_entropy"},
                sampler="balanced",
                model=params.model,
                settings=params.train,
                pretrain=params.pretrain,
                seed=0,
                device=torch.device("cpu"),
            )
            assert torch.equal(model.encoder.weight, expected.model.encoder.weight)
            assert model.centroids.shape[0] == 3
    cost = json.loads((tmp_path / "data/costs/cls/target/target/balanced.json").read_text())
    assert len(cost["seeds"][0]["pretraining_seconds"]) == 3


def test_a_pretraining_that_needs_labels_ends_the_pipeline_before_any_training(
    tmp_path: Path,
) -> None:
    write_params(tmp_path, pretrain={"objective": "triplet"})
    finished = run(tmp_path, "objectives")
    assert finished.returncode == 2
    assert "pretrain.objective is 'triplet', which needs labels" in finished.stderr
    assert "Traceback" not in finished.stderr

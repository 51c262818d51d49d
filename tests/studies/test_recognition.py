from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.image import imread

from studies import recognition
from studies.recognition import Found
from textmetric.errors import UserError
from textmetric.files import read_json
from textmetric.grid import Arm, Baseline, Family
from textmetric.measures import few_shot
from textmetric.splits import open_classes
from textmetric.text import TokenizedCorpus

ROOT = Path(__file__).parents[2]
CLASSES = 12


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of texts, one of texts out of scope, and parameters."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    rows = [
        {"text": " ".join([*rng.choice(9, size=4).astype(str), f"w{label}", f"t{row}"])}
        | {"label": f"class {label}"}
        for label in range(CLASSES)
        for row in range(30)
    ]
    pd.DataFrame(rows).to_csv(folder / "texts.csv", index=False)
    foreign = [" ".join(rng.choice(9, size=5).astype(str)) for _ in range(20)]
    pd.DataFrame({"text": [*foreign, "quite unknown"]}).to_csv(folder / "foreign.csv", index=False)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"arms": ["cls_balanced", "metric_balanced"], "samplers": ["balanced"]}
    params["finetune"]["sampler"] = "balanced"
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def run(inputs: Path, out: Path, *words: str) -> str:
    spec = f"{{path: {inputs}/texts.csv, out_of_scope: {inputs}/foreign.csv}}"
    options = ["--corpora", spec, "--params", str(inputs / "params.yaml"), "--epochs", "6"]
    options += ["--out", str(out), "--results", str(out / "results"), "--episodes", "200"]
    recognition.main(recognition.parser().parse_args([*options, *words]))
    return (out / "recognition.md").read_text(encoding="utf-8")


def test_every_measure_has_a_row_for_both_families_and_baselines(
    inputs: Path, tmp_path: Path
) -> None:
    page = run(inputs, tmp_path, "--seeds", "0", "1", "2")
    lines = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[1:]
        for line in page.splitlines()
        if line.startswith("| texts.csv: ")
    }
    expected = [each.title for topic in recognition.TOPICS for each in topic.measures]
    assert list(lines) == [f"texts.csv: {title}" for title in expected]
    for title, (cls, metric, tfidf, untrained, verdict) in lines.items():
        energy = "energy" in title  # which a head alone has
        assert "±" in cls
        assert (metric == "–") == (untrained == "–") == energy
        assert "±" not in tfidf
        assert ("[" in verdict) != energy
    # every class has a word of its own, which no text out of scope has
    assert float(lines["texts.csv: accuracy ↑"][0].split()[0]) > 0.9
    assert float(lines["texts.csv: no class, by distance ↑"][0].split()[0]) > 0.7
    # the words of new classes were never seen
    assert float(lines["texts.csv: 5-shot accuracy ↑"][0].split()[0]) < 0.3
    assert "- texts.csv, 1-shot, balanced: " in page
    assert "21 texts out of scope" in page
    assert imread(tmp_path / "recognition.png").ndim == 3
    results = tmp_path / "results" / "recognition"
    before = {file: file.stat().st_mtime_ns for file in results.iterdir()}
    assert len(before) == 2 * (3 * 3 + 1)  # on all and on some classes; TF-IDF once
    assert run(inputs, tmp_path, "--seeds", "0", "1", "2") == page
    assert {file: file.stat().st_mtime_ns for file in results.iterdir()} == before


def test_a_result_is_that_of_the_measures_on_the_split(inputs: Path, tmp_path: Path) -> None:
    corpus = recognition.read_corpus(
        str(inputs / "texts.csv"), recognition.read(inputs / "params.yaml"), tmp_path
    )
    params = recognition.read(inputs / "params.yaml")
    assert corpus.foreign is None
    found = recognition.measure(
        recognition.Job(
            corpus.whole,
            corpus.split,
            None,
            Baseline.UNTRAINED,
            {},
            params.model,
            params.train,
            seed=3,
            episodes=50,
        )
    )
    split = TokenizedCorpus.load(corpus.split)
    test = recognition.first_encoder(split, params.model, 3).embed(split.test.tokens)
    expected = few_shot(test, split.test.labels, shots=5, episodes=50, distance="euclidean")
    assert found.measures["5_shot_euclidean"] == expected.accuracy
    assert found.episodes["5_shot_euclidean"] == expected.by_episode.tolist()
    assert "foreign_distance_cosine" not in found.measures


def test_rows_of_a_corpus_get_the_ids_of_its_split(inputs: Path) -> None:
    params = recognition.read(inputs / "params.yaml")
    whole, _ = recognition.load_tokenized(str(inputs / "texts.csv"), params.data, progress=False)
    split = open_classes(whole, 0.5, 0)
    found = recognition.rows_of(whole.test, whole, split, split.unseen)

    def words(rows: Any, of: TokenizedCorpus) -> list[tuple[str, tuple[str, ...]]]:
        tokens, offsets = rows.tokens, rows.tokens.offsets
        return [
            (of.label_names[label], tuple(of.vocabulary.tokens[i] for i in tokens.ids[a:b]))
            for label, a, b in zip(rows.labels, offsets[:-1], offsets[1:], strict=True)
        ]

    unseen = {split.label_names[label] for label in split.unseen}
    known = set(split.vocabulary.tokens)
    assert words(found, split) == [
        (label, tuple(token for token in tokens if token in known))
        for label, tokens in words(whole.test, whole)
        if label in unseen
    ]
    assert len(found) == len(unseen) * 6


def test_a_training_that_failed_is_named(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = recognition.read(inputs / "params.yaml")
    corpus = recognition.Corpus("texts.csv", tmp_path, tmp_path, None, "12 classes")
    fine = Found({"accuracy": 0.5, "ece": 0.1}, {}, [], [])
    values: dict[tuple[str, Arm | Baseline], list[Found]] = {
        ("texts.csv", side): [fine] * 3 for side in [*params.arms, *Baseline]
    }
    values["texts.csv", Arm(Family.METRIC, "balanced")] = [
        fine, fine, recognition.joined(Found({}, {}, [], [], "it collapsed"), fine)
    ]  # fmt: skip
    arguments = recognition.parser().parse_args(["--seeds", "0", "1", "2"])
    monkeypatch.setattr(recognition, "_over_classes", lambda *_: [])  # it reads the corpus
    page = recognition.page([corpus], values, params, arguments)
    assert "- texts.csv, metric learning, balanced: it collapsed" in page


def test_mistakes_are_one_sentence(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--seeds is \[1, 1\]"):
        run(inputs, tmp_path, "--seeds", "1", "1")
    with pytest.raises(UserError, match="--epochs is 0"):
        run(inputs, tmp_path, "--epochs", "0")
    with pytest.raises(UserError, match="two corpora of one name"):
        run(inputs, tmp_path, "--corpora", *[str(inputs / "texts.csv")] * 2)
    params = recognition.read(inputs / "params.yaml")
    word = f"{{path: {inputs}/texts.csv, out_of_scope: {inputs}/params.yaml}}"
    with pytest.raises(UserError, match="correct out_of_scope"):
        recognition.read_corpus(word, params, tmp_path)
    assert not (tmp_path / "recognition.md").exists()


def test_texts_out_of_scope_are_kept_under_a_hash(inputs: Path, tmp_path: Path) -> None:
    path = recognition._stored_texts(inputs / "foreign.csv", tmp_path / "foreign")
    assert read_json(path)[-1] == "quite unknown"
    assert recognition._stored_texts(inputs / "foreign.csv", tmp_path / "foreign") == path

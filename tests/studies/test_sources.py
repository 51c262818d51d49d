"""Which source models transfer: the bank, the dial of cohesion, and the starts."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm, spearmanr

from studies import answers, options, sources, sources_jobs, sources_page
from studies.inputs import store
from studies.pulled import Pull, Pulled
from studies.sources_jobs import Source, _scramble, relabelled, run_sources
from studies.spread import spectral_decay, uniformity
from tests.tiny import WORDS
from textmetric.encoders import build_encoder
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import build
from textmetric.params import Finetune, Model, Train
from textmetric.text import TokenizedCorpus, tokenize_corpus

ROOT = Path(__file__).parents[2]


def texts(seed: int, rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            {"text": " ".join([*rng.choice(words, size=4), f"n{seed}t{row}"]), "label": label}
            for label, words in WORDS.items()
            for row in range(rows)
        ]
    )


@pytest.fixture
def corpus() -> TokenizedCorpus:
    frame = texts(0)
    frame["split"] = np.resize(
        ["train", "train", "train", "validation", "test", "test"], len(frame)
    )
    return tokenize_corpus(frame, min_freq=1, max_size=None, progress=False)


# ---------------------------------------------------------------- the dial's objective


@pytest.mark.parametrize("pull", ["class", "all"])
def test_the_pull_is_the_mean_over_its_pairs(pull: Pull) -> None:
    rng = np.random.default_rng(0)
    rows = torch.tensor(rng.normal(size=(7, 3)), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 0])
    inner = build(Family.METRIC, {"name": "n_pair"}, dim=3, classes=3)
    distances = []
    for i, j in itertools.permutations(range(7), 2):
        if pull == "all" or labels[i] == labels[j]:
            a, b = rows.detach().numpy()[[i, j]]
            distances.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    expected = inner(rows, labels).item() + 0.7 * np.mean(distances)
    objective = Pulled(inner, 0.7, pull)
    assert objective(rows, labels).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: objective(x, labels), (rows,))


def test_a_batch_without_a_pair_has_the_loss_alone() -> None:
    rows, labels = torch.eye(3), torch.tensor([0, 1, 2])
    inner = build(Family.METRIC, {"name": "triplet"}, dim=3, classes=3)
    assert float(Pulled(inner, 5.0, "class")(rows, labels)) == float(inner(rows, labels)) == 0
    assert float(Pulled(inner, 5.0, "all")(rows, labels)) == pytest.approx(5)


# ---------------------------------------------------------------- measures of a space


def test_uniformity_is_that_of_all_pairs() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 4))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [math.exp(-2 * ((a - b) ** 2).sum()) for a, b in itertools.combinations(unit, 2)]
    assert uniformity(rows) == pytest.approx(math.log(np.mean(pairs)))
    assert uniformity(np.array([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(-8)


def test_spectral_decay_is_a_divergence_from_equal_values() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 4))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = np.sqrt(np.linalg.eigvalsh(unit.T @ unit))
    shares = values / values.sum()
    expected = sum(0.25 * math.log(0.25 / share) for share in shares)
    assert spectral_decay(rows) == pytest.approx(expected)
    line = np.outer(np.arange(1.0, 10), [1.0, 0.0, 0.0, 0.0])
    assert spectral_decay(line) > 10


# ---------------------------------------------------------------- other labels


def test_shuffled_labels_are_as_many_and_say_nothing(corpus: TokenizedCorpus) -> None:
    found = relabelled(corpus, "shuffled", 4, seed=0)
    before, after = corpus.train.labels, found.train.labels
    assert np.bincount(before).tolist() == np.bincount(after).tolist()
    assert (before == after).mean() < 0.6
    assert found.test is corpus.test
    assert found.validation is corpus.validation


def test_clusters_are_found_without_the_labels(corpus: TokenizedCorpus) -> None:
    found = relabelled(corpus, "clusters", 4, seed=0).train.labels
    shuffled = relabelled(corpus, "shuffled", 4, seed=0)
    assert relabelled(shuffled, "clusters", 4, seed=0).train.labels.tolist() == found.tolist()
    # the words of a class are its own, so the clusters are the classes by other names
    names = {(int(a), int(b)) for a, b in zip(corpus.train.labels, found, strict=True)}
    assert len(names) == len(set(found.tolist())) == len(corpus.label_names)


# ---------------------------------------------------------------- the choice of the dial


def test_both_ends_of_a_dial_retrieve_alike() -> None:
    cohesion = np.array([0.1, 0.2, 0.5, 0.7, 0.9])
    assert sources.widest(cohesion, np.array([0.30, 0.404, 0.45, 0.40, 0.41])) == (1, 3)
    assert sources.widest(cohesion, np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == (0, 0)
    assert sources.widest(cohesion, np.array([0.4, 0.4, 0.3, 0.4, 0.404])) == (0, 4)
    assert sources.widest(cohesion, np.array([math.nan, 0.4, 0.3, 0.4, math.nan])) == (1, 3)
    assert sources.widest(cohesion[::-1], np.full(5, 0.4)) == (0, 0)


def test_the_dial_is_the_one_that_moves_most_on_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "DIALLED", sources.DIALLED[:2])
    rows = []
    for pull, place, weight, seed in itertools.product(("class", "all"), (0, 1), range(7), (0, 1)):
        steep = {("class", 0): 0.02, ("class", 1): 0.1, ("all", 0): 0.05, ("all", 1): 0.01}
        rows.append(
            {"pull": pull, "place": place, "weight": float(weight), "seed": seed}
            | {"validation_cohesion": weight * steep[pull, place] + 0.01 * seed}
            # whole stretches for the means of the seeds, none for one seed alone
            | {"validation_map_at_r": 0.5 + (0.05 if (seed + weight) % 2 else -0.05)}
        )
    one, other = sources.choose_dial(pd.DataFrame(rows))
    assert (one.place, one.pull) == (1, "class")
    assert (other.place, other.pull) == (0, "all")
    assert one.weights == [0.0, 2.0, 3.0, 4.0, 6.0]
    assert one.moves == pytest.approx(0.6)


def test_without_a_stretch_there_is_no_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DIALLED", sources.DIALLED[:1])
    rows = [
        {"pull": pull, "place": 0, "weight": float(weight), "seed": 0}
        | {"validation_cohesion": float(weight), "validation_map_at_r": weight / 10}
        for pull in ("class", "all")
        for weight in range(3)
    ]
    assert sources.choose_dial(pd.DataFrame(rows)) == []


# ---------------------------------------------------------------- correlations


def bank(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            {"pair": pair, "objective": objective, "seed": seed}
            | {name: rng.normal() for name in [*sources_page.MEASURES, "frozen_1"]}
            for pair in ("a", "b")
            for objective in ("one", "two", "three", "four")
            for seed in range(6)
        ]
    )


def test_correlations_are_spearmans_and_draw_whole_objectives() -> None:
    rows = bank()
    rows["gap"] = rows["gap"].mask(rows.index == 3)  # a training that failed
    rows["cohesion"] = rows["cohesion"].round(1)  # ties
    found = sources_page.correlations(rows, ["frozen_1"]).set_index(["pair", "measure"])
    kept = rows.dropna()
    by_pair = {
        pair: spearmanr(cell["cohesion"], cell["frozen_1"]).statistic
        for pair, cell in kept.groupby("pair")
    }
    for pair, expected in by_pair.items():
        assert found.loc[(str(pair), "cohesion"), "mean"] == pytest.approx(expected)
    overall = found.loc[[("", "cohesion")]]
    mean, high = float(overall["mean"].iloc[0]), float(overall["high"].iloc[0])
    assert mean == pytest.approx(np.mean(list(by_pair.values())))
    rng = np.random.default_rng(1)
    names, means = sorted(set(kept["objective"])), []
    for _ in range(200):
        drawn = rng.choice(names, size=4)
        means.append(
            np.mean(
                [
                    spearmanr(*of.loc[:, ["cohesion", "frozen_1"]].to_numpy().T).statistic
                    for pair in ("a", "b")
                    for of in [
                        pd.concat(
                            [
                                kept[(kept["pair"] == pair) & (kept["objective"] == name)]
                                for name in drawn
                            ]
                        )
                    ]
                ]
            )
        )
    half = norm.ppf(1 - 0.025 / len(sources_page.MEASURES)) * np.std(means)
    assert high - mean == pytest.approx(half, rel=0.2)


def test_two_objectives_have_no_interval() -> None:
    rows = bank()
    found = sources_page.correlations(rows[rows["objective"].isin(["one", "two"])], ["frozen_1"])
    assert found["low"].isna().all()
    assert found["mean"].notna().all()
    with pytest.raises(UserError, match="every training of the bank"):
        sources_page.correlations(rows.assign(gap=math.nan), ["frozen_1"])


# ---------------------------------------------------------------- jobs


@pytest.fixture
def source(corpus: TokenizedCorpus, tmp_path: Path) -> Source:
    other = texts(1)
    other["split"] = np.resize(["train", "train", "validation", "test"], len(other))
    target = tokenize_corpus(other, min_freq=1, max_size=None, progress=False)
    return Source(
        corpus=store(corpus, tmp_path / "corpora"),
        target=store(target, tmp_path / "corpora"),
        family=Family.CLASSIFICATION,
        objective={"name": "cross_entropy"},
        sampler="balanced",
        model=Model(dim=8),
        settings=Train(epochs=3, batch_size=16),
        transfer=Finetune(epochs=2, tanh=[False], shares=[0.5, 1.0]),
        seed=0,
    )


def run(tmp_path: Path, *jobs: Source) -> list[dict[str, float]]:
    return run_sources(jobs, tmp_path / "results", label="", progress=False)


def test_vectors_that_are_dealt_to_other_tokens_know_nothing(
    source: Source, tmp_path: Path
) -> None:
    jobs = [source, replace(source, scrambled=True), replace(source, corpus=None)]
    whole, dealt, random = run(tmp_path, *jobs)
    assert whole["map_at_r"] == dealt["map_at_r"]  # measured before
    assert whole["frozen_1"] > dealt["frozen_1"] + 0.1
    assert "map_at_r" not in random
    assert {f"{tuning}_{share}" for tuning in ("frozen", "finetuned") for share in (0.5, 1)} <= set(
        random
    )
    again = run(tmp_path, replace(source, corpus=None, objective={"name": "norm_softmax"}))
    assert again == [random]  # without a source its objective does not count


def test_dealt_vectors_are_the_same_ones() -> None:
    encoder = build_encoder(Model(dim=3), 20, None)
    before = encoder.weight.detach().clone()
    _scramble(encoder, seed=0)
    after = encoder.weight.detach()
    assert not torch.equal(before, after)
    assert sorted(before.tolist()) == sorted(after.tolist())


def test_each_start_is_trained_on_its_own_labels(source: Source, corpus: TokenizedCorpus) -> None:
    pair = sources.Pair("", (corpus, corpus), source, Path("clusters"), Path("shuffled"))
    found = {
        row["start"]: (job.corpus, job.scrambled)
        for row, job in sources._starts(pair, [4])
        if row["objective"] == "triplet"
    }
    assert list(found) == list(sources_page.STARTS)
    assert found == {
        "classes": (source.corpus, False),
        "clusters": (Path("clusters"), False),
        "shuffled": (Path("shuffled"), False),
        "dealt": (source.corpus, True),
        "random": (None, False),
    }


def test_a_pull_makes_classes_more_cohesive(source: Source, tmp_path: Path) -> None:
    jobs = [
        replace(source, target=None, pull="class", weight=weight) for weight in (-0.3, 0.0, 3.0)
    ]
    found = run(tmp_path, *jobs, replace(source, target=None))
    cohesions = [each["cohesion"] for each in found]
    assert cohesions[0] < cohesions[1] < cohesions[2]
    assert cohesions[1] == pytest.approx(cohesions[3], abs=1e-3)
    assert not any(name.startswith("frozen") for name in found[0])


def test_a_training_that_fails_has_no_measure(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UserError("the embeddings collapsed")

    monkeypatch.setattr(sources_jobs, "fit", fail)
    assert run(tmp_path, source) == [{}]


# ---------------------------------------------------------------- the program


@pytest.fixture
def pair(tmp_path: Path) -> str:
    for name, seed in (("source", 0), ("target", 1)):
        texts(seed).to_csv(tmp_path / f"{name}.csv", index=False)
    return f"{{source: {tmp_path / 'source.csv'}, target: {tmp_path / 'target.csv'}}}"


def program(pair: str, folder: Path, *more: str) -> str:
    words = ["--pairs", pair, "--epochs", "2", "--seeds", "0", "1", "2", "--rates", "0.1"]
    words += ["--objectives", "cross_entropy", "triplet", "sup_con", "--bank-seeds", "2"]
    words += ["--params", str(ROOT / "params.yaml"), "--results", str(folder / "results")]
    words += ["--out", str(folder), *more]
    sources.main(sources.parser().parse_args(words))
    return (folder / "sources.md").read_text()


def test_the_page_answers_the_questions(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "WEIGHTS", (0.0, 1.0, 3.0))
    monkeypatch.setattr(sources, "DIALLED", sources.DIALLED[:1])
    text = program(pair, tmp_path)
    assert "6 models: 3 objectives × learning rates 0.1 × 2 seeds, on 1 pairs." in text
    assert "source.csv → target.csv" in text
    questions = [answer["question"] for answer in answers.read([tmp_path / "sources.md"])]
    assert [question[-5:] for question in questions] == ["(9-1)", "(9-2)", "fers?"]
    for name in ("sources", "sources-dial", "sources-starts"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    trained = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.json")}
    assert program(pair, tmp_path) == text
    assert trained == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.json")
    }


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--pairs", "docstrings"], "--pairs docstrings is no pair"),
        (["--pairs", "{source: a.csv, goal: b.csv}"], "the keys source and target"),
        (["--seeds", "1001", "1"], "which choose the dial"),
        (["--bank-seeds", "0"], "--bank-seeds is 0"),
        (["--rates", "0"], "--rates is [0.0]"),
    ],
)
def test_wrong_options_are_one_sentence(
    more: list[str], message: str, pair: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        program(pair, tmp_path, *more)
    assert message in str(raised.value)


def test_a_source_needs_classes_with_two_texts(tmp_path: Path) -> None:
    frame = texts(0, rows=8)
    frame["label"] += frame.groupby("label").cumcount().floordiv(4).astype(str)
    frame.to_csv(tmp_path / "small.csv", index=False)
    texts(1).to_csv(tmp_path / "target.csv", index=False)
    spec = f"{{source: {tmp_path / 'small.csv'}, target: {tmp_path / 'target.csv'}}}"
    with pytest.raises(UserError, match=r"part of small\.csv has no class with two texts"):
        program(spec, tmp_path)


KEYS = ("frozen_0.1", "frozen_1", "finetuned_0.1", "finetuned_1")


def seeded(values: dict[str, float], seeds: int = 5, **about: Any) -> list[dict[str, Any]]:
    return [
        about | {"seed": seed} | {key: value + 0.001 * seed**2 for key, value in values.items()}
        for seed in range(seeds)
    ]


def made() -> tuple[sources_page.Found, sources_page.About]:
    """Clusters are better than random vectors when frozen, worse than the classes when not."""
    params = options.read_params(
        sources.parser().parse_args(["--params", str(ROOT / "params.yaml")])
    )
    params = params.model_copy(update={"finetune": Finetune(shares=[0.1, 1.0])})
    worth = {
        "classes": (0.5, 0.9),
        "clusters": (0.5, 0.7),
        "shuffled": (0.2, 0.7),
        "dealt": (0.2, 0.7),
        "random": (0.2, 0.7),
    }
    rng = np.random.default_rng(0)
    starts = [
        row | {key: row[key] + 0.001 * rng.normal() for key in KEYS}
        for start, (frozen, tuned) in worth.items()
        for row in seeded(
            {"frozen_0.1": 0.2, "frozen_1": frozen, "finetuned_0.1": 0.7, "finetuned_1": tuned},
            pair="a",
            objective="triplet",
            start=start,
        )
    ]
    dialled = [
        row | {key: row[key] + 0.001 * rng.normal() for key in KEYS}
        for pull, change in (("class", -0.2), ("all", 0.0))
        for step, weight in enumerate((0.0, 1.0, 3.0))
        for row in seeded(
            {"cohesion": 0.3 + 0.2 * step, "map_at_r": 0.4}
            | {"frozen_0.1": 0.5, "frozen_1": 0.5 + change * step}
            | {"finetuned_0.1": 0.5, "finetuned_1": 0.5},
            pair="a",
            pull=pull,
            objective="sup_con",
            step=step,
            weight=weight,
            last=step == 2,
        )
    ]
    found = sources_page.Found(
        bank().assign(**dict.fromkeys(KEYS, 0.5), family="metric", lr=0.1),
        pd.DataFrame(dialled),
        pd.DataFrame(starts),
    )
    about = sources_page.About(
        pairs=[], params=params, tanh=False, seeds=range(5), of_bank=[0], rates=[0.1], settings=4
    )
    return found, about


def test_starts_and_dials_are_judged_by_their_direction(tmp_path: Path) -> None:
    text = sources_page.page(*made())
    (tmp_path / "page.md").write_text(text)
    said = {each["question"][-5:]: each["found"] for each in answers.read([tmp_path / "page.md"])}
    assert said["(9-1)"] == (
        "Against random vectors: frozen, better in 1 of 2, worse in 0; fine-tuned, better in 0 of "
        "2, worse in 0. Against a source that classified its classes: frozen, better in 0 of 2, "
        "worse in 0; fine-tuned, better in 0 of 2, worse in 1"
    )
    assert said["(9-2)"] == (
        "With cohesion up by +0.40 and MAP@R changed by +0.00: frozen, better in 0 of 2, worse in "
        "1; fine-tuned, better in 0 of 2, worse in 0"
    )
    assert "all texts together: frozen, better in 0 of 2, worse in 0; fine-tuned" in text
    assert "| a | the texts of a class | sup\\_con | 0 to 3 | 0.306 | 0.706 | " in text

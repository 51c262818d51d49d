"""Every objective is tuned alike: the searches, what they may choose, and the page."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from pydantic import ValidationError

from studies import tuned, tuned_jobs, tuned_page
from studies.inputs import store
from studies.tuned_candidates import (
    LEARNING_RATE,
    SCALARS,
    Budget,
    Candidate,
    Embed,
    OfEnsemble,
    OfMahalanobis,
    OfObjective,
    Range,
    Setting,
    Space,
    all_candidates,
    texts_of,
)
from studies.tuned_jobs import Measurement, Search
from textmetric.embedder import TextEmbedder
from textmetric.ensemble import TextEnsemble
from textmetric.errors import UserError
from textmetric.grid import SAMPLERS, Family
from textmetric.losses import OBJECTIVES, build, class_of, describe
from textmetric.mahalanobis import Mahalanobis
from textmetric.params import Model, Train
from textmetric.text import TokenizedCorpus, tokenize_corpus
from textmetric.training.loop import train

ROOT = Path(__file__).parents[2]
OBJECTIVE = {name: family for family in Family for name in OBJECTIVES[family]}
BUDGET = Budget(Model(dim=8), Train(epochs=2, batch_size=16))


def frame(rows: int = 90, seed: int = 0) -> pd.DataFrame:
    """Three labels with a word of their own each, and some that they share."""
    rng = np.random.default_rng(seed)
    own = ("oak", "iron", "cloud")
    return pd.DataFrame(
        {
            "text": f"it's {own[row % 3]}, {' '.join(rng.choice(list('abcdefgh'), 3))} ({row})!",
            "label": own[row % 3],
        }
        for row in range(rows)
    )


@pytest.fixture(scope="module")
def corpus() -> TokenizedCorpus:
    made = frame(180)
    made["split"] = np.repeat(["train", "validation", "test"], 60)
    return tokenize_corpus(made, progress=False)


@pytest.fixture
def folder(corpus: TokenizedCorpus, tmp_path: Path) -> Path:
    return store(corpus, tmp_path / "corpora")


@pytest.mark.parametrize("name", OBJECTIVE)
def test_each_objective_has_an_entry_that_its_schema_allows(name: str) -> None:
    schema = class_of(name).Params
    fields = schema.model_fields
    assert bool(SCALARS[name]) == bool(fields), "one without parameters has its learning rate alone"
    for key, of in SCALARS[name].items():
        assert key not in ("lr", "sampler", "miner")
        assert of.whole == (fields[key].annotation is int)
        for end in (of.low, of.high):
            schema.model_validate({key: end})
        assert of.low <= fields[key].get_default() <= of.high
        with pytest.raises(ValidationError):
            schema.model_validate({key: "many"})
    assert set(SCALARS) == set(OBJECTIVE)


@pytest.mark.parametrize("name", OBJECTIVE)
def test_the_untuned_setting_is_the_default_of_the_objective(name: str) -> None:
    candidate = OfObjective(name, OBJECTIVE[name])
    space, default = candidate.space(3), candidate.default("balanced", 0.1)
    assert set(space) == set(default)
    own = {key: value for key, value in default.items() if key not in ("lr", "sampler")}
    assert describe(candidate.family, {"name": name, **own}) == describe(
        candidate.family, {"name": name}
    )
    assert space["lr"] == LEARNING_RATE
    assert LEARNING_RATE.low <= 0.1 <= LEARNING_RATE.high
    if "miner" in class_of(name).Params.model_fields:
        assert set(space["miner"]) == {"all", "random", "easy", "semi_hard", "hard"}
    labels = np.repeat(np.arange(3, dtype=np.int32), 20)
    batches = build(candidate.family, {"name": name}, dim=4, classes=3).batches(labels, 16, 0)
    assert ("sampler" in space) == (batches is None)
    if "sampler" in space:
        assert space["sampler"] == SAMPLERS


def test_an_objective_is_trained_with_its_setting(corpus: TokenizedCorpus) -> None:
    setting = {"lr": 0.5, "margin": 0.7, "miner": "hard", "sampler": "shuffled"}
    embed = OfObjective("triplet", Family.METRIC).learn(corpus, setting, BUDGET, 3)
    expected = train(
        corpus,
        family=Family.METRIC,
        objective={"name": "triplet", "margin": 0.7, "miner": "hard"},
        sampler="shuffled",
        model=BUDGET.model,
        settings=BUDGET.settings.model_copy(update={"lr": 0.5}),
        seed=3,
        device=__import__("torch").device("cpu"),
    )
    tokens = corpus.test.tokens
    assert (embed(tokens) == expected.model.encoder.embed(tokens)).all()


def test_joined_tokens_are_cut_into_the_same_tokens(corpus: TokenizedCorpus) -> None:
    words = corpus.vocabulary.tokens
    again = corpus.vocabulary.encode(texts_of(corpus.train.tokens, words))
    whole = corpus.train.tokens.whole()
    assert (again.whole().ids == whole.ids).all()
    assert (again.whole().offsets == whole.offsets).all()
    assert {"'", ",", "(", "!"} <= set(words)


def test_the_ensemble_is_as_wide_as_the_others(corpus: TokenizedCorpus) -> None:
    setting = {"lr": 0.3, "members": 4, "meta_classes": 3, "sampler": "shuffled"}
    embed = OfEnsemble().learn(corpus, setting, BUDGET, 1)
    rows = embed(corpus.test.tokens)
    assert rows.shape == (60, BUDGET.model.dim)
    words = corpus.vocabulary.tokens
    member = TextEmbedder(
        "cross_entropy", sampler="shuffled", dim=2, start="uniform", tokenizer="basic_english",
        epochs=2, batch_size=16, lr=0.3, pretrain=None, calibrate=False,
    )  # fmt: skip
    expected = TextEnsemble(member, members=4, meta_classes=3, calibrate=False, seed=1)
    expected.fit(texts_of(corpus.train.tokens, words), corpus.train.labels)
    assert (rows == expected.transform(texts_of(corpus.test.tokens, words))).all()
    space, default = OfEnsemble().space(3), OfEnsemble().default("balanced", 0.1)
    assert space["meta_classes"] == Range(2, 3, log=True, whole=True)
    assert set(space) == set(default)


def test_mahalanobis_learns_on_the_unit_embeddings_of_cross_entropy(
    corpus: TokenizedCorpus,
) -> None:
    candidate = OfMahalanobis()
    setting = {"lr": 0.3, "sampler": "balanced", "diagonal": True, "ridge": 0.1, "pairs": 500}
    value = tuned_jobs.measured(candidate, corpus, "test", setting, BUDGET, 1)
    below = OfObjective("cross_entropy", Family.CLASSIFICATION)
    embed = below.learn(corpus, {"lr": 0.3, "sampler": "balanced"}, BUDGET, 1)
    first, rows = embed(corpus.train.tokens), embed(corpus.test.tokens)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    learnt = Mahalanobis(diagonal=True, ridge=0.1, pairs=500, random_state=1)
    mapped = learnt.fit(first, corpus.train.labels).transform(rows)
    assert value == pytest.approx(plain_map_at_r(mapped, corpus.test.labels))
    assert set(candidate.space(3)) == set(candidate.default("balanced", 0.1))


def plain_map_at_r(rows: np.ndarray, labels: np.ndarray) -> float:
    """MAP@R by Euclidean distances, by its definition."""
    found = []
    for query in range(len(rows)):
        others = [i for i in range(len(rows)) if i != query]
        others.sort(key=lambda i: np.linalg.norm(rows[query] - rows[i]))
        right = [labels[i] == labels[query] for i in others]
        size = sum(right)
        found.append(sum(sum(right[: k + 1]) / (k + 1) for k in range(size) if right[k]) / size)
    return float(np.mean(found))


@dataclass(frozen=True)
class Fake:
    """A candidate whose embedding is as good as its dial says, the other way round on test."""

    title: str = "fake"
    family: Family = Family.METRIC
    module: str = "textmetric.mahalanobis"
    distance: Any = "cosine"
    fails: Callable[[Setting], bool] = lambda setting: False

    def space(self, classes: int) -> Space:
        return {"lr": LEARNING_RATE, "dial": Range(0, 1), "way": ("up", "down")}

    def default(self, sampler: str, lr: float) -> Setting:
        return {"lr": lr, "dial": 0.5, "way": "down"}

    def learn(self, corpus: TokenizedCorpus, setting: Setting, budget: Budget, seed: int) -> Embed:
        if self.fails(setting):
            raise UserError("training diverged")
        noise = np.random.default_rng(0).normal(size=(60, 3))

        def embed(tokens: Any) -> Any:
            good = setting["dial"] - 0.3 * (setting["way"] == "down")
            if tokens is not corpus.validation.tokens:
                good = 1 - good
            one = np.eye(3)[corpus.validation.labels]
            return (good * one + (1 - good) * noise).astype(np.float32)

        return embed


def searched(folder: Path, results: Path, candidate: Candidate, trials: int = 14) -> Any:
    search = Search(folder, 3, candidate, "balanced", BUDGET, trials, 100)
    return tuned_jobs.run_searches([search], results, progress=False)[0]


def test_validation_chooses_and_test_does_not(folder: Path, tmp_path: Path) -> None:
    found = searched(folder, tmp_path / "one", Fake())
    values = [each["value"] for each in found.tried]
    assert found.tried[0]["setting"] == {"lr": BUDGET.settings.lr, "dial": 0.5, "way": "down"}
    assert found.value == max(values) > values[0]
    assert found.setting == found.tried[int(np.argmax(values))]["setting"]
    # the better on validation, the worse on test
    assert found.setting["way"] == "up"
    assert found.setting["dial"] > 0.6
    assert len({each["setting"]["dial"] for each in found.tried}) == 14
    seen: list[str] = []
    learn = Fake.learn

    @dataclass(frozen=True)
    class Watched(Fake):
        def learn(self, corpus: Any, *given: Any) -> Embed:
            empty = corpus.test.take(np.array([], np.int64))
            seen.append("")
            return learn(self, replace(corpus, test=empty), *given)

    blind = searched(folder, tmp_path / "two", Watched())
    assert (blind.setting, len(seen)) == (found.setting, 14)


def test_later_trials_are_near_the_best_ones(folder: Path, tmp_path: Path) -> None:
    values = [each["value"] for each in searched(folder, tmp_path, Fake(), 30).tried]
    assert np.mean(values[15:]) > np.mean(values[:10]) + 0.1


def test_the_untuned_setting_is_kept_if_nothing_is_better(folder: Path, tmp_path: Path) -> None:
    class Flat(Fake):
        def learn(self, corpus: Any, *given: Any) -> Embed:
            return lambda tokens: np.eye(3, dtype=np.float32)[corpus.validation.labels]

    found = searched(folder, tmp_path, Flat(), 5)
    assert found.setting == Fake().default("balanced", BUDGET.settings.lr)


@pytest.mark.parametrize("after", [0, 1, 12])
def test_a_search_that_was_killed_ends_as_if_it_had_not_been(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = searched(folder, tmp_path / "whole", Fake())
    assert len(whole.tried) == 14
    measured, calls = tuned_jobs.measured, 0

    def killed(*given: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in (after + 1, after + 2):  # killed, and killed again
            raise KeyboardInterrupt
        return measured(*given)

    monkeypatch.setattr(tuned_jobs, "measured", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            searched(folder, tmp_path / "killed", Fake())
    assert searched(folder, tmp_path / "killed", Fake()) == whole
    assert calls == 14 + 2
    # and a third time nothing is trained
    assert searched(folder, tmp_path / "killed", Fake()) == whole
    assert calls == 14 + 2


def test_a_search_that_was_killed_before_its_first_trial_tries_the_untuned_setting_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched(folder, tmp_path / "whole", Fake(), 3)

    def killed(study: optuna.Study) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "ask", killed)
        with pytest.raises(KeyboardInterrupt):
            searched(folder, tmp_path / "killed", Fake(), 3)
    assert searched(folder, tmp_path / "killed", Fake(), 3) == whole


def test_a_training_that_fails_is_a_failed_trial(folder: Path, tmp_path: Path) -> None:
    found = searched(folder, tmp_path / "some", Fake(fails=lambda setting: setting["dial"] > 0.6))
    failed = [each for each in found.tried if each["value"] is None]
    assert 0 < len(failed) < 14
    assert {each["error"] for each in failed} == {"training diverged"}
    assert all(each["setting"]["dial"] > 0.6 for each in failed)
    assert found.setting["dial"] <= 0.6
    none = searched(folder, tmp_path / "none", Fake(fails=lambda setting: True), 3)
    assert none.setting is None
    assert math.isnan(none.value)
    assert len(none.tried) == 3


def test_a_chosen_setting_is_measured_on_the_test_part(folder: Path, tmp_path: Path) -> None:
    good, bad = (Fake().default("balanced", 0.1) | {"dial": dial} for dial in (0.9, 0.0))
    jobs = [
        Measurement(folder, Fake(), good, BUDGET, 0),
        Measurement(folder, Fake(), bad, BUDGET, 0),  # on test, it is the better one
        Measurement(folder, Fake(fails=lambda setting: True), good, BUDGET, 1),
    ]
    # one by one, since a process would have to import the fake
    found = [tuned_jobs.run_tested([job], tmp_path, progress=False)[0] for job in jobs]
    corpus = TokenizedCorpus.load(folder)
    for (value, error), setting in zip(found, (good, bad), strict=False):
        rows = Fake().learn(corpus, setting, BUDGET, 0)(corpus.test.tokens)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        assert value == pytest.approx(plain_map_at_r(rows, corpus.test.labels), abs=1e-6)
        assert error is None
    assert found[1][0] > found[0][0]
    assert (math.isnan(found[2][0]), found[2][1]) == (True, "training diverged")


def test_a_seed_is_that_of_the_training(folder: Path, tmp_path: Path) -> None:
    candidate = OfObjective("cross_entropy", Family.CLASSIFICATION)
    setting = candidate.default("balanced", 0.5)
    jobs = [Measurement(folder, candidate, setting, BUDGET, seed) for seed in (0, 1)]
    values = [value for value, _ in tuned_jobs.run_tested(jobs, tmp_path, progress=False)]
    corpus = TokenizedCorpus.load(folder)
    for seed, value in enumerate(values):
        assert value == tuned_jobs.measured(candidate, corpus, "test", setting, BUDGET, seed)
    assert values[0] != values[1]
    found = searched(folder, tmp_path, candidate, 1)
    default = candidate.default("balanced", BUDGET.settings.lr)
    assert found.value == tuned_jobs.measured(candidate, corpus, "validation", default, BUDGET, 100)


def test_searches_with_other_settings_have_other_results(folder: Path) -> None:
    search = Search(folder, 3, Fake(), "balanced", BUDGET, 5, 100)
    train_ = BUDGET.settings.model_copy(update={"lr": 0.2})
    others = [
        replace(search, trials=6),
        replace(search, seed=101),
        replace(search, corpus=folder.parent / "other"),
        replace(search, budget=Budget(BUDGET.model, train_)),
        replace(search, budget=Budget(BUDGET.model, Train(epochs=3, batch_size=16))),
        replace(search, budget=Budget(Model(dim=4), BUDGET.settings)),
        replace(search, candidate=OfMahalanobis()),
        replace(search, candidate=OfEnsemble()),
        replace(search, candidate=OfEnsemble(), classes=4),
        replace(search, candidate=OfEnsemble(), sampler="shuffled"),
    ]
    keys = [each.key() for each in (search, *others)]
    assert len(set(keys)) == len(keys)
    test = Measurement(folder, Fake(), {"lr": 0.1}, BUDGET, 0)
    keys = [
        each.key() for each in (test, replace(test, setting={"lr": 0.2}), replace(test, seed=1))
    ]
    assert len(set(keys)) == 3


def test_damaged_results_are_named(folder: Path, tmp_path: Path) -> None:
    search = Search(folder, 3, Fake(), "balanced", BUDGET, 2, 100)
    file = tmp_path / f"{search.key()}.json"
    file.write_text("{}")
    with pytest.raises(UserError, match="is not the result of a search: delete it"):
        tuned_jobs.run_searches([search], tmp_path, progress=False)
    file.unlink()
    file.with_suffix(".journal").write_text("what\nis\n")
    with pytest.raises(UserError, match="is not a journal of Optuna: delete it"):
        tuned_jobs.run_searches([search], tmp_path, progress=False)
    test = Measurement(folder, Fake(), {"lr": 0.1}, BUDGET, 0)
    (tmp_path / f"{test.key()}.json").write_text("[]")
    with pytest.raises(UserError, match="is not the result of a training: delete it"):
        tuned_jobs.run_tested([test], tmp_path, progress=False)


def test_without_optuna_one_sentence_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"a search for settings needs the package optuna.*tuning"):
        searched(folder, tmp_path, Fake())


def test_a_validation_part_that_has_no_pair_is_refused(
    corpus: TokenizedCorpus, tmp_path: Path
) -> None:
    alone = replace(corpus, validation=corpus.validation.take(np.array([0, 1, 2])))
    with pytest.raises(UserError, match="no validation text has another of its label"):
        searched(
            store(alone, tmp_path / "corpora"),
            tmp_path,
            OfObjective("cross_entropy", Family.CLASSIFICATION),
            1,
        )


def test_how_far_mean_map_at_r_moves() -> None:
    rng = np.random.default_rng(0)
    names = list("abcd")
    before, after = (pd.DataFrame(rng.random((3, 4)), columns=names) for _ in range(2))
    found = tuned_page.moves(after, before)
    for seed in range(3):
        gains = [after[name][seed] - before[name][seed] for name in names]
        assert found.tuning[seed] == pytest.approx(math.sqrt(np.mean(np.square(gains))))
        for values, of in ((found.untuned, before), (found.tuned, after)):
            pairs = [of[a][seed] - of[b][seed] for a in names for b in names if a < b]
            assert values[seed] == pytest.approx(math.sqrt(np.mean(np.square(pairs))))


def table_of(values: dict[tuple[str, str, bool], float], seeds: int = 4) -> pd.DataFrame:
    """Rows of a result: the mean of each corpus, candidate and setting, with noise by seed."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"corpus": corpus, "candidate": name, "family": OBJECTIVE[name], "tuned": tuned_}
        | {"seed": seed, "map_at_r": value + 0.002 * rng.normal(), "error": None}
        for (corpus, name, tuned_), value in values.items()
        for seed in range(seeds)
    )


LEVELS = {"cross_entropy": 0.5, "triplet": 0.4, "sup_con": 0.6, "inverse_cloze": 0.1}


def levels(gain: dict[str, float]) -> pd.DataFrame:
    return table_of(
        {
            (corpus, name, tuned_): value + tuned_ * gain[name]
            for corpus in ("one", "two")
            for name, value in LEVELS.items()
            for tuned_ in (False, True)
        }
    )


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (
            dict.fromkeys(LEVELS, 0.02),
            "the objective moves more, compared with untuned and with tuned",
        ),
        (dict.fromkeys(LEVELS, 0.3), "tuning moves more, compared with untuned and with tuned"),
        (
            {"cross_entropy": 0.02, "triplet": 0.12, "sup_con": -0.08, "inverse_cloze": 0.0},
            "compared with untuned objectives the objective moves more, compared with tuned ones "
            "tuning moves more",
        ),
    ],
)
def test_the_verdict_says_what_moves_more(gain: dict[str, float], verdict: str) -> None:
    parts, answer = tuned_page._moves(levels(gain))
    # inverse_cloze, which uses no label, would make the differences much larger
    assert answer.startswith(f"Of 3 objectives that use labels: {verdict}")
    assert "| all objectives (4) |" in parts[1]
    assert ("brings them together" in parts[2]) == (gain["triplet"] == 0.12)


def test_the_gain_of_tuning_is_judged_for_each_candidate() -> None:
    gain = {"cross_entropy": 0.05, "triplet": -0.05, "sup_con": 0.0, "inverse_cloze": 0.2}
    found = tuned_page.gains_of(levels(gain))
    for name, one in found.items():
        assert one.low < gain[name] < one.high
        assert (one.low > 0) == (gain[name] > 0)
        assert (one.high < 0) == (gain[name] < 0)


def test_a_seed_or_a_corpus_that_failed_leaves_no_mean() -> None:
    found = levels(dict.fromkeys(LEVELS, 0.02))
    lost = (found["corpus"] == "one") & (found["candidate"] == "triplet") & found["tuned"]
    found.loc[lost & (found["seed"] == 2), "map_at_r"] = math.nan
    assert tuned_page.means(found, tuned=True).isna().sum().sum() == 1
    assert math.isnan(tuned_page.means(found, tuned=True).loc["one", "triplet"])
    assert math.isnan(tuned_page.by_seed(found, tuned=True).loc[2, "triplet"])
    _, answer = tuned_page._moves(found)
    assert answer.startswith("Of 2 objectives that use labels")


def chosen_of(values: dict[str, float]) -> dict[tuple[str, str], tuned_jobs.Chosen]:
    return {
        (corpus, name): tuned_jobs.Chosen({"lr": 0.1}, value, [])
        for corpus in ("one", "two")
        for name, value in values.items()
    }


def test_the_best_objective_is_the_one_on_validation() -> None:
    found = levels(dict.fromkeys(LEVELS, 0.02))
    parts, said = tuned_page._best(found, chosen_of(dict.fromkeys(LEVELS, 0.1) | {"triplet": 0.2}))
    assert "better in 0 of 2 comparisons on test and worse in 2" in said
    assert "triplet − cross\\_entropy" in parts[1]
    parts, said = tuned_page._best(found, chosen_of(dict.fromkeys(LEVELS, 0.1) | {"sup_con": 0.2}))
    assert "better in 4 of 4 comparisons on test and worse in 0" in said
    _, said = tuned_page._best(found, chosen_of(dict.fromkeys(LEVELS, math.nan)))
    assert said == "It was not compared with cross\\_entropy or triplet."


def test_objectives_above_tfidf_are_counted_by_corpus() -> None:
    found = levels(dict.fromkeys(LEVELS, 0.02))
    beside = pd.DataFrame(
        {"corpus": corpus, "baseline": "TF-IDF", "seed": 0, "map_at_r": value}
        for corpus, value in (("one", 0.45), ("two", 0.6195))
    )
    parts, order, said = tuned_page._corpora(found, beside)
    assert "one 2, two" in said
    assert order.startswith("The best candidate on test is the same on 2 of 2 corpora; Kendall")
    rows = {line.split(" | ")[0].strip("| "): line for line in parts[1].splitlines()}
    untuned, tuned_, clearly = rows["one"].strip("| ").split(" | ")[-3:]
    assert (untuned, tuned_, clearly) == ("2", "2", "2")
    assert rows["two"].strip("| ").split(" | ")[-1] == "0"  # within the noise of the seeds
    assert rows["one"].split(" | ")[1] == "1.000"
    assert f"of {2 * len(LEVELS)} with an interval" in said


def write(path: Path, seed: int) -> Path:
    frame(120, seed)[["text", "label"]].to_csv(path, index=False)
    return path


def program(folder: Path, *options: str) -> str:
    corpora = [str(write(folder / f"{name}.csv", seed)) for seed, name in enumerate("ab")]
    words = ["--corpora", *corpora, "--epochs", "1", "--trials", "2", "--seeds", "0", "1", "2"]
    words += ["--objectives", "triplet", "cross_entropy", "TextEnsemble", "--params"]
    words += [str(ROOT / "params.yaml"), "--results", str(folder / "results")]
    words += ["--out", str(folder / "out"), *options]
    tuned.main(tuned.parser().parse_args(words))
    return (folder / "out" / "tuned.md").read_text()


def test_the_page_has_its_answers_and_a_second_run_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = program(tmp_path)
    assert text.count("<!-- answer ") == 4
    assert "Each of 3 candidates gets 2 trials on each corpus" in text
    assert "3 labels" in text
    assert "two differ if their mean ranks over 2 corpora are at least 2.34 apart" in text
    for name in ("tuned.png", "tuned-gain.png"):
        assert (tmp_path / "out" / name).stat().st_size > 5_000
    results = sorted((tmp_path / "results" / "tuned").glob("*.json"))
    found = [json.loads(file.read_text()) for file in results]
    assert sum("tried" in each for each in found) == 3 * 2
    monkeypatch.setattr(tuned_jobs, "measured", None)
    assert program(tmp_path) == text
    assert sorted((tmp_path / "results" / "tuned").glob("*.json")) == results


def test_a_candidate_that_always_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = tuned_jobs.measured

    def diverged(candidate: Candidate, *given: Any) -> float:
        if candidate.title == "triplet":
            raise UserError("training diverged")
        return measured(candidate, *given)

    monkeypatch.setattr(tuned_jobs, "measured", diverged)
    text = program(tmp_path)
    assert "triplet, a\\.csv" not in text
    assert "- triplet, a.csv, tuned, seed 0: every trial failed, the first one: training" in text
    assert "- triplet, a.csv, untuned, seed 0: training diverged" in text
    assert "| triplet | – | – | – | – | 2 |" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "0"], "--trials is 0, expected at least 1"),
        (["--validation", "1"], "--validation is 1.0, expected a share between 0 and 1"),
        (["--search-seed", "2"], "--search-seed is 2: give a whole number from 0 that is not one"),
        (["--search-seed", "-1"], "--search-seed is -1: give a whole number"),
        (["--objectives", "tripplet"], "unknown --objectives 'tripplet'; did you mean 'triplet'"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        program(tmp_path, *options)


def test_a_corpus_given_twice_is_refused(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.csv", 0))
    with pytest.raises(UserError, match=r"--corpora has .* twice: give each once"):
        program(tmp_path, "--corpora", path, path)


def test_all_objectives_of_the_registry_take_part() -> None:
    titles = [candidate.title for candidate in all_candidates()]
    assert titles == [*OBJECTIVE, "TextEnsemble", "Mahalanobis on cross_entropy"]
    assert [each.title for each in tuned.chosen_candidates(None)] == titles
    assert [each.title for each in tuned.chosen_candidates(["triplet"])] == ["triplet"]

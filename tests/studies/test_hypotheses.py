"""Four hypotheses about deep metric learning: what is trained, measured and said."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t as student

from studies import hypotheses, hypotheses_costs, hypotheses_jobs, hypotheses_page
from studies import hypotheses_steps_page as steps_page
from studies.hypotheses_costs import Cost, Steps, measure_all
from studies.hypotheses_jobs import Dropout, FirstEpoch, Training, alike, measured, train_all
from studies.inputs import load_tokenized, store
from studies.regions import REGIONS, all_triplets, picked, regions
from studies.seed_spread import ratio_of_spreads
from textmetric.errors import UserError
from textmetric.losses import Objective, build, family_of
from textmetric.losses.mining import Miner
from textmetric.params import Params, read
from textmetric.text import TokenizedCorpus
from textmetric.training.loop import first_encoder, fit, one_thread

ROOT = Path(__file__).parents[2]
WORDS = {"plant": "oak fern moss", "metal": "iron zinc lead", "bird": "crow wren gull"}
MARGIN = 0.2


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        {"text": f"{rng.choice(words.split())} {' '.join(rng.choice(list('abcdef'), 4))} {row}"}
        | {"label": label}
        for label, words in WORDS.items()
        for row in range(40)
    ]
    path = tmp_path_factory.mktemp("corpus") / "words.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def params() -> Params:
    found = read(ROOT / "params.yaml")
    update = {"epochs": 2, "batch_size": 16, "device": "cpu"}
    return found.model_copy(update={"train": found.train.model_copy(update=update)})


@pytest.fixture(scope="module")
def corpus(table: Path, params: Params) -> TokenizedCorpus:
    return load_tokenized({"path": str(table)}, params.data, progress=False)[0]


def batch(grid: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances and labels of twelve rows; on a grid many distances are equal."""
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 3, (12, 2)) * 0.2 if grid else rng.normal(size=(12, 2)) * 0.3
    found = torch.from_numpy(rows.astype(np.float32))
    return torch.cdist(found, found), torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3])


def looped(distances: torch.Tensor, labels: torch.Tensor) -> list[tuple[int, float, float, str]]:
    """Every triplet: its anchor, two distances and region, by the definitions."""
    d, made = distances.numpy(), []
    margin = np.float32(MARGIN)
    for a in range(len(d)):
        for p in range(len(d)):
            for n in range(len(d)):
                if p == a or labels[p] != labels[a] or labels[n] == labels[a]:
                    continue
                region = "semi-hard"
                if d[a, n] <= d[a, p]:
                    region = "hard"
                if d[a, n] >= d[a, p] + margin:
                    region = "easy"
                made.append((a, float(d[a, p]), float(d[a, n]), region))
    return made


@pytest.mark.parametrize("grid", [False, True])
def test_each_triplet_has_the_region_of_its_definition(grid: bool) -> None:
    distances, labels = batch(grid)
    expected = looped(distances, labels)
    near, far = all_triplets(distances, labels)
    found = [REGIONS[place] for place in regions(near, far, MARGIN)]
    assert Counter(zip(near.tolist(), far.tolist(), found, strict=True)) == Counter(
        row[1:] for row in expected
    )
    assert set(found) == set(REGIONS)
    # no other row has the label 3, and it is a negative only
    assert {row[0] for row in expected} == set(range(11))


@pytest.mark.parametrize("miner", get_args(Miner))
@pytest.mark.parametrize("grid", [False, True])
def test_the_picked_triplets_are_those_of_the_miner(miner: Miner, grid: bool) -> None:
    distances, labels = batch(grid)
    every = looped(distances, labels)
    found = picked(miner, distances, labels, MARGIN, torch.Generator().manual_seed(0))
    shares = dict(zip(REGIONS, found.shares(MARGIN), strict=True))
    got = Counter(zip(found.positive.tolist(), found.negative.tolist(), strict=True))
    assert sum(shares.values()) == pytest.approx(1)
    if miner == "all":
        counts = Counter(row[3] for row in every)
        assert shares == pytest.approx({name: counts[name] / len(every) for name in REGIONS})
        assert found.total == len(every)
        return
    by_anchor: dict[int, list[tuple[int, float, float, str]]] = {}
    for row in every:
        by_anchor.setdefault(row[0], []).append(row)
    if miner in ("easy", "hard"):
        sign = 1 if miner == "hard" else -1
        best = [
            (
                sign * max(sign * row[1] for row in rows),
                sign * min(sign * row[2] for row in rows),
            )
            for rows in by_anchor.values()
        ]
        assert found.total == len(best) == 11
        margin = np.float32(MARGIN)
        assert got == Counter((p, n) for p, n in best if np.float32(p) + margin > np.float32(n))
        return
    # one for each pair of anchor and positive
    labels_ = labels.tolist()
    pairs = [(a, p) for a in range(12) for p in range(12) if a != p and labels_[a] == labels_[p]]
    assert found.total == len(pairs)
    assert set(got) <= {row[1:3] for row in every if row[3] != "easy"}
    if miner == "semi_hard":
        nearest = []
        for a, p in pairs:
            near = float(distances[a, p])
            farther = [row[2] for row in by_anchor[a] if row[1] == near and row[3] == "semi-hard"]
            if farther:
                nearest.append((near, min(farther)))
        assert shares["semi-hard"] == pytest.approx(len(nearest) / len(pairs))
        assert Counter(nearest) == Counter(pair for pair in got.elements() if pair[1] > pair[0])


def test_a_batch_without_a_triplet_has_no_shares() -> None:
    distances, labels = torch.zeros(3, 3), torch.arange(3)
    found = picked("semi_hard", distances, labels, MARGIN, torch.Generator())
    assert found.total == 0
    assert all(math.isnan(share) for share in found.shares(MARGIN))


def test_the_ratio_of_spreads_is_the_jackknife_of_its_logarithm() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 0.3, (2, 6)), rng.normal(0, 0.1, (3, 6))

    def log_ratio(kept: list[int]) -> float:
        logs = [
            [math.log(float(np.std([series[seed] for seed in kept], ddof=1))) for series in side]
            for side in (first, second)
        ]
        return sum(logs[0]) / 2 - sum(logs[1]) / 3

    whole = log_ratio(list(range(6)))
    pseudo = [
        6 * whole - 5 * log_ratio([other for other in range(6) if other != seed])
        for seed in range(6)
    ]
    half = student.ppf(0.975, 5) * np.std(pseudo, ddof=1) / math.sqrt(6)
    centre = float(np.mean(pseudo))
    expected = [math.exp(centre), math.exp(centre - half), math.exp(centre + half)]
    assert ratio_of_spreads(first, second) == pytest.approx(expected)
    wider = ratio_of_spreads(first, second, level=0.99)
    assert wider[1] < expected[1]


def test_the_interval_of_the_ratio_covers_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        shared = rng.normal(size=12)  # what a seed draws for all series
        first = 0.2 * (rng.normal(size=(2, 12)) + 0.5 * shared)
        second = 0.1 * (rng.normal(size=(2, 12)) + 0.5 * shared)
        _, low, high = ratio_of_spreads(first, second)
        hits += low < 2 < high
    assert 0.9 <= hits / 300 <= 0.99


@pytest.mark.parametrize(
    "values",
    [np.ones((1, 6)), np.ones((1, 3)) * [1, 2, 3], np.array([[0.1, 0.2, math.nan, 0.3]])],
)
def test_without_spread_or_seeds_there_is_no_ratio(values: np.ndarray) -> None:
    other = np.arange(values.shape[1], dtype=float)[None]
    assert all(math.isnan(each) for each in ratio_of_spreads(values, other))
    assert all(math.isnan(each) for each in ratio_of_spreads(other, values))


def test_both_sides_have_equally_many_rows_of_each_class() -> None:
    train, test = np.array([0] * 9 + [1] * 3 + [2] * 4), np.array([1] * 5 + [0] * 4 + [3] * 2)
    first, second = alike(train, test)
    assert train[first].tolist() == sorted(test[second].tolist()) == [0] * 4 + [1] * 3
    assert first.tolist() == sorted(set(first.tolist()))
    assert first.tolist()[:4] == [0, 2, 4, 6]  # from all of the class, not its first rows
    assert [len(rows) for rows in alike(train, np.array([5]))] == [0, 0]


def test_map_at_r_of_train_and_test_is_measured_on_alike_rows(corpus: TokenizedCorpus) -> None:
    encoder = first_encoder(corpus, read(ROOT / "params.yaml").model, 0)
    found = measured(encoder, corpus)
    rows = alike(corpus.train.labels, corpus.test.labels)
    for name, part, chosen in (
        ("train_alike", corpus.train, rows[0]),
        ("test_alike", corpus.test, rows[1]),
        ("validation", corpus.validation, range(len(corpus.validation))),
    ):
        taken = part.take(np.asarray(chosen))
        embedded = encoder.embed(taken.tokens).astype(np.float64)
        unit = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
        values = []
        for query in range(len(unit)):
            others = [row for row in range(len(unit)) if row != query]
            order = sorted(others, key=lambda row, query=query: -float(unit[query] @ unit[row]))
            right = [taken.labels[row] == taken.labels[query] for row in order]
            size = sum(right)
            hits = [sum(right[: k + 1]) / (k + 1) for k in range(size) if right[k]]
            values.append(sum(hits) / size)
        assert found[name] == pytest.approx(np.mean(values))
    assert set(found) == set(hypotheses_jobs.PART)


def test_fixed_batches_are_repeated_and_redrawn_ones_have_the_same_rows() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    fixed, again = (FirstEpoch(labels, 12, 5, redrawn) for redrawn in (False, True))
    epochs = {
        name: [[tuple(rows.tolist()) for rows in batches.epoch()] for _ in range(3)]
        for name, batches in (("fixed", fixed), ("redrawn", again))
    }
    first, second, _ = epochs["fixed"]
    assert sorted(first) == sorted(second)
    assert first != second  # in another order
    assert len(first) == 9
    rows = {row for drawn in first for row in drawn}
    assert len(rows) < 100  # of the large class some rows are left out
    partners: dict[str, dict[int, set[int]]] = {name: {} for name in epochs}
    for name, of_name in epochs.items():
        counts = Counter(row for epoch in of_name for drawn in epoch for row in drawn)
        assert set(counts) == rows
        for label in range(3):
            of_label = [counts[row] for row in rows if labels[row] == label]
            assert max(of_label) - min(of_label) <= 3
        for drawn in (drawn for epoch in of_name for drawn in epoch):
            for row in drawn:
                partners[name].setdefault(row, set()).update(drawn)
    met = {name: np.mean([len(found) for found in of.values()]) for name, of in partners.items()}
    assert met["redrawn"] > 1.5 * met["fixed"]


@pytest.mark.parametrize("name", ["cross_entropy", "proxy_nca", "triplet"])
def test_dropout_trains_alike_with_and_without_compiled_loops(
    name: str, corpus: TokenizedCorpus, params: Params
) -> None:
    rows = []
    for plain in (True, False):
        encoder = first_encoder(corpus, params.model, 0)
        inner = build(family_of(name), {"name": name}, dim=32, classes=3, seed=0)
        fit(
            encoder, Dropout(inner, 0.3, 0), corpus.train, params.train,
            sampler="balanced", seed=0, plain=plain,
        )  # fmt: skip
        rows.append(encoder.embed(corpus.test.tokens))
    np.testing.assert_allclose(*rows, atol=1e-4)


class Total(Objective):
    """The sum of what it sees."""

    def __init__(self) -> None:
        super().__init__(None, dim=4, classes=2)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.seen = embeddings.detach().clone()
        return embeddings.sum()


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    inner = Total()
    leaf = torch.ones(500, 4, requires_grad=True)
    Dropout(inner, 0.25, 0)(leaf, torch.zeros(500)).backward()
    assert sorted(inner.seen.unique().tolist()) == pytest.approx([0.0, 4 / 3])
    assert float((inner.seen == 0).float().mean()) == pytest.approx(0.25, abs=0.04)
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, inner.seen)  # of what is dropped there is no gradient
    other = Total()
    Dropout(other, 0.25, 1)(leaf, torch.zeros(500))
    assert not torch.equal(other.seen, inner.seen)


def training(corpus: TokenizedCorpus, params: Params, folder: Path, **given: Any) -> Training:
    words: dict[str, Any] = {"objective": {"name": "triplet"}, "seed": 0} | given
    return Training(
        store(corpus, folder / "corpora"), model=params.model, settings=params.train, **words
    )


def test_watching_changes_no_training(
    corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    jobs = [training(corpus, params, tmp_path, watched=watched) for watched in (True, False)]
    jobs.append(training(corpus, params, tmp_path, dropout=0.4))
    jobs.append(training(corpus, params, tmp_path, partners="fixed"))
    seen, unseen, dropped, fixed = train_all(jobs, tmp_path / "results", progress=False)
    assert seen["map_at_r"] == unseen["map_at_r"]
    assert seen["active"] == unseen["active"]
    assert dropped["map_at_r"] != seen["map_at_r"] != fixed["map_at_r"]
    watched = seen["watched"]
    assert len(watched["picked"]) == len(watched["all"]) == 3  # before, and after two epochs
    assert list(watched["embeddings"]) == ["0", "1", "2"]
    assert len(watched["labels"]) == 16
    assert np.sum(watched["picked"], axis=1) == pytest.approx([1, 1, 1])
    # the first batch is one that the training has
    encoder = first_encoder(corpus, params.model, 0)
    rows = encoder.embed(corpus.train.tokens)
    assert np.array(watched["embeddings"]["0"]) == pytest.approx(
        rows[first_batch(corpus, params)], abs=1e-6
    )


def first_batch(corpus: TokenizedCorpus, params: Params) -> np.ndarray:
    """What `fit` asks for first."""
    met: list[np.ndarray] = []

    class Spied(Total):
        def batches(self, labels: Any, batch_size: int, seed: int) -> Any:
            from textmetric.sampling.batches import WindowSampler

            own = WindowSampler("balanced", labels, batch_size, seed, None)

            class Noted:
                def epoch(self) -> Any:
                    for rows in own.epoch():
                        met.append(rows)
                        yield rows

            return Noted()

    fit(
        first_encoder(corpus, params.model, 0), Spied(), corpus.train,
        params.train.model_copy(update={"epochs": 1, "lr": 1e-6}), sampler="balanced", seed=0,
    )  # fmt: skip
    return met[0]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_training_that_fails_is_a_result_with_its_sentence(
    corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    steep = params.train.model_copy(update={"optimizer": "sgd", "lr": 1e30})
    job = Training(store(corpus, tmp_path), {"name": "n_pair"}, params.model, steep, 0)
    (found,) = train_all([job], tmp_path / "results", progress=False)
    assert "training diverged in epoch" in found["error"]
    assert found["map_at_r"] == {}


def test_a_damaged_result_is_named(corpus: TokenizedCorpus, params: Params, tmp_path: Path) -> None:
    job = training(corpus, params, tmp_path)
    (tmp_path / f"{job.key()}.json").write_text("[1]")
    with pytest.raises(UserError, match="is not the result of a training: delete it"):
        train_all([job], tmp_path, progress=False)
    (tmp_path / f"{job.key()}.json").write_text("{}")
    with pytest.raises(UserError, match="is not the result of a training: delete it"):
        train_all([job], tmp_path, progress=False)
    cost = Cost(job.corpus, job.objective, job.model, job.settings, 1)
    (tmp_path / f"{cost.key()}.json").write_text("{}")
    with pytest.raises(UserError, match="does not hold the costs of an objective: delete it"):
        measure_all([cost], tmp_path, progress=False)


def test_the_name_of_a_result_depends_on_everything(
    corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    longer = params.train.model_copy(update={"epochs": 3})
    wider = params.model.model_copy(update={"dim": 8})
    job = training(corpus, params, tmp_path)
    others = [
        training(corpus, params, tmp_path, **given)
        for given in (
            {"seed": 1},
            {"partners": "fixed"},
            {"partners": "redrawn"},
            {"dropout": 0.1},
            {"watched": True},
            {"objective": {"name": "triplet", "miner": "hard"}},
        )
    ]
    others += [
        Training(job.corpus, job.objective, job.model, longer, 0),
        Training(job.corpus, job.objective, wider, job.settings, 0),
        Training(tmp_path / "other", job.objective, job.model, job.settings, 0),
    ]
    assert len({each.key() for each in [job, *others]}) == 10
    same = training(corpus, params, tmp_path, objective={"name": "triplet", "miner": "semi_hard"})
    assert same.key() == job.key()  # a default that is given is the same training


@pytest.mark.parametrize("name", ["cross_entropy", "norm_softmax", "magnet", "inverse_cloze"])
def test_the_parts_of_a_step_are_measured(
    name: str, corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    cost = Cost(store(corpus, tmp_path), {"name": name}, params.model, params.train, 1)
    with one_thread():
        steps = Steps(cost)
        steps.round()
        found = steps.round()
    assert found["batches"] > 0
    assert found["loss"] > 0
    assert (found["views"] > 0) == (name == "inverse_cloze")
    assert found["loss"] + found["views"] < found["step"]
    # clusters take longer than the call that does nothing
    assert (found["clusters"] > 1e-5) == (name == "magnet")
    assert "mining" not in found


def test_drawing_a_batch_is_no_part_of_the_step(
    corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    cost = Cost(store(corpus, tmp_path), {"name": "cross_entropy"}, params.model, params.train, 1)
    with one_thread():
        steps = Steps(cost)
        steps.round()

        class Slow:
            def epoch(self) -> Any:
                end = time.process_time() + 0.3
                while time.process_time() < end:
                    pass
                return iter([np.arange(16)] * steps.per_epoch)

        steps.batches = Slow()
        steps.count = 2
        found = steps.round()
    assert found["step"] < 0.05
    assert found["batches"] == pytest.approx(0.3 / steps.per_epoch, rel=0.2)


def test_a_training_has_the_partners_it_names(
    corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    jobs = [training(corpus, params, tmp_path, partners=way) for way in ("fixed", "redrawn")]
    results = train_all(jobs, tmp_path / "results", progress=False)
    for result, redrawn in zip(results, (False, True), strict=True):
        encoder = first_encoder(corpus, params.model, 0)
        labels = np.asarray(corpus.train.labels)
        fit(
            encoder, hypotheses_jobs.built({"name": "triplet"}, params.model, corpus, 0),
            corpus.train, params.train, sampler="balanced", seed=0,
            batches=FirstEpoch(labels, 16, 0, redrawn),
        )  # fmt: skip
        assert result["map_at_r"] == measured(encoder, corpus)
    assert results[0]["map_at_r"] != results[1]["map_at_r"]


def test_a_measured_step_trains_as_the_loop_does(
    corpus: TokenizedCorpus, params: Params, tmp_path: Path
) -> None:
    for name in ("proxy_nca", "triplet"):
        cost = Cost(store(corpus, tmp_path), {"name": name}, params.model, params.train, 1)
        encoder = first_encoder(corpus, params.model, 0)
        objective = hypotheses_jobs.built({"name": name}, params.model, corpus, 0)
        # Adagrad would forgive a gradient of another length
        once = params.train.model_copy(
            update={"epochs": 1, "decay": "constant", "optimizer": "sgd"}
        )
        cost = replace(cost, settings=once)
        with one_thread():
            steps = Steps(cost)
            steps.spent = dict.fromkeys(hypotheses_costs.PARTS, 0.0)
            steps.count = steps.per_epoch
            steps.train()
        fit(encoder, objective, corpus.train, once, sampler="balanced", seed=0)
        first, second = (each.embed(corpus.test.tokens) for each in (encoder, steps.encoder))
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_of_a_step_the_loss_is_no_part_of_the_rest() -> None:
    rows = [
        {"objective": "triplet", "miner": None, "batch_size": 64, "round": place, "mib": 1.0}
        | dict(zip(hypotheses_costs.PARTS, values, strict=True))
        | {"mining": 1e-6, "definition": 4e-6}
        for place, values in enumerate(
            # batches, clusters, views, loss, step
            [(1e-6, 2e-6, 3e-6, 4e-6, 10e-6), (1e-6, 2e-6, 3e-6, 4e-6, 10e-6), (9, 9, 9, 9, 9)]
        )
    ]
    (found,) = steps_page.medians(pd.DataFrame(rows)).values()
    expected = {"prepared": 5, "rest": 3, "total": 13, "share": 6 / 13, "loss": 4, "mining": 1}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def rows_of(question: str, values: dict[tuple[str, str], Any]) -> pd.DataFrame:
    """A frame of trainings: (objective, partners) → a value for each seed."""
    return pd.DataFrame(
        [
            {"question": question, "corpus": "one", "objective": name, "partners": way}
            | {"seed": seed, "test": value, "error": None}
            for (name, way), of_seeds in values.items()
            for seed, value in enumerate(of_seeds)
        ]
    )


@pytest.mark.parametrize(
    ("of_pairs", "said"),
    [(0.05, "larger spread"), (0.002, "smaller spread"), (0.01, "no difference")],
)
def test_the_verdict_on_spread_follows_the_interval(of_pairs: float, said: str) -> None:
    rng = np.random.default_rng(0)
    names = [*hypotheses_jobs.PAIRS, *hypotheses_jobs.CLASSES]
    values = {
        (name, way): 0.5
        + (of_pairs if name in hypotheses_jobs.PAIRS else 0.01) * rng.normal(size=20)
        for name in names
        for way in ("drawn",)
    }
    partners = {
        (name, way): 0.5 + 0.01 * rng.normal(size=20) + 0.1 * (way == "redrawn")
        for name in names
        for way in ("fixed", "redrawn")
    }
    found = pd.concat([rows_of("spread", values), rows_of("partners", partners)])
    answer, section = hypotheses_page._spread(found)
    assert f"classification and proxies: {said} (" in answer
    assert "MAP@R is higher in 6 and lower in 0 of 6 comparisons" in answer
    text = "\n".join(section)
    assert f"| all | {hypotheses_page._factor(ratio(found))} |" in text
    assert "| pairs and triplets | all | 1.0" in text or "| pairs and triplets | all | 0.9" in text


def ratio(found: pd.DataFrame) -> tuple[float, float, float]:
    cells = found[found["question"] == "spread"]
    both = [
        np.array([cells.loc[cells["objective"] == name, "test"] for name in names])
        for names in (hypotheses_jobs.PAIRS, hypotheses_jobs.CLASSES)
    ]
    return ratio_of_spreads(*both)


def gap_rows(change: float) -> pd.DataFrame:
    """Dropout of .1 is best on validation, .2 on test; classes have the larger gap."""
    rng = np.random.default_rng(0)
    rows = []
    for name in (*hypotheses_page.GAP_PAIRS, *hypotheses_jobs.CLASSES):
        for share in (0.0, 0.1, 0.2):
            for seed in range(8):
                noise = 0.001 * rng.normal(size=3)
                gap = 0.3 if name in hypotheses_jobs.CLASSES else 0.1
                gap += change * (share == 0.1)
                rows.append(
                    {"question": "gap", "corpus": "one", "objective": name, "epochs": 10}
                    | {"dropout": share, "seed": seed, "error": None}
                    | {"validation": 0.5 + 0.1 * (share == 0.1) + noise[0]}
                    | {"test": 0.5 + share + noise[1]}
                    | {"train_alike": 0.5 + gap + noise[2], "test_alike": 0.5}
                )
    return pd.DataFrame(rows)


def test_validation_chooses_the_share_of_dropout() -> None:
    found = gap_rows(-0.05)
    best = hypotheses_page.chosen(found)
    assert set(best.values()) == {0.1}
    assert best["one", "triplet", 10] == 0.1
    found.loc[(found["dropout"] == 0.1) & (found["seed"] == 3), "validation"] = math.nan
    assert 0.1 not in hypotheses_page.chosen(found).values()  # it failed with one seed
    assert set(hypotheses_page.chosen(found.assign(validation=math.nan)).values()) == {0.0}


@pytest.mark.parametrize(
    ("change", "said"), [(-0.05, "falls in 3 and rises in 0"), (0.05, "falls in 0 and rises in 3")]
)
def test_the_gap_is_train_minus_test(change: float, said: str) -> None:
    untrained = pd.DataFrame([{"corpus": "one", "train_alike": 0.25, "test_alike": 0.2}])
    answer, section = hypotheses_page._gap(gap_rows(change), untrained)
    assert "have a larger gap than pairs in 1, a smaller one in 0 of 1 comparisons" in answer
    assert f"chooses dropout in 3 of 3 cases; the gap {said}" in answer
    assert "MAP@R of test rises in 3 and falls in 0" in answer
    text = "\n".join(section)
    assert "untrained encoder is one 0.050" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| one | 10 | triplet |"))
    assert float(line.split(" | ")[3].split(" ± ")[0]) == pytest.approx(0.1, abs=0.002)
    assert line.split(" | ")[5] == "0.1"
    assert line.split(" | ")[7].startswith("+0.10")
    answer, section = hypotheses_page._gap(gap_rows(change).assign(validation=math.nan), untrained)
    assert "chooses dropout in 0 of 3 cases" in answer
    assert "| 0 | – | – |" in "\n".join(section)


def test_miners_are_compared_with_semi_hard_and_collapses_counted() -> None:
    rng = np.random.default_rng(0)
    better = {"hard": -0.1, "all": 0.1}
    rows = [
        {"question": "miners", "corpus": "one", "scale": "distances", "miner": miner}
        | {"seed": seed, "error": None, "active": [0.5, None, 0.1]}
        | {"test": 0.5 + better.get(miner, 0.0) + 0.001 * rng.normal()}
        for miner in steps_page.MINERS
        for seed in range(6)
    ]
    found = pd.DataFrame(rows)
    failed = (found["miner"] == "hard") & (found["seed"] < 2)
    found.loc[failed, ["test", "error"]] = [math.nan, "the embeddings collapsed"]
    answer, section = steps_page.miners_section(found)
    assert "all 1 / 0 of 1, random 0 / 0 of 1, easy 0 / 0 of 1, hard 0 / 1 of 1" in answer
    assert "collapsed: hard 2 of 6" in answer
    (line,) = (line for line in "\n".join(section).splitlines() if "| one | hard |" in line)
    assert line.split(" | ")[3].startswith("0.40")
    assert line.split(" | ")[4:7] == ["0.500", "0.100", "2"]
    found.loc[found["miner"] == "hard", ["test", "error"]] = [math.nan, "the embeddings collapsed"]
    answer, section = steps_page.miners_section(found)
    assert "hard 0 / 0 of 1" in answer
    assert "| distances | one | hard | – | – | – | 6 | – |" in "\n".join(section)


def program(table: Path, out: Path, *options: str) -> str:
    words = ["--corpora", f"{{path: {table}}}", "--epochs", "2", "--seeds", "0", "1", "2", "3"]
    words += ["--batch-sizes", "16", "--params", str(ROOT / "params.yaml")]
    words += ["--results", str(out / "results"), "--out", str(out), *options]
    hypotheses.main(hypotheses.parser().parse_args(words))
    return (out / "hypotheses.md").read_text()


def test_the_page_answers_four_questions_and_a_second_run_trains_nothing(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fewer trainings, and shorter rounds
    monkeypatch.setattr(hypotheses, "SHARES", (0.0, 0.2))
    monkeypatch.setattr(hypotheses, "FEW", 2)
    monkeypatch.setattr(hypotheses, "ROUNDS", 2)
    monkeypatch.setattr(hypotheses_costs, "ROWS", 16)
    monkeypatch.delitem(steps_page.SCALES, "squared distances of unit vectors")
    text = program(table, tmp_path)
    head = text.split("\n\n")[1].splitlines()
    assert len(head) == 4
    assert all(line.startswith('<!-- answer {"question"') for line in head)
    for name in ("spread", "gap", "costs", "triplets"):
        assert f"(hypotheses-{name}.png)" in text
        assert (tmp_path / f"hypotheses-{name}.png").stat().st_size > 5_000
    assert "words.csv: 86 train and 24 test texts, 3 labels. 4 seeds" in text
    # spread 9, partners 18, miners 5 of which one is there, gap 6 · 2 · 2 of which 6 are there
    trained = list((tmp_path / "results" / "hypotheses").glob("*.json"))
    assert len(trained) == 4 * (9 + 18 + 5 - 1) + 2 * (24 - 6)

    def refuse(*_: object) -> None:
        raise AssertionError("it trains again")

    monkeypatch.setattr(hypotheses_jobs, "_train", refuse)
    monkeypatch.setattr(hypotheses_costs, "_measure", refuse)
    assert program(table, tmp_path) == text


def test_wrong_options_are_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--seeds has 3 seeds: give 4 or more"):
        program(table, tmp_path, "--seeds", "0", "1", "2")
    with pytest.raises(UserError, match="--batch-sizes has 3: give 4 or more"):
        program(table, tmp_path, "--batch-sizes", "64", "3")
    both = [f"{{path: {table}}}"] * 2
    with pytest.raises(UserError, match="give each corpus once"):
        program(table, tmp_path, "--corpora", *both)

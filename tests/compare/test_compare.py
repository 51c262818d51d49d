from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.compare.made import FOUR, TWO, texts_of
from textmetric.compare import ARMS, Comparison, compare, learners
from textmetric.compare.learners import LEARNING_RATES, Job, on_split
from textmetric.compare.purposes import PURPOSES, by_name
from textmetric.compare.table import read_table
from textmetric.errors import UserError
from textmetric.grid import Baseline, Family
from textmetric.measures import Outcome


def run(texts: list[str], labels: list[Any], purpose: str, **options: Any) -> Comparison:
    return compare(texts, labels, purpose, **{"splits": 5, "arms": TWO, "workers": 1} | options)


@pytest.mark.parametrize("purpose", [purpose.name for purpose in PURPOSES])
def test_every_purpose_gives_values_and_a_verdict(purpose: str) -> None:
    found = run(*texts_of(8, 160, share=0.6), purpose)
    assert found.verdict.outcome is not Outcome.UNKNOWN
    for split in found.splits:
        for arm in split.arms:
            assert arm.lr in LEARNING_RATES
            assert 0 < arm.validation <= 1
            assert 0 < arm.test[found.measure.key] <= 1
        assert all(0 < each[found.measure.key] <= 1 for each in split.baselines.values())
    # words of the classes are half of a text, so all that learns is better than chance
    if purpose == "classify":
        assert found.of_family(Family.METRIC).mean() > 0.6
        assert found.of_family(Family.CLASSIFICATION).mean() > 0.6
        assert found.of_baseline(Baseline.TFIDF).mean() > 0.6


def test_labels_by_chance_have_an_interval_with_zero() -> None:
    texts, _ = texts_of(3, 150)
    labels = np.random.default_rng(5).integers(3, size=150).tolist()
    found = run(texts, labels, "classify", arms=FOUR)
    paired = found.verdict.paired
    assert paired.low < 0 < paired.high
    assert found.verdict.outcome in (Outcome.NO_DIFFERENCE, Outcome.DEPENDS)


def test_the_same_seed_gives_the_same_and_another_seed_another_result() -> None:
    texts, labels = texts_of(4, 120, share=0.3)
    first, again, other = (run(texts, labels, "classify", seed=seed) for seed in (0, 0, 1))
    for arm in TWO:
        assert first.of_arm(arm).tolist() == again.of_arm(arm).tolist()
    assert first.of_arm(TWO[0]).tolist() != other.of_arm(TWO[0]).tolist()
    assert len(set(first.seeds)) == 5


def test_the_test_part_chooses_nothing() -> None:
    texts, labels = texts_of(4, 120, share=0.3)
    corpus, purpose = read_table(texts, labels).corpus, by_name("classify")

    def otherwise(whole: Any, seed: int) -> Any:
        split = purpose.parts(whole, seed)
        wrong = (split.test.labels + 1) % 4
        return replace(split, test=replace(split.test, labels=wrong.astype(np.int32)))

    jobs = [Job(corpus, one, TWO, 7) for one in (purpose, purpose._replace(parts=otherwise))]
    true, wrong = (on_split(job, lambda: None) for job in jobs)
    for one, other in zip(true.arms, wrong.arms, strict=True):
        assert (one.lr, one.predictor, one.validation) == (
            other.lr,
            other.predictor,
            other.validation,
        )
        assert one.test != other.test


def test_validation_chooses_the_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = texts_of(4, 120, share=0.3)
    corpus = read_table(texts, labels).corpus
    tried = []

    def recorded(
        measured: Callable[..., dict[str, float]],
    ) -> Callable[..., dict[str, float]]:
        def call(purpose: Any, model: Any, rows: Any, predictor: str) -> dict[str, float]:
            found = measured(purpose, model, rows, predictor)
            tried.append((model.recipe.train.lr, predictor, len(rows), found["test_accuracy"]))
            return found

        return call

    monkeypatch.setattr(learners, "_measured", recorded(learners._measured))
    split = on_split(Job(corpus, by_name("classify"), TWO[:1], 1), lambda: None)
    (arm,), (_, validation, test) = split.arms, split.rows
    on_validation = [each for each in tried if each[2] == validation]
    assert {each[0] for each in on_validation} == set(LEARNING_RATES)
    assert {each[1] for each in on_validation} == {"head", "centroid"}
    assert arm.validation == max(each[3] for each in on_validation)
    assert [each[:3] for each in tried if each[2] == test] == [(arm.lr, arm.predictor, test)]


def test_a_training_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    train = learners.train

    def failing(*given: Any, **options: Any) -> Any:
        if options["family"] is Family.METRIC or options["settings"].lr == 0.3:
            raise UserError("training diverged in epoch 1")
        return train(*given, **options)

    monkeypatch.setattr(learners, "train", failing)
    found = run(*texts_of(2, 60), "classify")
    assert found.verdict.outcome is Outcome.UNKNOWN
    assert set(found.failures) == set(TWO)
    assert all(split.arms[0].lr in (0.03, 0.1) for split in found.splits)
    assert found.chosen(Family.METRIC).tolist() == [-1] * 5


def test_both_families_have_as_many_arms_under_each_sampler() -> None:
    by_family = {family: [arm.sampler for arm in ARMS if arm.family is family] for family in Family}
    assert by_family[Family.METRIC] == by_family[Family.CLASSIFICATION]
    assert len(set(ARMS)) == len(ARMS) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"purpose": "sort"}, "unknown purpose 'sort'"),
        ({"splits": 4}, "splits is 4, expected at least 5"),
        ({"arms": TWO[:1]}, "arms are of one family"),
        ({"purpose": "new-classes"}, "new-classes needs 6 classes or more"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_training(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(learners, "train", pytest.fail)
    with pytest.raises(UserError, match=message):
        run(*texts_of(2, 40), **{"purpose": "classify"} | options)

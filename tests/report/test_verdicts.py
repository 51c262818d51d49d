from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from tests.report.fake_study import ARMS, read, write_study
from textmetric.measures import Outcome
from textmetric.report.findings.finding import cohesion_against_retrieval
from textmetric.report.formats import cell_text, cell_value
from textmetric.report.names import BY_KEY, COHESION_NEVER_ALONE
from textmetric.report.study import Study
from textmetric.report.verdicts import (
    Contrast,
    Verdict,
    contrasts,
    disagreements,
    effects_of,
    effects_table,
    judge,
    judge_splits,
    verdict_table,
)

MAP, COHESION, BETWEEN = (BY_KEY[key] for key in ("map_at_r", "cohesion", "between_class_cosine"))
CLS_SHUFFLED, CLS_BALANCED, METRIC_SHUFFLED, METRIC_BALANCED = ARMS
PAIR = Contrast("shuffled", (METRIC_SHUFFLED, CLS_SHUFFLED))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = tmp_path_factory.mktemp("study")
    write_study(root, [0, 1, 2, 3, 4])
    return read(root)


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers)


def test_the_better_mean_wins_only_if_the_seeds_agree() -> None:
    first, sure, unsure = values(0.7, 0.72, 0.71), values(0.6, 0.61, 0.6), values(0.6, 0.9, 0.5)
    found = judge([(MAP, PAIR, first, sure), (MAP, PAIR, first, unsure)])
    assert [verdict.outcome for verdict in found] == [Outcome.FIRST, Outcome.NO_DIFFERENCE]


def test_a_small_cosine_between_classes_is_the_better_one() -> None:
    small, large = values(0.1, 0.11, 0.1), values(0.3, 0.32, 0.31)
    assert judge([(BETWEEN, PAIR, small, large)])[0].outcome is Outcome.FIRST
    assert judge([(BETWEEN, PAIR, large, small)])[0].outcome is Outcome.SECOND


def test_verdicts_are_corrected_for_their_number() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(0.5, 0.1, 6), random.normal(0.38, 0.1, 6)
    p = ttest_rel(first, second).pvalue
    assert 0.005 < p < 0.05
    alone = judge([(MAP, PAIR, first, second)])
    many = judge([(MAP, PAIR, first, second)] * 10)
    assert alone[0].p == pytest.approx(p)
    assert alone[0].outcome is Outcome.FIRST
    assert {verdict.outcome for verdict in many} == {Outcome.NO_DIFFERENCE}
    assert many[0].p == pytest.approx(10 * p)


def test_one_seed_or_a_missing_value_allows_no_verdict() -> None:
    for first in (values(0.5), values(0.5, np.nan)):
        assert judge([(MAP, PAIR, first, first - 0.1)])[0].outcome is Outcome.UNKNOWN


def test_each_at_its_best_is_chosen_on_validation_and_comes_last(study: Study) -> None:
    # the curves prefer cls_shuffled and metric_balanced, though the test part has no preference
    assert [one.arms for one in contrasts(study, ["target"])] == [
        (METRIC_SHUFFLED, CLS_SHUFFLED),
        (METRIC_BALANCED, CLS_BALANCED),
        (METRIC_BALANCED, CLS_SHUFFLED),
    ]
    assert [one.headline for one in contrasts(study, ["target"])] == [False, False, True]


def test_the_test_part_chooses_nothing(study: Study) -> None:
    records = {
        split: {arm: dataclasses.replace(record, per_seed={}) for arm, record in by_arm.items()}
        for split, by_arm in study.records.items()
    }
    blind = dataclasses.replace(study, records=records)
    assert contrasts(blind, ["source"]) == contrasts(study, ["source"])


def test_a_best_pair_of_one_sampler_is_compared_once(study: Study) -> None:
    curves = {
        split: {arm: frame.assign(validation_map_at_r=0.5) for arm, frame in by_arm.items()}
        for split, by_arm in study.curves.items()
    }
    found = contrasts(dataclasses.replace(study, curves=curves), ["target"])
    assert [one.name for one in found] == ["balanced", "shuffled, each at its best"]
    assert found[-1].arms == (METRIC_SHUFFLED, CLS_SHUFFLED)
    assert [one.headline for one in found] == [False, True]


def test_without_validation_rows_there_is_no_best(study: Study) -> None:
    curves = {
        split: {arm: frame.assign(validation_map_at_r=np.nan) for arm, frame in by_arm.items()}
        for split, by_arm in study.curves.items()
    }
    found = contrasts(dataclasses.replace(study, curves=curves), ["target"])
    assert [one.name for one in found] == ["shuffled", "balanced"]
    assert [one.headline for one in found] == [False, True]


def test_splits_are_averaged_by_seed(study: Study) -> None:
    splits = ["target", "target-scarce-1"]
    verdict = judge_splits(study, splits, [COHESION])[0]
    by_arm = {
        arm: np.mean([study.records[split][arm].per_seed["cohesion"] for split in splits], axis=0)
        for arm in ARMS
    }
    theirs = ttest_rel(by_arm[METRIC_SHUFFLED], by_arm[CLS_SHUFFLED])
    assert verdict.paired.p == pytest.approx(theirs.pvalue)


def test_a_measure_that_a_split_lacks_is_left_out(study: Study) -> None:
    measures = [MAP, BY_KEY["scarce_among_cosine"], BY_KEY["knn_accuracy"]]
    found = judge_splits(study, ["target-scarce-1"], measures)
    assert {verdict.measure.key for verdict in found} == {"map_at_r", "knn_accuracy"}


def test_the_effects_are_those_of_the_two_by_two(study: Study) -> None:
    cs, cb, ms, mb = (np.array(study.records["target"][arm].per_seed["cohesion"]) for arm in ARMS)
    found = effects_of(study, ["target"], "cohesion")
    np.testing.assert_allclose(found["objective"], ((ms - cs) + (mb - cb)) / 2)
    np.testing.assert_allclose(found["sampler"], ((cb - cs) + (mb - ms)) / 2)
    np.testing.assert_allclose(found["interaction"], (mb - ms) - (cb - cs))
    table = effects_table(study, ["target"], COHESION_NEVER_ALONE)
    assert table is not None
    # MAP@R: metric is .1 better under either sampler, and the sampler moves nothing
    assert list(map(cell_value, table.rows[-1][1:])) == pytest.approx([0.1, 0.0, 0.0])


def test_three_arms_make_no_two_by_two(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    study = read(tmp_path, ["target"], ARMS[:3])
    assert effects_table(study, ["target"], COHESION_NEVER_ALONE) is None
    assert [one.name for one in contrasts(study, ["target"])] == ["shuffled, each at its best"]


def test_cohesion_with_another_winner_is_reported() -> None:
    def verdict(key: str, outcome: Outcome) -> Verdict:
        found = judge([(BY_KEY[key], PAIR, values(1, 2), values(0, 1))])[0]
        judgement = dataclasses.replace(found.judgement, outcome=outcome)
        return dataclasses.replace(found, judgement=judgement)

    apart = [verdict("cohesion", Outcome.FIRST), verdict("map_at_r", Outcome.SECOND)]
    assert disagreements(apart, "cohesion", "map_at_r") == [tuple(apart)]
    assert cohesion_against_retrieval(apart) == [
        "Shuffled: by cohesion metric better, by MAP@R classification better"
    ]
    agreed = [verdict("cohesion", Outcome.FIRST), verdict("map_at_r", Outcome.FIRST)]
    assert disagreements(agreed, "cohesion", "map_at_r") == []
    unknown = [verdict("cohesion", Outcome.FIRST), verdict("map_at_r", Outcome.UNKNOWN)]
    assert disagreements(unknown, "cohesion", "map_at_r") == []


def test_the_table_tells_difference_effect_and_p() -> None:
    found = judge(
        [
            (MAP, PAIR, values(0.7, 0.8, 0.9), values(0.6, 0.6, 0.6)),
            (MAP, PAIR, values(0.75, 0.75), values(0.5, 0.5)),
        ]
    )
    rows = [list(map(cell_text, row)) for row in verdict_table(found).rows]
    assert rows[0][1:4] == ["shuffled", "+0.200 [-0.048, +0.448]", "+2.0"]
    assert rows[1][3:] == ["+∞", "< 0.001", "**metric better**"]

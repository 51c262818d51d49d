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
from textmetric.report.names import BY_KEY, COHESION_NEVER_ALONE, Measure
from textmetric.report.study import Study
from textmetric.report.verdicts import (
    Comparison,
    Contrast,
    Verdict,
    comparisons,
    contrasts,
    disagreements,
    effects_of,
    effects_table,
    judge,
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


def compared(
    first: np.ndarray,
    second: np.ndarray,
    contrast: Contrast = PAIR,
    measure: Measure = MAP,
    split: str = "target",
) -> Comparison:
    return Comparison(measure, contrast, first, second, (split,))


def alone(comparison: Comparison) -> Verdict:
    """The verdict on a table of one comparison."""
    return judge([], [[comparison]])[0][0]


def test_the_better_mean_wins_only_if_the_seeds_agree() -> None:
    first, sure, unsure = values(0.7, 0.72, 0.71), values(0.6, 0.61, 0.6), values(0.6, 0.9, 0.5)
    assert alone(compared(first, sure)).outcome is Outcome.FIRST
    assert alone(compared(first, unsure)).outcome is Outcome.NO_DIFFERENCE


def test_a_small_cosine_between_classes_is_the_better_one() -> None:
    small, large = values(0.1, 0.11, 0.1), values(0.3, 0.32, 0.31)
    assert alone(compared(small, large, measure=BETWEEN)).outcome is Outcome.FIRST
    assert alone(compared(large, small, measure=BETWEEN)).outcome is Outcome.SECOND


@pytest.mark.parametrize("first", [(0.5,), (0.5, 0.6), (0.5, 0.6, np.nan)])
def test_fewer_than_three_seeds_or_a_missing_value_allow_no_verdict(first: tuple) -> None:
    assert alone(compared(values(*first), values(*first) - 0.1)).outcome is Outcome.UNKNOWN


def noisy(shift: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0.5, 0.1, 6), random.normal(0.5 - shift, 0.1, 6)


def test_the_others_are_corrected_for_their_number_in_the_table() -> None:
    tables = [
        [compared(*noisy(0.12), split=f"{size}-{place}") for place in range(size)]
        for size in (1, 10)
    ]
    p = ttest_rel(*noisy(0.12)).pvalue
    one, ten = judge([], tables)
    assert [verdict.paired.p for verdict in one] == pytest.approx([p])
    assert [verdict.paired.p for verdict in ten] == pytest.approx([10 * p] * 10)
    assert {verdict.family for verdict in ten} == {10}


def test_primary_comparisons_are_corrected_across_tables() -> None:
    tables = [
        [compared(*noisy(0.12), split=f"{table}-{place}") for place in range(4)]
        for table in range(3)
    ]
    p = ttest_rel(*noisy(0.12)).pvalue
    found = judge([table[1] for table in tables], tables)
    for verdicts in found:
        assert [verdict.primary for verdict in verdicts] == [False, True, False, False]
        assert [verdict.paired.p for verdict in verdicts] == pytest.approx([3 * p] * 4)
    found = judge([table[1] for table in tables[:2]], tables)
    assert [verdicts[1].paired.p for verdicts in found] == pytest.approx([2 * p, 2 * p, 4 * p])


def test_one_comparison_has_one_verdict_in_all_tables() -> None:
    shared = compared(*noisy(0.12), split="shared")
    others = [compared(*noisy(0.3, seed), split=str(seed)) for seed in range(12)]
    first, second = judge([], [[shared, others[0]], [*others[1:], shared]])
    assert first[0] == second[-1]
    assert first[0].family == 2
    assert {verdict.family for verdict in second[:-1]} == {11}


BEST = Contrast("each at its best", (METRIC_BALANCED, CLS_SHUFFLED), headline=True)
BALANCED = Contrast("balanced", (METRIC_BALANCED, CLS_BALANCED))
UP, DOWN, SAME = (
    (values(0.7, 0.71, 0.73) + 0.1 * sign, values(0.7, 0.7, 0.7) + noise)
    for sign, noise in ((1, 0), (-1, 0), (0, values(0.05, -0.05, 0.02)))
)


@pytest.mark.parametrize(
    ("best", "shuffled", "balanced", "outcome"),
    [
        (UP, UP, UP, Outcome.FIRST),
        (UP, UP, DOWN, Outcome.FIRST),  # one sampler supports it
        (UP, SAME, SAME, Outcome.FIRST),
        (UP, DOWN, DOWN, Outcome.DEPENDS),
        (UP, DOWN, SAME, Outcome.DEPENDS),
        (DOWN, UP, UP, Outcome.DEPENDS),
        (DOWN, DOWN, UP, Outcome.SECOND),
        (SAME, UP, DOWN, Outcome.DEPENDS),
        (SAME, UP, SAME, Outcome.NO_DIFFERENCE),
        (SAME, SAME, SAME, Outcome.NO_DIFFERENCE),
    ],
)
def test_a_headline_that_no_sampler_supports_depends_on_the_sampler(
    best: tuple, shuffled: tuple, balanced: tuple, outcome: Outcome
) -> None:
    table = [compared(*shuffled, PAIR), compared(*balanced, BALANCED), compared(*best, BEST)]
    found = judge([table[-1]], [table])[0]
    assert found[-1].outcome is outcome
    assert Outcome.DEPENDS not in {verdict.outcome for verdict in found[:-1]}


def test_other_measures_and_splits_do_not_contradict_a_headline() -> None:
    table = [
        compared(*UP, BEST),
        compared(*DOWN, PAIR, COHESION),
        compared(*DOWN, BALANCED, COHESION),
        compared(*DOWN, PAIR, split="source"),
    ]
    assert judge([table[0]], [table])[0][0].outcome is Outcome.FIRST


def test_each_at_its_best_is_chosen_on_validation_and_comes_last(study: Study) -> None:
    # validation prefers cls_shuffled and metric_balanced, though test has no preference
    assert [one.arms for one in contrasts(study, ["target"], MAP)] == [
        (METRIC_SHUFFLED, CLS_SHUFFLED),
        (METRIC_BALANCED, CLS_BALANCED),
        (METRIC_BALANCED, CLS_SHUFFLED),
    ]
    assert [one.headline for one in contrasts(study, ["target"], MAP)] == [False, False, True]


def on_validation(study: Study, split: str, key: str, **of_arm: float) -> Study:
    """The study with other values on validation: ``cls_shuffled=0.5``, the same for each seed."""
    records = {
        arm: dataclasses.replace(
            record,
            validation=dict(record.validation)
            | ({key: [of_arm[arm.name]] * 5} if arm.name in of_arm else {}),
        )
        for arm, record in study.records[split].items()
    }
    return dataclasses.replace(study, records={**study.records, split: records})


def test_the_choice_is_by_the_measure_itself(study: Study) -> None:
    scarce = BY_KEY["scarce_map_at_r"]
    found = on_validation(study, "target-scarce-1", scarce.key, cls_balanced=0.9)
    headline = contrasts(found, ["target-scarce-1"], scarce)[-1]
    assert headline.arms == (METRIC_BALANCED, CLS_BALANCED)
    headline = contrasts(found, ["target-scarce-1"], MAP)[-1]
    assert headline.arms == (METRIC_BALANCED, CLS_SHUFFLED)


def test_where_small_is_good_the_smallest_is_the_best(study: Study) -> None:
    found = on_validation(study, "target", BETWEEN.key, cls_balanced=0.1, metric_shuffled=0.2)
    headline = contrasts(found, ["target"], BETWEEN)[-1]
    assert headline.arms == (METRIC_SHUFFLED, CLS_BALANCED)


def test_the_choice_is_over_all_splits_and_seeds_of_the_table(study: Study) -> None:
    splits = ["target", "target-scarce-1"]
    found = on_validation(study, "target-scarce-1", MAP.key, cls_balanced=0.95)
    # .6 and .95 of cls_balanced against .7 and .7 of cls_shuffled
    assert contrasts(found, splits, MAP)[-1].arms == (METRIC_BALANCED, CLS_BALANCED)
    assert contrasts(found, ["target"], MAP)[-1].arms == (METRIC_BALANCED, CLS_SHUFFLED)
    # the last seed counts as much as the first: .5 and .95, then .5 and .85, against .7
    record = found.records["target"][CLS_BALANCED]
    uneven = dataclasses.replace(record, validation={MAP.key: [0.6, 0.6, 0.6, 0.6, 0.1]})
    records = {**found.records, "target": {**found.records["target"], CLS_BALANCED: uneven}}
    lower = dataclasses.replace(found, records=records)
    assert contrasts(lower, splits, MAP)[-1].arms == (METRIC_BALANCED, CLS_BALANCED)
    lowest = on_validation(lower, "target-scarce-1", MAP.key, cls_balanced=0.85)
    assert contrasts(lowest, splits, MAP)[-1].arms == (METRIC_BALANCED, CLS_SHUFFLED)


def test_the_test_part_chooses_nothing(study: Study) -> None:
    records = {
        split: {arm: dataclasses.replace(record, per_seed={}) for arm, record in by_arm.items()}
        for split, by_arm in study.records.items()
    }
    blind = dataclasses.replace(study, records=records)
    assert contrasts(blind, ["source"], MAP) == contrasts(study, ["source"], MAP)


def test_a_best_pair_of_one_sampler_is_compared_once(study: Study) -> None:
    found = on_validation(study, "target", MAP.key, metric_balanced=0.6, metric_shuffled=0.6)
    one, other = contrasts(found, ["target"], MAP)
    assert [one.name, other.name] == ["balanced", "shuffled, each at its best"]
    assert other.arms == (METRIC_SHUFFLED, CLS_SHUFFLED)
    assert (one.headline, other.headline) == (False, True)


def test_without_validation_rows_there_is_no_best(study: Study) -> None:
    records = {
        split: {arm: dataclasses.replace(record, validation={}) for arm, record in by_arm.items()}
        for split, by_arm in study.records.items()
    }
    found = contrasts(dataclasses.replace(study, records=records), ["target"], MAP)
    assert [one.name for one in found] == ["shuffled", "balanced"]
    assert [one.headline for one in found] == [False, True]


def test_splits_are_averaged_by_seed(study: Study) -> None:
    splits = ["target", "target-scarce-1"]
    one = comparisons(study, splits, [COHESION])[0]
    by_arm = {
        arm: np.mean([study.records[split][arm].per_seed["cohesion"] for split in splits], axis=0)
        for arm in ARMS
    }
    np.testing.assert_allclose(one.first, by_arm[METRIC_SHUFFLED])
    np.testing.assert_allclose(one.second, by_arm[CLS_SHUFFLED])
    assert one.splits == ("target", "target-scarce-1")


def test_the_grain_is_a_row_of_the_test_part(study: Study) -> None:
    # three labels with 20 test rows each
    assert study.grain(["target"], "map_at_r") == pytest.approx(1 / 60)
    assert study.grain(["target-scarce-1"], "scarce_map_at_r") == pytest.approx(1 / 20)
    assert study.grain(["target"] * 4, "map_at_r") == pytest.approx(1 / 60 / 2)
    assert {one.grain for one in comparisons(study, ["target"], [MAP])} == {1 / 60}


def test_a_measure_that_a_split_lacks_is_left_out(study: Study) -> None:
    measures = [MAP, BY_KEY["scarce_among_cosine"], BY_KEY["knn_accuracy"]]
    found = comparisons(study, ["target-scarce-1"], measures)
    assert {one.measure.key for one in found} == {"map_at_r", "knn_accuracy"}


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
    (only,) = contrasts(study, ["target"], MAP)
    assert only.name == "shuffled, each at its best"


def test_cohesion_with_another_winner_is_reported() -> None:
    def verdict(key: str, outcome: Outcome) -> Verdict:
        found = alone(compared(values(1, 2, 4), values(0, 1, 2), measure=BY_KEY[key]))
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
    table = [
        compared(values(0.7, 0.8, 0.9), values(0.6, 0.6, 0.6)),
        compared(values(0.75, 0.76, 0.75), values(0.5, 0.5, 0.5), BALANCED),
    ]
    found = judge([table[1]], [table])[0]
    rows = [list(map(cell_text, row)) for row in verdict_table(found).rows]
    assert rows[0][1:4] == ["shuffled", "+0.200 [-0.048, +0.448]", "+2.0"]
    assert rows[1][1] == "balanced (**primary**)"
    assert rows[1][4:] == ["< 0.001", "**metric better**"]

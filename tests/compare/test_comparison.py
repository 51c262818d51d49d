from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.compare.made import FOUR, TWO, comparison_of
from textmetric.compare.report import headline, terminal, write_report
from textmetric.errors import UserError
from textmetric.files import read_json
from textmetric.grid import Baseline, Family
from textmetric.measures import Outcome, paired_difference

CE_SHUFFLED, CE_BALANCED, TRIPLET_SHUFFLED, TRIPLET_BALANCED = FOUR
LOW = [0.60, 0.61, 0.62, 0.60, 0.61, 0.60]
HIGH = [0.70, 0.71, 0.72, 0.71, 0.70, 0.71]


def test_the_verdict_is_the_corrected_interval_of_the_paired_differences() -> None:
    found = comparison_of({TWO[0]: LOW, TWO[1]: HIGH})
    expected = paired_difference(HIGH, LOW, grain=1 / 200, test_to_train=0.25)
    assert found.verdict.paired == expected
    assert found.verdict.outcome is Outcome.FIRST
    assert headline(found) == (
        "For classifying: metric better. test accuracy, metric − classification: "
        f"+0.102 [{expected.low:+.3f}, {expected.high:+.3f}]"
    )


def test_equal_scores_are_no_difference() -> None:
    found = comparison_of({TWO[0]: LOW, TWO[1]: LOW})
    assert found.verdict.outcome is Outcome.NO_DIFFERENCE
    assert found.verdict.paired.low <= 0 <= found.verdict.paired.high


def test_the_arm_of_a_family_is_chosen_by_validation_split_by_split() -> None:
    test = dict(zip(FOUR, (LOW, HIGH, HIGH, LOW), strict=True))
    validation = {
        CE_SHUFFLED: [1, 1, 1, 0, 0, 0],
        CE_BALANCED: [0, 0, 0, 1, 1, 1],
        TRIPLET_SHUFFLED: [0] * 6,
        TRIPLET_BALANCED: [1] * 6,
    }
    found = comparison_of(test, validation)
    assert found.chosen(Family.CLASSIFICATION).tolist() == [0, 0, 0, 1, 1, 1]
    assert found.of_family(Family.CLASSIFICATION).tolist() == LOW[:3] + HIGH[3:]
    assert found.of_family(Family.METRIC).tolist() == LOW  # though the other is better on test


def test_a_winner_that_no_sampler_supports_depends_on_the_sampler() -> None:
    # metric learning is better at its best, but worse with shuffled batches, and equal else
    test = {
        CE_SHUFFLED: [0.65, 0.66, 0.67, 0.65, 0.66, 0.65],
        CE_BALANCED: HIGH,
        TRIPLET_SHUFFLED: LOW,
        TRIPLET_BALANCED: HIGH,
    }
    validation = {
        CE_SHUFFLED: [1] * 6,
        CE_BALANCED: [0] * 6,
        TRIPLET_SHUFFLED: [0] * 6,
        TRIPLET_BALANCED: [1] * 6,
    }
    found = comparison_of(test, validation)
    assert [verdict.contrast.name for verdict in found.verdicts] == [
        "each at its best",
        "shuffled",
        "balanced",
    ]
    assert found.verdict.outcome is Outcome.DEPENDS
    assert found.verdict.paired.mean > 0
    assert [verdict.outcome for verdict in found.verdicts[1:]] == [
        Outcome.SECOND,
        Outcome.NO_DIFFERENCE,
    ]


def test_an_arm_that_failed_everywhere_is_never_chosen() -> None:
    nothing = [math.nan] * 6
    test = dict(zip(FOUR, (LOW, HIGH, nothing, LOW), strict=True))
    found = comparison_of(test)
    assert found.chosen(Family.METRIC).tolist() == [3] * 6
    assert found.verdict.outcome is Outcome.SECOND
    assert found.verdicts[1].outcome is Outcome.UNKNOWN
    assert "triplet, shuffled" in terminal(found)


def test_a_family_that_failed_has_no_verdict() -> None:
    found = comparison_of(
        {TWO[0]: LOW, TWO[1]: [math.nan] * 6}, error="training diverged in epoch 1"
    )
    assert found.chosen(Family.METRIC).tolist() == [-1] * 6
    assert found.verdict.outcome is Outcome.UNKNOWN
    assert "no verdict: trainings failed" in headline(found)
    assert "training diverged in epoch 1" in terminal(found)


def test_baselines_that_nothing_beats_are_named() -> None:
    found = comparison_of(
        {TWO[0]: LOW, TWO[1]: LOW}, tfidf=HIGH, untrained=[value - 0.2 for value in LOW]
    )
    text = terminal(found)
    assert "TF-IDF beats all that was trained." in text
    assert "untrained encoder." not in text
    same = comparison_of({TWO[0]: LOW, TWO[1]: LOW}, untrained=LOW)
    assert "Nothing that was trained beats the untrained encoder." in terminal(same)


def test_the_differences_of_arms_and_baselines_are_corrected_together() -> None:
    found = comparison_of({TWO[0]: LOW, TWO[1]: HIGH})
    assert list(found.differences) == [*TWO, *Baseline]
    alone = paired_difference(HIGH, LOW, level=1 - 0.05 / 4, grain=1 / 200, test_to_train=0.25)
    assert found.differences[TWO[1]].high == pytest.approx(alone.high)


def test_the_terminal_shows_every_side_aligned() -> None:
    lines = terminal(comparison_of(dict(zip(FOUR, (LOW, HIGH, LOW, HIGH), strict=True))))
    assert lines.splitlines()[:2] == [
        "1,000 of 1,010 rows, 3 classes, 6 random splits, each with its own seed: 680 rows to "
        "learn from, 120 to choose by, 200 for test.",
        "Left out: 10 without a label.",
    ]
    table = lines.splitlines()[3:12]
    assert [line.split("  ")[0] for line in table[1:3]] == [
        "classification, at its best",
        "metric learning, at its best",
    ]
    assert len({line.index("0.") for line in table[1:]}) == 1


def test_the_report_is_one_page_with_its_data(tmp_path: Path) -> None:
    found = comparison_of(dict(zip(FOUR, (LOW, HIGH, LOW, HIGH), strict=True)))
    write_report(found, tmp_path / "report", name="re|views <b>.csv")
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == ["comparison.json", "differences.png", "report.html", "report.md"]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "<b>.csv" not in page
    assert 'src="http' not in page
    assert read_json(tmp_path / "report" / "comparison.json")["verdict"] == "no_difference"
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "](differences.png)" in text
    write_report(found, tmp_path / "report", name="again")  # a report is replaced
    assert "again" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_a_folder_with_something_else_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    found = comparison_of({TWO[0]: LOW, TWO[1]: HIGH})
    with pytest.raises(UserError, match="holds no report of a comparison"):
        write_report(found, tmp_path, name="reviews")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failure_is_null_in_json(tmp_path: Path) -> None:
    found = comparison_of({TWO[0]: LOW, TWO[1]: [math.nan] * 6})
    write_report(found, tmp_path / "report", name="reviews")
    text = (tmp_path / "report" / "comparison.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["difference"]["mean"] is None


def test_the_grain_keeps_equal_differences_from_being_certain() -> None:
    found = comparison_of({TWO[0]: [0.6] * 6, TWO[1]: [0.605] * 6})
    assert found.verdict.paired.low < found.verdict.paired.mean
    assert np.isfinite(found.verdict.paired.p)

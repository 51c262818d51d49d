from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.files import write_json
from textmetric.measures.record import ArmRecord

RECORD = ArmRecord(
    split="open",
    arm="metric_balanced",
    seeds=[0, 1],
    label_names=["a", "b", "c", "d"],
    train_rows=[5, 4, 0, 0],
    test_rows=[3, 0, 1, 6],
    scarce=[],
    held_out=[2],
    unseen=[3],
    counts={"train_rows": 9, "validation_rows": 6, "test_rows": 7},
    per_seed={"map_at_r": [0.25, 0.5], "gap": [0.5, float("nan")]},
    validation={"map_at_r": [0.125, float("nan")], "gap": [0.0, 0.75]},
    interval={"map_at_r": (0.375, 0.25, 0.5)},
    per_class={"cohesion": [[0.5, float("nan"), 0.25, 0.0]] * 2},
)


def test_a_record_reads_back_with_the_measures_of_both_parts(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "balanced.json")
    found = ArmRecord.read(tmp_path / "balanced.json")
    assert found.per_seed == {"map_at_r": [0.25, 0.5], "gap": [0.5, None]}
    assert found.validation == {"map_at_r": [0.125, None], "gap": [0.0, 0.75]}
    assert found.trained_labels == ["a", "b"]
    for record in (RECORD, found):
        np.testing.assert_array_equal(record.seeds_of("map_at_r"), [0.25, 0.5])
        np.testing.assert_array_equal(record.seeds_of("map_at_r", "validation"), [0.125, np.nan])
        np.testing.assert_array_equal(record.seeds_of("recall_at_1", "validation"), [np.nan] * 2)
    assert found.metrics() == {"map_at_r": 0.375, **RECORD.counts}


def test_without_validation_rows_every_measure_on_them_is_nan(tmp_path: Path) -> None:
    replace(RECORD, validation={}).write(tmp_path / "balanced.json")
    found = ArmRecord.read(tmp_path / "balanced.json")
    np.testing.assert_array_equal(found.seeds_of("map_at_r", "validation"), [np.nan] * 2)


@pytest.mark.parametrize(
    ("content", "key"), [({"split": "open"}, "arm"), ([{"split": "open"}], "split"), (3, "split")]
)
def test_a_record_that_lacks_a_key_is_named(content: object, key: str, tmp_path: Path) -> None:
    write_json(tmp_path / "balanced.json", content)
    with pytest.raises(
        UserError, match=rf"balanced\.json lacks '{key}': run the stage that writes it"
    ):
        ArmRecord.read(tmp_path / "balanced.json")


def test_a_value_that_a_class_lacks_is_nan() -> None:
    np.testing.assert_array_equal(RECORD.classes_of("cohesion")[1], [0.5, np.nan, 0.25, 0.0])


def test_a_measure_averages_over_all_rows_or_over_those_of_scarce_labels() -> None:
    record = replace(RECORD, scarce=[0, 2])
    assert record.queries("map_at_r") == 10
    assert record.queries("scarce_map_at_r") == 4


def test_a_measure_of_a_sample_has_the_queries_of_the_sample() -> None:
    of_sample = {"map_at_r_queries": [5, 5], "scarce_recall_at_1_queries": [2, 2]}
    record = replace(RECORD, per_seed={**RECORD.per_seed, **of_sample}, scarce=[0, 2])
    assert record.sampled("map_at_r") == record.queries("map_at_r") == 5
    assert record.queries("scarce_recall_at_1") == 2
    assert record.sampled("recall_at_1") is None
    assert record.queries("recall_at_1") == 10
    assert record.queries("scarce_map_at_r") == 4

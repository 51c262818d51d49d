from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures.record import ArmRecord


def record() -> ArmRecord:
    return ArmRecord(
        split="all",
        arm="triplet_balanced",
        seeds=[3, 5, 8],
        label_names=["a", "b"],
        train_rows=[7, 4],
        scarce=[1],
        unseen=[],
        counts={"train_rows": 11, "test_rows": 6, "empty_rows": 0, "leaked_rows": 2},
        per_seed={"map_at_r": [0.1, 0.2, float("nan")]},
        interval={"map_at_r": [0.15, 0.1, 0.2], "gap": [0.4, 0.3, 0.5]},
        per_class={"cohesion": [[0.5, 0.25], [0.75, float("nan")], [0.0, 1.0]]},
    )


def test_a_missing_measure_is_nan_for_every_seed() -> None:
    np.testing.assert_array_equal(record().seeds_of("map_at_r"), [0.1, 0.2, np.nan])
    np.testing.assert_array_equal(record().seeds_of("head_accuracy"), [np.nan] * 3)
    np.testing.assert_array_equal(record().classes_of("cohesion")[1], [0.75, np.nan])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record().write(tmp_path / "record.json")
    found = ArmRecord.read(tmp_path / "record.json")
    assert found.per_seed == {"map_at_r": [0.1, 0.2, None]}
    assert (found.seeds, found.counts, found.scarce) == ([3, 5, 8], dict(record().counts), [1])
    assert found.metrics() == {"map_at_r": 0.15, "gap": 0.4, **record().counts}


def test_a_record_that_lacks_a_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record().write(path)
    content = json.loads(path.read_text())
    del content["per_class"]
    for damaged in (content, [content], 3):
        path.write_text(json.dumps(damaged))
        with pytest.raises(UserError, match=r"record\.json lacks '(per_class|split)': run stage"):
            ArmRecord.read(path)

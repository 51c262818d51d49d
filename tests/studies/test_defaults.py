from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies import defaults
from studies.defaults import ALL, DEFAULTS, changes, drawn_rows
from tests.pipeline.test_stages import write_table
from textmetric.errors import UserError
from textmetric.measures import mean_interval


def test_a_change_is_compared_with_the_defaults_cell_by_cell() -> None:
    rows = [
        # the mean over draws first: +.2 in the first cell, -.1 in the second
        *[("x", "8", "wide", draw, value) for draw, value in enumerate([0.8, 0.6])],
        *[("x", "8", DEFAULTS, draw, value) for draw, value in enumerate([0.4, 0.6])],
        ("y", "8", "wide", 0, 0.5),
        ("y", "8", DEFAULTS, 0, 0.6),
        ("y", "8", DEFAULTS, 1, 0.1),  # a draw that no change has
        ("y", "8", "better", 0, 0.7),  # in one cell only
    ]
    columns = ["corpus", "rows", "change", "draw", "validation"]
    found = changes(pd.DataFrame(rows, columns=columns))
    assert list(found.index) == ["better", "wide"]
    assert found.loc["wide"].tolist() == pytest.approx([*mean_interval([0.2, -0.1]), -0.1, 0.2])
    assert found.loc["better", "mean"] == pytest.approx(0.1)


def test_rows_are_drawn_by_class_and_a_class_of_one_row_is_left_out() -> None:
    labels = pd.Series(["a"] * 10 + ["b"] * 3 + ["c"] + ["d"] * 2)
    four = drawn_rows(labels, "4", draw=0)
    assert labels.iloc[four].value_counts().to_dict() == {"a": 4, "b": 3, "d": 2}
    assert (np.diff(four) > 0).all()
    assert set(drawn_rows(labels, "2", draw=0)) < set(four)  # more rows hold the fewer
    assert list(drawn_rows(labels, ALL, draw=0)) == [*range(13), 14, 15]
    assert set(drawn_rows(labels, "4", draw=1)) != set(four)


def study(tmp_path: Path, options: str) -> str:
    given = f"--results {tmp_path}/results --out {tmp_path}/out --budgets 4 --draws 2 {options}"
    defaults.main(defaults._parser().parse_args(given.split()))
    return (tmp_path / "out" / "defaults.md").read_text()


def test_the_study_writes_changes_and_the_test_part_from_every_start(tmp_path: Path) -> None:
    write_table(tmp_path / "few.csv", "label", 150, seed=0)
    (tmp_path / "words.vec").write_text("apple 1 0 0\nbread .9 .1 0\ncar 0 1 0\ntune 0 0 1\n")
    options = f"--corpora {tmp_path}/few.csv --vectors {tmp_path}/words.vec --unlabelled"
    text = study(tmp_path, f"{options} --changes triplet")
    for start in ("the texts alone", "given vectors", "given vectors, unlabelled texts"):
        section = text.partition(f"From {start}:")[2].partition("From ")[0]
        assert section.count("| triplet | ") == 1
        assert f"- From {start}: against TF-IDF, C = 1 better in " in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| few.csv")]
    assert [row[1] for row in rows] == ["4", "all"]
    assert [" ± " in cell for cell in rows[0][2:]] == [True] * 5  # two draws
    assert rows[1][-1].strip(" |") == ""  # of all rows none is left without a label
    files = sorted((tmp_path / "results" / "defaults").iterdir())
    times = [file.stat().st_mtime_ns for file in files]
    assert study(tmp_path, f"{options} --changes triplet") == text
    assert [file.stat().st_mtime_ns for file in files] == times


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--budgets 1", "--budgets must be at least 2"),
        ("--unlabelled", "--unlabelled needs --vectors"),
        ("--changes trplet", "there is no 'trplet'; there are cross_entropy, triplet"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        study(tmp_path, f"--corpora nothing.csv {options}")

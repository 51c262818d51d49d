from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from studies import defaults
from studies.defaults import Candidate, regrets
from tests.pipeline.test_stages import write_table


def test_the_regret_is_the_distance_to_the_best_of_each_corpus_and_number_of_rows() -> None:
    rows = [
        # in the first cell a is best by .2, in the second b by .1
        *[("x", "8", "a", draw, value) for draw, value in enumerate([0.8, 0.6])],
        *[("x", "8", "b", draw, value) for draw, value in enumerate([0.4, 0.6])],
        ("y", "8", "a", 0, 0.5),
        ("y", "8", "b", 0, 0.6),
    ]
    columns = ["corpus", "rows", "candidate", "draw", "validation_accuracy"]
    found = regrets(pd.DataFrame(rows, columns=columns))
    assert list(found.index) == ["a", "b"]
    assert found.tolist() == pytest.approx([0.05, 0.1])


def test_epochs_fall_with_the_rows() -> None:
    epochs = [Candidate("triplet", 32, 0.1, 20_000).epochs(rows) for rows in (10, 1000, 10**6)]
    assert epochs == [30, 20, 4]


def test_the_study_chooses_and_writes_both_tables(tmp_path: Path) -> None:
    write_table(tmp_path / "few.csv", "label", 150, seed=0)
    write_table(tmp_path / "more.csv", "label", 120, seed=1)
    (tmp_path / "words.vec").write_text("apple 1 0 0\nbread .9 .1 0\ncar 0 1 0\ntune 0 0 1\n")
    defaults.main(
        defaults._parser().parse_args(
            f"--corpora {tmp_path}/few.csv {tmp_path}/more.csv --budgets 4 --draws 0 1 --lr 0.1 "
            f"--objectives triplet cross_entropy --widths 2 3 --seen 200 --unlabelled "
            f"--vectors {tmp_path}/words.vec --results {tmp_path}/r --out {tmp_path}/out".split()
        )
    )
    text = (tmp_path / "out" / "defaults.md").read_text()
    for title in ("Random start", "Given vectors"):
        for variant in (title, f"{title}, pre-trained"):
            section = text.partition(f"## {variant}\n")[2].partition("\n## ")[0]
            assert section.count(" wide, lr 0.1, 200 texts |") == 4  # candidates
            assert (
                section.count("| few.csv | ") == section.count("| more.csv | ") == 2
            )  # 4 rows, all

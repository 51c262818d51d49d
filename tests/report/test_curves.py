from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from textmetric.grid import Arm, Family
from textmetric.report.curves import curve_table, write_curve_tables

CLS, METRIC = (Arm(family, "shuffled") for family in Family)


def curve(loss: float, *, seeds: int = 2, epochs: int = 3) -> pd.DataFrame:
    """Seed s has the loss ``loss`` + s / epoch and the MAP@R s + epoch / 10."""
    rows = [
        (seed, epoch, loss + seed / epoch, np.nan, seed + epoch / 10)
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]
    columns = ["seed", "epoch", "loss", "active_fraction", "validation_map_at_r"]
    return pd.DataFrame(rows, columns=columns)


def test_a_table_has_the_mean_over_seeds_of_every_arm_and_epoch() -> None:
    table = curve_table({METRIC: curve(2.0), CLS: curve(1.0)})
    assert list(table.columns) == ["epoch", "arm", "loss", "validation_map_at_r"]
    assert table["arm"].tolist() == ["metric_shuffled"] * 3 + ["cls_shuffled"] * 3
    assert table["epoch"].tolist() == [1, 2, 3, 1, 2, 3]
    np.testing.assert_allclose(table["loss"][:3], [2.5, 2.25, 2 + 1 / 6])
    np.testing.assert_allclose(table["validation_map_at_r"], [0.6, 0.7, 0.8] * 2)


def test_rows_may_come_in_any_order() -> None:
    mixed = curve(1.0).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(curve_table({CLS: mixed}), curve_table({CLS: curve(1.0)}))


def test_a_seed_without_a_value_does_not_count_and_no_value_at_all_is_an_empty_cell(
    tmp_path: Path,
) -> None:
    holed = curve(1.0)
    holed.loc[(holed["epoch"] == 1) & (holed["seed"] == 0), "validation_map_at_r"] = np.nan
    holed.loc[holed["epoch"] == 2, "validation_map_at_r"] = np.nan
    write_curve_tables(tmp_path / "curves", {"target": {CLS: holed}})
    assert (tmp_path / "curves" / "target.csv").read_bytes() == (
        b"epoch,arm,loss,validation_map_at_r\n"
        b"1,cls_shuffled,1.5,1.1\n"
        b"2,cls_shuffled,1.25,\n"
        b"3,cls_shuffled,1.167,0.8\n"
    )


def test_a_change_in_the_last_bits_leaves_the_same_bytes(tmp_path: Path) -> None:
    other = curve(1.0)
    other["loss"] *= 1 + 1e-12
    write_curve_tables(tmp_path / "one", {"target": {CLS: curve(1.0)}})
    write_curve_tables(tmp_path / "other", {"target": {CLS: other}})
    files = [tmp_path / name / "target.csv" for name in ("one", "other")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_file_of_a_split_that_is_gone_goes_too(tmp_path: Path) -> None:
    write_curve_tables(tmp_path / "curves", {"old": {CLS: curve(1.0)}, "kept": {CLS: curve(1.0)}})
    write_curve_tables(tmp_path / "curves", {"kept": {CLS: curve(1.0)}, "new": {}})
    assert sorted(path.name for path in (tmp_path / "curves").iterdir()) == ["kept.csv", "new.csv"]
    assert pd.read_csv(tmp_path / "curves" / "new.csv").empty

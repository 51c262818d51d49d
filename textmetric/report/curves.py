"""plots/curves/: the learning curves as small tables, which DVC draws and compares by revision."""

from __future__ import annotations

import os
from collections.abc import Mapping

from textmetric.errors import needing

with needing("the report", "study"):
    import pandas as pd

from textmetric.files import replacing_folder
from textmetric.grid import Arm

MEASURES = ("loss", "validation_map_at_r")
"""The columns of a curve that are drawn, one panel or more each."""


def write_curve_tables(
    folder: str | os.PathLike[str], curves: Mapping[str, Mapping[Arm, pd.DataFrame]]
) -> None:
    """Write ``<split>.csv`` into ``folder``, replacing the folder.

    A file has the columns of :func:`curve_table`, a row an arm and epoch. Its numbers have four
    significant digits: more than a plot can show, and few enough that a rounding error in the
    last bit is no change for git.

    Args:
        folder: the folder to write.
        curves: split → arm → the arm's curve, as :func:`curve_table` takes it.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    with replacing_folder(folder) as temporary:
        for split, by_arm in curves.items():
            curve_table(by_arm).to_csv(
                temporary / f"{split}.csv", index=False, float_format="%.4g", lineterminator="\n"
            )


def curve_table(by_arm: Mapping[Arm, pd.DataFrame]) -> pd.DataFrame:
    """The mean curve of every arm over its seeds, below one another.

    Args:
        by_arm: arm → table with the columns seed, epoch, loss and validation_map_at_r, a row a
            seed and epoch; NaN where a seed has no value, which then does not count.

    Returns:
        Columns epoch, arm, loss, validation_map_at_r; arms in the order given, epochs rising;
        NaN where no seed has a value.
    """
    columns = ["epoch", "arm", *MEASURES]
    means = [
        curve.groupby("epoch", as_index=False)[list(MEASURES)].mean().assign(arm=arm.name)[columns]
        for arm, curve in by_arm.items()
    ]
    return pd.concat(means, ignore_index=True) if means else pd.DataFrame(columns=columns)

"""reports/costs.md: seconds and memory of every arm, the only page that no two runs share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from textmetric.files import read_json, replacing_file
from textmetric.measures import mean_interval
from textmetric.report.names import arm_title, family, sampler
from textmetric.report.tables import table


def write_costs(
    root: str | os.PathLike[str], *, cells: Mapping[str, str], arms: Sequence[str]
) -> None:
    """Write ``reports/costs.md`` from ``data/costs/<family>/<role>/<split>/<sampler>.json``.

    Args:
        root: the folder that holds ``data/`` and gets ``reports/``.
        cells: split → ``<role>/<split>``, in order.
        arms: names of the arms, in order.

    Raises:
        UserError: a file is missing or damaged.
    """
    root = Path(root)
    rows = []
    for split, cell in cells.items():
        for arm in arms:
            cost = read_json(root / "data" / "costs" / family(arm) / cell / f"{sampler(arm)}.json")
            seconds = [sum(seed["epoch_seconds"]) for seed in cost["seeds"]]
            mean, low, high = mean_interval(seconds)
            spread = "" if low != low else f" ± {(high - low) / 2:.2f}"
            peak = max(seed["peak_mib"] for seed in cost["seeds"])
            rows.append(
                [
                    split,
                    arm_title(arm),
                    f"{mean:.2f}{spread}",
                    f"{cost['stage_seconds']:.1f}",
                    f"{peak:,.0f}",
                ]
            )
    head = ["split", "arm", "training a seed (s)", "the whole stage (s)", "peak memory (MiB)"]
    text = "\n\n".join(
        [
            "# Costs",
            "Wall time of the batches of one seed (mean ± half of its 95 % interval over seeds), "
            "of the whole stage with its splits, samplers and seeds in parallel, and the largest "
            "memory of a process. Other work on the machine counts in, so compare the arms of one "
            "run only.",
            table(head, rows),
        ]
    )
    with replacing_file(root / "reports" / "costs.md") as path:
        path.write_text(text + "\n", encoding="utf-8")

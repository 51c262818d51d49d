"""reports/costs.md: seconds and memory of every arm, the only page that no two runs share."""

from __future__ import annotations

from collections.abc import Sequence

from textmetric.files import read_json, replacing_file
from textmetric.grid import Arm, Layout, Split
from textmetric.measures import mean_interval
from textmetric.report.formats import plain, table
from textmetric.report.names import arm_title


def write_costs(layout: Layout, *, splits: Sequence[Split], arms: Sequence[Arm]) -> None:
    """Write ``reports/costs.md`` from the costs that the trainings left.

    Args:
        layout: where everything is.
        splits: in order.
        arms: in order.

    Raises:
        UserError: a file is missing or damaged.
    """
    rows = []
    for split in splits:
        for arm in arms:
            cost = read_json(layout.cost(arm, split))
            # Only a run with pre-training has its seconds.
            seconds = [
                sum(seed["epoch_seconds"] + seed.get("pretraining_seconds", []))
                for seed in cost["seeds"]
            ]
            mean, low, high = mean_interval(seconds)
            spread = "" if low != low else f" ± {(high - low) / 2:.2f}"
            peak = max(seed["peak_mib"] for seed in cost["seeds"])
            rows.append(
                [
                    plain(split.name),
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
    with replacing_file(layout.cost_table) as path:
        path.write_text(text + "\n", encoding="utf-8")

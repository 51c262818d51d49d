"""Tabulate the seconds and the memory of every arm.

Reads data/costs/, data/splits/<role>/splits.json and arms of params.yaml; writes
reports/costs.md. Nothing else may depend on these: they differ from run to run.

Example: python -m stages.costs
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.grid import Layout
from textmetric.params import Params
from textmetric.report.cost_table import write_costs
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the cost table."""
    layout = Layout()
    write_costs(layout, splits=list(read_entries(layout)), arms=params.arms)


if __name__ == "__main__":
    stage.run(main, "stages.costs")

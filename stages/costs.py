"""Tabulate the seconds and the memory of every arm.

Reads data/costs/, data/splits/<role>/splits.json and arms of params.yaml; writes
reports/costs.md. Nothing else may depend on these: they differ from run to run.

Example: python -m stages.costs
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.report.costs import write_costs
from textmetric.splits import cells, read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the cost table."""
    write_costs(".", cells=cells(read_entries()), arms=params.arms)


if __name__ == "__main__":
    command.run(main, "stages.costs")

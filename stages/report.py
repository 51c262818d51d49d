"""Put every table and picture of the last run into one Markdown file.

Reads data/raw/*/summary.json, data/objectives/, data/measures/, data/curves/, data/finetune/ and
splits, arms of params.yaml; writes reports/results.md and reports/figures/.

Example: python -m stages.report
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.report.results import write_results


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the report."""
    splits = {name: entry.role for name, entry in params.splits.items()}
    write_results(".", splits=splits, arms=params.arms)


if __name__ == "__main__":
    command.run(main, "stages.report")

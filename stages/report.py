"""Put every table and picture of the last run into one Markdown file.

Reads data/raw/*/summary.json, data/objectives/, data/measures/, data/curves/, data/finetune/,
data/tsne/, data/splits/<role>/splits.json and arms, samplers, train of params.yaml; writes
reports/results.md, reports/figures/ and plots/curves/.

Example: python -m stages.report
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.report.curves import write_curve_tables
from textmetric.report.results import write_results
from textmetric.report.study import read_study
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the report."""
    study = read_study(
        ".",
        splits=read_entries(),
        arms=params.arms,
        samplers=params.samplers,
        train=params.train,
    )
    write_results(".", study, progress=command.INTERACTIVE)
    write_curve_tables("plots/curves", study.curves)


if __name__ == "__main__":
    command.run(main, "stages.report")

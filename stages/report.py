"""Put every table and picture of the last run into one Markdown file.

Reads data/raw/*/summary.json, data/objectives/, data/measures/, data/curves/, data/finetune/,
data/tsne/, data/tokens/, data/splits/<role>/splits.json and arms, samplers, train, model, pretrain
of params.yaml; writes reports/results.md, reports/figures/, plots/curves/ and plots/tsne/.

Example: python -m stages.report
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Layout
from textmetric.params import Params
from textmetric.report.curves import write_curve_tables
from textmetric.report.document import build_document
from textmetric.report.markdown import write_markdown
from textmetric.report.pictures import draw_pictures
from textmetric.report.study import read_study
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the report."""
    layout = Layout()
    study = read_study(
        layout,
        splits=read_entries(layout),
        arms=params.arms,
        samplers=params.samplers,
        train=params.train,
        model=params.model,
        pretrain=params.pretrain,
    )
    draw_pictures(layout, study, progress=INTERACTIVE)
    write_markdown(layout.results, build_document(study), folder="reports")
    write_curve_tables(layout.curve_tables, study.curves)


if __name__ == "__main__":
    stage.run(main, "stages.report")

"""Put the report into one interactive HTML page that needs no network.

Reads what stages.report reads, plots/tsne/, reports/figures/, and for the texts of the maps
data/raw/<role>/corpus.parquet; arms, samplers, train, model, pretrain of params.yaml; writes
plots/report.html.

Example: python -m stages.page
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.grid import Layout
from textmetric.params import Params
from textmetric.report.document import build_document
from textmetric.report.page import read_split_maps, write_page
from textmetric.report.study import read_study
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the page."""
    layout = Layout()
    splits = read_entries(layout)
    study = read_study(
        layout,
        splits=splits,
        arms=params.arms,
        samplers=params.samplers,
        train=params.train,
        model=params.model,
        pretrain=params.pretrain,
    )
    maps = read_split_maps(layout, study, list(splits))
    write_page(layout.page, build_document(study, folder="plots"), maps, root=layout.root)


if __name__ == "__main__":
    stage.run(main, "stages.page")

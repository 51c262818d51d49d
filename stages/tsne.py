"""Project the test embeddings of a family to the plane by t-SNE.

A map shows the embeddings of the first tsne.seeds seeds, of a stratified sample of the test part.
If several labels are scarce, a second map shows the rows of these labels alone, of the first seed.
Reads data/embeddings/<family>/, data/splits/ and arms, seeds, tsne of params.yaml; writes
data/tsne/<family>/<role>/<split>.npz.

Example: python -m stages.tsne --family metric
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Family, Layout
from textmetric.params import Params
from textmetric.pipeline.project_splits import project_splits
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Project every split."""
    layout, family = Layout(), Family.parse(arguments.family)
    project_splits(
        layout,
        family,
        splits=list(read_entries(layout)),
        arms=params.arms_of(family),
        seeds=params.seeds,
        settings=params.tsne,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.tsne", family="cls or metric")

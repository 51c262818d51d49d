"""Project the test embeddings of every split and arm to the plane by t-SNE, and draw them.

The embeddings of the first tsne.seeds seeds, of a stratified sample of the test set; and, where
several labels are scarce, of the rows of these alone with the first seed. Draws the first. Reads
data/embeddings/, data/splits/ and arms, seeds, tsne of params.yaml; writes
data/tsne/<split>.npz and plots/tsne/<split>.png.

Example: python -m stages.tsne
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.pipeline.project import map_splits
from textmetric.splits import cells, read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Project and draw every split."""
    map_splits(
        "data/embeddings",
        "data/splits",
        "data/tsne",
        "plots/tsne",
        cells=cells(read_entries()),
        arms=params.arms,
        seeds=params.seeds,
        settings=params.tsne,
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(main, "stages.tsne")

"""Project the test embeddings of every arm of a split to the plane by t-SNE, and draw them.

One seed's embeddings (the first of seeds) of a stratified sample of the test set. Reads
data/embeddings/<split>/, data/splits/<split>/ and arms, seeds, tsne of params.yaml; writes
data/tsne/<split>.npz and plots/tsne/<split>.png.

Example: python -m stages.tsne --split target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.projection import project_split


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Project and draw ``--split``."""
    project_split(
        f"data/embeddings/{arguments.split}",
        f"data/splits/{arguments.split}",
        f"data/tsne/{arguments.split}.npz",
        f"plots/tsne/{arguments.split}.png",
        name=arguments.split,
        arms=params.arms,
        seed_of_model=params.seeds[0],
        points=params.tsne.points,
        perplexity=params.tsne.perplexity,
        seed=params.tsne.seed,
    )


if __name__ == "__main__":
    command.run(main, "stages.tsne", split="an entry of splits, such as target")

"""Project the test embeddings of every arm of a split to the plane by t-SNE, and draw them.

One seed's embeddings (the first of seeds) of a stratified sample of the test set. Reads
data/embeddings/<split>/, data/splits/<split>/labels.json and arms, seeds, tsne of params.yaml;
writes data/tsne/<split>.npz and plots/tsne/<split>.png.

Example: python -m stages.tsne --split target
"""

from __future__ import annotations

import argparse

import numpy as np

from stages import command
from textmetric.arrays import read_arrays, write_arrays
from textmetric.figures import tsne_panels
from textmetric.files import read_json
from textmetric.params import Params
from textmetric.projection import sample_rows, tsne_arms


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Project and draw ``--split``."""
    split, settings = arguments.split, params.tsne
    about = read_json(f"data/splits/{split}/labels.json")
    arms = {arm: read_arrays(f"data/embeddings/{split}/{arm}.npz") for arm in params.arms}
    labels = arms[params.arms[0]]["labels"]
    rows = sample_rows(labels, settings.points, settings.seed, keep=about["scarce"])
    coordinates = tsne_arms(
        [arrays["embeddings"][0][rows] for arrays in arms.values()],
        perplexity=settings.perplexity,
        seed=settings.seed,
        label=f"tsne {split}",
        progress=command.INTERACTIVE,
    )
    write_arrays(
        f"data/tsne/{split}.npz",
        coordinates=np.stack(coordinates),
        rows=rows,
        labels=labels[rows],
    )
    tsne_panels(
        f"plots/tsne/{split}.png",
        dict(zip(params.arms, coordinates, strict=True)),
        labels[rows],
        about["names"],
        about["scarce"],
    )


if __name__ == "__main__":
    command.run(main, "stages.tsne", split="an entry of splits, such as target")

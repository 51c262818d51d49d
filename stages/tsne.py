"""Project the test embeddings of every arm of a split to the plane by t-SNE, and draw them.

The embeddings of the first tsne.seeds seeds, of a stratified sample of the test set; and, where
several labels are scarce, of the rows of these alone with the first seed. Draws the first. Reads
data/embeddings/<split>/, data/splits/<split>/labels.json and arms, tsne of params.yaml;
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
from textmetric.projection import sample_rows, scarce_rows, tsne_arms
from textmetric.report.names import side_by_side


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Project and draw ``--split``."""
    split, settings = arguments.split, params.tsne
    about = read_json(f"data/splits/{split}/labels.json")
    arms = {arm: read_arrays(f"data/embeddings/{split}/{arm}.npz") for arm in params.arms}
    labels = arms[params.arms[0]]["labels"]
    rows = sample_rows(labels, settings.points, settings.seed, keep=about["scarce"])
    rare = scarce_rows(labels, about["scarce"])
    rare = rare[sample_rows(labels[rare], settings.points, settings.seed)]
    seeds = arms[params.arms[0]]["seeds"][: settings.seeds]
    coordinates = tsne_arms(
        [
            *(
                arrays["embeddings"][place][rows]
                for arrays in arms.values()
                for place in range(len(seeds))
            ),
            *(arrays["embeddings"][0][rare] for arrays in arms.values()),
        ],
        perplexity=settings.perplexity,
        seed=settings.seed,
        label=f"tsne {split}",
        progress=command.INTERACTIVE,
    )
    of_sample = np.stack(coordinates[: len(arms) * len(seeds)])
    of_sample = of_sample.reshape(len(arms), len(seeds), len(rows), 2)
    write_arrays(
        f"data/tsne/{split}.npz",
        coordinates=of_sample,
        rows=rows,
        labels=labels[rows],
        seeds=seeds,
        scarce_coordinates=np.stack(coordinates[len(arms) * len(seeds) :]),
        scarce_labels=labels[rare],
    )
    tsne_panels(
        f"plots/tsne/{split}.png",
        {arm: of_sample[params.arms.index(arm), 0] for arm in side_by_side(params.arms)},
        labels[rows],
        about["names"],
        about["scarce"],
    )


if __name__ == "__main__":
    command.run(main, "stages.tsne", split="an entry of splits, such as target")

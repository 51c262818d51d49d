"""Embed and classify the test set of every split with every model of a family.

Reads data/splits/, models/<family>/ and arms, seeds, evaluate of params.yaml; writes
data/embeddings/<family>/<split>/<sampler>/seed-<seed>.npz.

Example: python -m stages.embed --family metric
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.pipeline.train import embed_models
from textmetric.splits import cells, read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the embeddings of ``--family``."""
    embed_models(
        "data/splits",
        f"models/{arguments.family}",
        f"data/embeddings/{arguments.family}",
        cells=cells(read_entries()),
        samplers=params.samplers_of(arguments.family),
        seeds=params.seeds,
        neighbours=params.evaluate.neighbours,
        label=f"embed {arguments.family}",
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(main, "stages.embed", family="cls or metric")

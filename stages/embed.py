"""Embed and classify the test set with every arm and seed of a split.

Reads data/splits/<split>/, models/<split>/ and arms, seeds, evaluate of params.yaml; writes
data/embeddings/<split>/<arm>.npz.

Example: python -m stages.embed --split target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.arm import embed_arms
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the embeddings of ``--split``."""
    embed_arms(
        f"data/splits/{arguments.split}",
        f"models/{arguments.split}",
        f"data/embeddings/{arguments.split}",
        arms=params.arms,
        seeds=params.seeds,
        neighbours=params.evaluate.neighbours,
        label=f"embed {arguments.split}",
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(main, "stages.embed", split="an entry of splits, such as target")

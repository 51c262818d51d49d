"""Train the encoder by a classification objective, one model a seed.

Reads data/splits/<split>/ and classification, model, train, seeds of params.yaml; writes
models/<split>/cls_<sampler>/, data/curves/<split>/cls_<sampler>.csv and
data/costs/<split>/cls_<sampler>.json.

Example: python -m stages.train_cls --split target --sampler balanced
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.arm import train_arm
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arm cls_<sampler> on ``--split``."""
    cell = f"{arguments.split}/cls_{arguments.sampler}"
    train_arm(
        f"data/splits/{arguments.split}",
        f"models/{cell}",
        f"data/curves/{cell}.csv",
        f"data/costs/{cell}.json",
        family="classification",
        objective=params.classification,
        sampler=arguments.sampler,
        seeds=params.seeds,
        model=params.model,
        settings=params.train,
        label=f"train {cell}",
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(
        main, "stages.train_cls", split="an entry of splits", sampler="shuffled or balanced"
    )

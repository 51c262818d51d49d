"""Train the encoder by a classification objective, one model a seed.

Reads data/splits/<split>/ and classification, model, train, samplers, seeds of params.yaml; writes
models/cls/<split>/<sampler>/, data/curves/cls/<split>/ and data/costs/cls/<split>/.

Example: python -m stages.train_cls --split target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.arm import train_arms
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arms cls_<sampler> on ``--split``."""
    cell = f"cls/{arguments.split}"
    train_arms(
        f"data/splits/{arguments.split}",
        f"models/{cell}",
        f"data/curves/{cell}",
        f"data/costs/{cell}",
        family="classification",
        objective=params.classification,
        samplers=params.samplers,
        seeds=params.seeds,
        model=params.model,
        settings=params.train,
        label=f"train {cell}",
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(main, "stages.train_cls", split="an entry of splits")

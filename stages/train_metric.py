"""Train the encoder by a metric-learning objective, one model a seed.

Reads data/splits/<split>/ and loss, model, train, samplers, seeds of params.yaml; writes
models/metric/<split>/<sampler>/, data/curves/metric/<split>/ and data/costs/metric/<split>/.

Example: python -m stages.train_metric --split target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.arm import train_arms
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arms metric_<sampler> on ``--split``."""
    cell = f"metric/{arguments.split}"
    train_arms(
        f"data/splits/{arguments.split}",
        f"models/{cell}",
        f"data/curves/{cell}",
        f"data/costs/{cell}",
        family="metric",
        objective=params.loss,
        samplers=params.samplers,
        seeds=params.seeds,
        model=params.model,
        settings=params.train,
        label=f"train {cell}",
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(main, "stages.train_metric", split="an entry of splits")

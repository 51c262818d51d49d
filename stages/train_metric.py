"""Train the encoder by a metric-learning objective, one model a seed.

Reads data/splits/<split>/ and loss, model, train, seeds of params.yaml; writes
models/<split>/metric_<sampler>/, data/curves/<split>/metric_<sampler>.csv and
data/costs/<split>/metric_<sampler>.json.

Example: python -m stages.train_metric --split target --sampler balanced
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.arm import train_arm
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arm metric_<sampler> on ``--split``."""
    cell = f"{arguments.split}/metric_{arguments.sampler}"
    train_arm(
        f"data/splits/{arguments.split}",
        f"models/{cell}",
        f"data/curves/{cell}.csv",
        f"data/costs/{cell}.json",
        family="metric",
        objective=params.loss,
        sampler=arguments.sampler,
        seeds=params.seeds,
        model=params.model,
        settings=params.train,
        label=f"train {cell}",
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(
        main, "stages.train_metric", split="an entry of splits", sampler="shuffled or balanced"
    )

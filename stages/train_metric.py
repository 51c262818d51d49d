"""Train the encoder by a metric-learning objective, one model a split, sampler and seed.

Reads data/splits/<role>/ and loss, model, train, samplers, seeds of params.yaml; writes
models/metric/<role>/<split>/<sampler>/seed-<seed>/ and, below data/curves/metric/ and
data/costs/metric/, <role>/<split>/<sampler>.csv and .json.

Example: python -m stages.train_metric --role target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params, known_role
from textmetric.pipeline.train import train_arms
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arms metric_<sampler> on every split of ``--role``."""
    cell = f"metric/{arguments.role}"
    train_arms(
        f"data/splits/{arguments.role}",
        f"models/{cell}",
        f"data/curves/{cell}",
        f"data/costs/{cell}",
        names=list(read_entries(roles=[known_role(arguments.role)])),
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
    command.run(main, "stages.train_metric", role="target or source")

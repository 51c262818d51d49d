"""Train the encoder by a classification objective, one model a split, sampler and seed.

Reads data/splits/<role>/ and classification, model, train, samplers, seeds of params.yaml; writes
models/cls/<role>/<split>/<sampler>/seed-<seed>/ and, below data/curves/cls/ and
data/costs/cls/, <role>/<split>/<sampler>.csv and .json.

Example: python -m stages.train_cls --role target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params, known_role
from textmetric.pipeline.train import train_arms
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arms cls_<sampler> on every split of ``--role``."""
    cell = f"cls/{arguments.role}"
    train_arms(
        f"data/splits/{arguments.role}",
        f"models/{cell}",
        f"data/curves/{cell}",
        f"data/costs/{cell}",
        names=list(read_entries(roles=[known_role(arguments.role)])),
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
    command.run(main, "stages.train_cls", role="target or source")

"""Train the encoder by the objective of a family, one model a split, sampler and seed.

The stages train_cls and train_metric of dvc.yaml. Reads data/splits/<role>/, data/vectors/ or
data/encoded/ if the encoder is given vectors, and model, train, pretrain, samplers, seeds,
data.min_freq and data.max_size of params.yaml, and classification (cls) or loss (metric); writes
models/<family>/<role>/<split>/<sampler>/seed-<seed>/ and, below data/curves/<family>/ and
data/costs/<family>/, <role>/<split>/<sampler>.csv and .json.

Example: python -m stages.train --family metric --role target
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Family, Layout, known_role
from textmetric.params import Params
from textmetric.pipeline.train_arms import train_arms
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train the arms of ``--family`` on every split of ``--role``."""
    layout, family, role = Layout(), Family.parse(arguments.family), known_role(arguments.role)
    train_arms(
        layout,
        family,
        role,
        splits=list(read_entries(layout, [role])),
        objective=params.objective(family),
        samplers=params.samplers,
        seeds=params.seeds,
        model=params.model,
        settings=params.train,
        pretrain=params.pretrain,
        min_freq=params.data.min_freq,
        max_size=params.data.max_size,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.train", family="cls or metric", role="target or source")

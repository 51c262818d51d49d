"""Embed and classify the test and validation parts of every split with every model of a family.

Reads data/splits/, models/<family>/, data/encoded/ if their encoder is frozen, and arms, seeds,
evaluate of params.yaml; writes
data/embeddings/<family>/<role>/<split>/<sampler>/seed-<seed>.npz.

Example: python -m stages.embed --family metric
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Family, Layout
from textmetric.params import Params
from textmetric.pipeline.embed_models import embed_models
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the embeddings of ``--family``."""
    layout, family = Layout(), Family.parse(arguments.family)
    embed_models(
        layout,
        family,
        splits=list(read_entries(layout)),
        arms=params.arms_of(family),
        seeds=params.seeds,
        neighbours=params.evaluate.neighbours,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.embed", family="cls or metric")

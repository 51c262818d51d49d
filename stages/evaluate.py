"""Measure the embeddings of a family: accuracy, cohesion, separation, retrieval.

Reads data/embeddings/<family>/, data/splits/ and arms, seeds of params.yaml; writes the means over
seeds on the test part to metrics/<family>/<role>/<split>/<sampler>.json, and the values of every
seed and class, with intervals, and of every seed on the validation part to
data/measures/<family>/<role>/<split>/<sampler>.json.

Example: python -m stages.evaluate --family metric
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Family, Layout
from textmetric.params import Params
from textmetric.pipeline.measure_arms import measure_arms
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Measure the arms of ``--family`` on every split."""
    layout, family = Layout(), Family.parse(arguments.family)
    measure_arms(
        layout,
        family,
        splits=list(read_entries(layout)),
        arms=params.arms_of(family),
        seeds=params.seeds,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.evaluate", family="cls or metric")

"""Measure what the arms are compared with: TF-IDF with logistic regression, the untrained encoder.

Reads data/splits/ and seeds, model, evaluate, finetune.shares of params.yaml; writes
data/measures/baselines/<role>/<split>/<baseline>.json as those of the arms, and the accuracy of
TF-IDF on shares of the target's train rows to data/measures/baselines/transfer.csv.

Example: python -m stages.baselines
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Layout
from textmetric.params import Params
from textmetric.pipeline.measure_baselines import measure_baselines
from textmetric.splits import read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Measure the baselines on every split."""
    layout = Layout()
    measure_baselines(
        layout,
        splits=list(read_entries(layout)),
        seeds=params.seeds,
        model=params.model,
        neighbours=params.evaluate.neighbours,
        shares=params.finetune.shares,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.baselines")

"""Transfer: train a classifier of the target, starting from a model of the source or from scratch.

Reads data/splits/target/target/, models/<init>/source/source/<finetune.sampler>/ (except for
scratch), data/vectors/ or data/encoded/ if the encoder is given vectors, and finetune, model,
train, seeds of params.yaml; writes data/finetune/<init>.csv.

Example: python -m stages.finetune --init metric
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.errors import unknown_name
from textmetric.grid import INITS, Layout
from textmetric.params import Params
from textmetric.pipeline.finetune_seeds import finetune_seeds


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Fine-tune from ``--init``: frozen and not, every head, every share, every seed."""
    if arguments.init not in INITS:
        raise unknown_name("init", arguments.init, INITS)
    finetune_seeds(
        Layout(),
        arguments.init,
        seeds=params.seeds,
        settings=params.finetune,
        model=params.model,
        train=params.train,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.finetune", init="cls, metric or scratch")

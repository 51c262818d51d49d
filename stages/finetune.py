"""Transfer: train a classifier of the target on embeddings learnt on the source, or from scratch.

Reads data/splits/target/target/, models/<init>/source/source/<finetune.sampler>/ (but for scratch)
and finetune, model, train, seeds of params.yaml; writes data/finetune/<init>.csv.

Example: python -m stages.finetune --init metric
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.training.finetuning import finetune_seeds


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Fine-tune from ``--init``: frozen and not, every head, every share, every seed."""
    finetune_seeds(
        "data/splits/target/target",
        f"models/{arguments.init}/source/source/{params.finetune.sampler}",
        f"data/finetune/{arguments.init}.csv",
        init=arguments.init,
        seeds=params.seeds,
        settings=params.finetune,
        model=params.model,
        train=params.train,
        progress=command.INTERACTIVE,
    )


if __name__ == "__main__":
    command.run(main, "stages.finetune", init="cls, metric or scratch")

"""Check the objectives of params.yaml, and record the code that each stage runs.

A stage depends on its own file in data/code/, so it runs again when code that it uses changes,
and not when other code does: editing one objective runs the trainings that use it. A mistake in
the parameters of an objective is told here, before anything is trained.

Reads classification and loss of params.yaml; writes data/code/<stage>.json and
data/objectives/{classification,metric}.json.

Example: python -m stages.code
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages import command
from textmetric.corpora import BUILT_IN
from textmetric.files import replacing_folder, write_json
from textmetric.losses import describe, module_of
from textmetric.params import Params
from textmetric.provenance import code_of

ROOT = Path(__file__).parents[1]
STAGES = [
    "download",
    "tokenize",
    "split",
    "train_cls",
    "train_metric",
    "embed",
    "evaluate",
    "tsne",
    "finetune",
    "report",
    "page",
    "costs",
]


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write what the other stages depend on."""
    classification = module_of("classification", params.classification)
    metric = module_of("metric", params.loss)
    # what a stage imports by a name made at run time
    chosen = {
        "download": [f"textmetric.corpora.{name}" for name in BUILT_IN],
        "train_cls": [classification],
        "train_metric": [metric],
        "embed": [classification],  # the head of a loaded model
        "finetune": [classification],
    }
    with replacing_folder("data/objectives") as folder:
        write_json(
            folder / "classification.json", describe("classification", params.classification)
        )
        write_json(folder / "metric.json", describe("metric", params.loss))
    with replacing_folder("data/code") as folder:
        for name in STAGES:
            write_json(
                folder / f"{name}.json", code_of([f"stages.{name}", *chosen.get(name, [])], ROOT)
            )


if __name__ == "__main__":
    command.run(main, "stages.code")

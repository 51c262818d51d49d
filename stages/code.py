"""Check the objectives of params.yaml, and record the code that each stage runs.

A stage depends on its own file in data/code/, so it runs again when code that it uses changes,
and not when other code does: editing one objective runs the trainings that use it. A mistake in
the parameters of an objective is told here, before anything is trained, and so is which of the
given parameters the objective does not have, and which are not at its defaults.

Reads classification and loss of params.yaml; writes data/code/<stage>.json and
data/objectives/{classification,metric}.json.

Example: python -m stages.code
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages import command
from textmetric.corpora import BUILT_IN
from textmetric.files import replacing_folder, write_json
from textmetric.losses import BLOCKS, Family, carried_over, describe, ignored, module_of
from textmetric.params import Params
from textmetric.pipeline.fingerprint import code_of

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
    for note in [*_notes("classification", params.classification), *_notes("metric", params.loss)]:
        print(note)
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


def _notes(family: Family, given: Mapping[str, Any]) -> Iterator[str]:
    """What a change of the name alone has done to the parameters below it."""
    block, name = BLOCKS[family], given["name"]
    for key, (value, default) in carried_over(family, given).items():
        usual = "it has no default" if default is None else f"the default of {name} is {default!r}"
        yield f"{block}.{key} is {value!r} as given; {usual}"
    for key in ignored(family, given):
        yield f"{block}.{key} is ignored: {name} has no such parameter"


if __name__ == "__main__":
    command.run(main, "stages.code")

"""Record the code that each stage of dvc.yaml runs, one small file a stage.

A stage depends on its own file in data/code/. It runs again when code that it uses changes, and
not when other code does: editing one objective runs the trainings that use it.

Reads dvc.yaml, the code, and classification, loss and pretrain of params.yaml; writes
data/code/<stage>.json.

Example: python -m stages.fingerprint
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages import stage
from textmetric.corpora import BUILT_IN
from textmetric.files import replacing_folder, write_json
from textmetric.grid import Family, Layout
from textmetric.losses import module_of
from textmetric.params import Params
from textmetric.pipeline.stage_code import code_of, commands_of

ROOT = Path(__file__).parents[1]
ITSELF = "fingerprint"


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the fingerprint of every other stage."""
    layout = Layout()
    with replacing_folder(layout.code) as folder:
        for name, words in commands_of(ROOT / "dvc.yaml").items():
            if name != ITSELF:
                modules = [words[0], *imported_by_name(words, params)]
                write_json(folder / f"{name}.json", code_of(modules, ROOT))


def imported_by_name(words: list[str], params: Params) -> list[str]:
    """The modules that a stage imports by a name that is known only when it runs.

    Args:
        words: of the stage's command, the module first.
        params: params.yaml.
    """
    classification = module_of(Family.CLASSIFICATION, params.classification)
    if words[0] == "stages.download":
        return [f"textmetric.corpora.{name}" for name in BUILT_IN]
    if words[0] == "stages.train":
        family = Family.parse(words[words.index("--family") + 1])
        modules = [module_of(family, params.objective(family))]
        if params.pretrain is not None:
            modules.append(module_of(Family.METRIC, {"name": params.pretrain.objective}))
        return modules
    if words[0] in ("stages.embed", "stages.finetune"):
        return [classification]  # the head of a model that is loaded
    return []


if __name__ == "__main__":
    stage.run(main, "stages.fingerprint")

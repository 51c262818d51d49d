"""Check the objectives of params.yaml and fill in their defaults.

A mistake in the parameters of an objective ends the pipeline here, before anything is trained.
Prints which of the given parameters the objective does not have, and which are not at its
defaults.

Reads classification, loss, pretrain and model.encoder of params.yaml; writes
data/objectives/{classification,metric}.json, and pretrain.json if pretrain is given.

Example: python -m stages.objectives
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from stages import stage
from textmetric.files import replacing_folder, write_json
from textmetric.grid import Family, Layout, moved
from textmetric.losses import (
    carried_over,
    class_of,
    describe,
    ignored,
    label_free,
    refuse_frozen,
)
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the objective of each family."""
    layout = Layout()
    objectives = {
        Family.CLASSIFICATION: params.classification,
        Family.METRIC: params.loss,
    }
    for family, objective in objectives.items():
        for note in _notes(family, objective):
            print(note)
        if params.model.encoder == "frozen":
            refuse_frozen(class_of(objective["name"]), objective["name"])
    pretrain = params.pretrain
    before = {} if pretrain is None else label_free(pretrain.objective, pretrain.parameters)
    with replacing_folder(layout.objectives) as folder:
        for family, objective in objectives.items():
            path = moved(layout.objective(family), layout.objectives, folder)
            write_json(path, describe(family, objective))
        if pretrain is not None:
            path = moved(layout.pretraining, layout.objectives, folder)
            about = pretrain.model_dump(exclude={"objective", "parameters"})
            write_json(path, describe(Family.METRIC, before) | about)


def _notes(family: Family, given: Mapping[str, Any]) -> Iterator[str]:
    """What a change of the name alone has done to the parameters below it."""
    section, name = family.section, given["name"]
    for key, (value, default) in carried_over(family, given).items():
        usual = "it has no default" if default is None else f"the default of {name} is {default!r}"
        yield f"{section}.{key} is {value!r} as given; {usual}"
    for key in ignored(family, given):
        yield f"{section}.{key} is ignored: {name} has no such parameter"


if __name__ == "__main__":
    stage.run(main, "stages.objectives")

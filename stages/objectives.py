"""Check both objectives, and record their parameters and the hash of their code.

The trainings depend on what this writes and not on the folder of all objectives, so a mistake in
params.yaml is told before anything is trained, and editing one objective runs the trainings
again that use it, and no others.

Reads classification and loss of params.yaml; writes data/objectives/{classification,metric}.json.

Example: python -m stages.objectives
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.files import write_json
from textmetric.losses import describe
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write what each family's trainings depend on."""
    found = {
        "classification": describe("classification", params.classification),
        "metric": describe("metric", params.loss),
    }
    for family, description in found.items():
        write_json(f"data/objectives/{family}.json", description)


if __name__ == "__main__":
    command.run(main, "stages.objectives")

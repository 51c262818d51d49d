"""Measure the embeddings of every arm: accuracy, cohesion, separation, retrieval.

Reads data/embeddings/<split>/, data/splits/<split>/ and arms of params.yaml; writes the means over
seeds to metrics/<split>/<arm>.json, and every seed's and class's value with intervals to
data/measures/<split>/<arm>.json.

Example: python -m stages.evaluate --split target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.files import replacing_folder, write_json
from textmetric.measures.arm import measure_arms
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Measure the arms of ``--split``."""
    records = measure_arms(
        f"data/embeddings/{arguments.split}",
        f"data/splits/{arguments.split}",
        name=arguments.split,
        arms=params.arms,
        progress=command.INTERACTIVE,
    )
    with (
        replacing_folder(f"data/measures/{arguments.split}") as measures,
        replacing_folder(f"metrics/{arguments.split}") as metrics,
    ):
        for arm, record in records.items():
            write_json(measures / f"{arm}.json", record)
            means = {key: interval[0] for key, interval in record["interval"].items()}
            write_json(metrics / f"{arm}.json", means | record["counts"])


if __name__ == "__main__":
    command.run(main, "stages.evaluate", split="an entry of splits")

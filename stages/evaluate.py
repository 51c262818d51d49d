"""Measure the embeddings of one arm: accuracy, cohesion, separation, retrieval.

Reads data/embeddings/<split>/<arm>.npz and data/splits/<split>/; writes the means over seeds to
metrics/<split>/<arm>.json, and every seed's and class's value with intervals to
data/measures/<split>/<arm>.json.

Example: python -m stages.evaluate --split target --arm metric_balanced
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.files import write_json
from textmetric.measures.arm import measure_arm
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Measure ``--arm`` of ``--split``."""
    cell = f"{arguments.split}/{arguments.arm}"
    record = measure_arm(
        f"data/embeddings/{cell}.npz",
        f"data/splits/{arguments.split}",
        name=arguments.split,
        arm=arguments.arm,
        progress=command.INTERACTIVE,
    )
    write_json(f"data/measures/{cell}.json", record)
    means = {key: interval[0] for key, interval in record["interval"].items()}
    write_json(f"metrics/{cell}.json", means | record["counts"])


if __name__ == "__main__":
    command.run(main, "stages.evaluate", split="an entry of splits", arm="an entry of arms")

"""Measure the embeddings of every split and arm: accuracy, cohesion, separation, retrieval.

Reads data/embeddings/, data/splits/ and arms, seeds of params.yaml; writes the means over
seeds to metrics/<split>/<arm>.json, and every seed's and class's value with intervals to
data/measures/<split>/<arm>.json.

Example: python -m stages.evaluate
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.files import replacing_folder, write_json
from textmetric.params import Params
from textmetric.pipeline.measure import measure_arms
from textmetric.splits import cells, read_entries


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Measure every arm of every split."""
    records = measure_arms(
        "data/embeddings",
        "data/splits",
        cells=cells(read_entries()),
        arms=params.arms,
        seeds=params.seeds,
        progress=command.INTERACTIVE,
    )
    with replacing_folder("data/measures") as measures, replacing_folder("metrics") as metrics:
        for (split, arm), record in records.items():
            write_json(measures / split / f"{arm}.json", record)
            means = {key: interval[0] for key, interval in record["interval"].items()}
            write_json(metrics / split / f"{arm}.json", means | record["counts"])


if __name__ == "__main__":
    command.run(main, "stages.evaluate")

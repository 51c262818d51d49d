"""Read or distil the token vectors that the encoders start from; does nothing if none are given.

Reads model.vectors, model.dim, model.layer, data.max_size of params.yaml, and the file or model
that model.vectors names; writes data/vectors/.

Example: python -m stages.vectors
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import Layout
from textmetric.params import Params
from textmetric.pipeline.write_vectors import write_vectors


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the given token vectors."""
    write_vectors(Layout(), params.model, max_size=params.data.max_size, progress=INTERACTIVE)


if __name__ == "__main__":
    stage.run(main, "stages.vectors")

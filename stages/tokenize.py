"""Tokenise the corpus of every role: the vocabulary of its train part, and the ids of all texts.

Reads data/raw/<role>/corpus.parquet and data.min_freq, data.max_size of params.yaml; writes
data/tokens/<role>/.

Example: python -m stages.tokenize
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.files import replacing_folder
from textmetric.grid import ROLES, Layout
from textmetric.params import Params
from textmetric.text import tokenize_file


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the tokens of each role."""
    layout = Layout()
    with replacing_folder(layout.tokens) as folder:
        for role in ROLES:
            corpus = tokenize_file(
                layout.corpus(role),
                min_freq=params.data.min_freq,
                max_size=params.data.max_size,
                progress=INTERACTIVE,
            )
            corpus.save(folder / role)


if __name__ == "__main__":
    stage.run(main, "stages.tokenize")

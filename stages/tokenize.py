"""Tokenise the corpus of a role; the vocabulary comes from its train part only.

Reads data/raw/<role>/ and data.min_freq, data.max_size of params.yaml; writes data/tokens/<role>/.

Example: python -m stages.tokenize --role target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.params import Params
from textmetric.text import tokenize_file


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the tokens of ``--role``."""
    corpus = tokenize_file(
        f"data/raw/{arguments.role}/corpus.parquet",
        min_freq=params.data.min_freq,
        max_size=params.data.max_size,
        progress=command.INTERACTIVE,
    )
    corpus.save(f"data/tokens/{arguments.role}")


if __name__ == "__main__":
    command.run(main, "stages.tokenize", role="target or source")

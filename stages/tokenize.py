"""Tokenise the corpus of a role; the vocabulary comes from its train part only.

Reads data/raw/<role>/ and data.min_freq, data.max_size of params.yaml; writes data/tokens/<role>/.

Example: python -m stages.tokenize --role target
"""

from __future__ import annotations

import argparse

import pandas as pd

from stages import command
from textmetric.errors import UserError
from textmetric.params import Params
from textmetric.text import tokenize_corpus


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the tokens of ``--role``."""
    path = f"data/raw/{arguments.role}/corpus.parquet"
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run stages.download first (dvc repro)") from None
    corpus = tokenize_corpus(
        frame,
        min_freq=params.data.min_freq,
        max_size=params.data.max_size,
        progress=command.INTERACTIVE,
    )
    corpus.save(f"data/tokens/{arguments.role}")


if __name__ == "__main__":
    command.run(main, "stages.tokenize", role="target or source")

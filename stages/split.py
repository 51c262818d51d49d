"""Cut a training set from the tokens of its role: all of it, with scarce, or with unseen labels.

Reads data/tokens/<role>/, data/raw/<role>/summary.json and splits.<split>, data.seed of
params.yaml; writes data/splits/<split>/.

Example: python -m stages.split --split target-scarce-0
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.files import read_json, write_json
from textmetric.params import Params
from textmetric.splits import make_split
from textmetric.text import TokenizedCorpus


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the split ``--split``."""
    entry = params.split(arguments.split)
    summary = read_json(f"data/raw/{entry.role}/summary.json")
    make_split(
        TokenizedCorpus.load(f"data/tokens/{entry.role}"),
        scarce=entry.scarce,
        keep=entry.keep,
        rare=entry.rare,
        open_share=entry.open,
        seed=params.data.seed,
    ).save(f"data/splits/{arguments.split}")
    write_json(f"data/splits/{arguments.split}/corpus.json", summary)


if __name__ == "__main__":
    command.run(main, "stages.split", split="an entry of splits, such as target-scarce-0")

"""Cut every training set from the tokens of its role: all, with scarce, or with unseen labels.

Reads data/tokens/<role>/, data/raw/<role>/summary.json and splits, data.seed of params.yaml; writes
data/splits/<role>/<split>/, and what each of them is to data/splits/<role>/splits.json.

Example: python -m stages.split
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_folder, write_json
from textmetric.params import Params
from textmetric.splits import make_split, write_entries
from textmetric.text import TokenizedCorpus


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write every entry of ``splits``."""
    roles = {entry.role for entry in params.splits.values()}
    corpora = {role: TokenizedCorpus.load(f"data/tokens/{role}") for role in roles}
    with replacing_folder("data/splits") as folder:
        for name, entry in params.splits.items():
            try:
                split = make_split(
                    corpora[entry.role],
                    scarce=entry.scarce,
                    keep=entry.keep,
                    rare=entry.rare,
                    open_share=entry.open,
                    seed=params.data.seed,
                )
            except UserError as error:
                raise UserError(f"params.yaml: splits.{name}: {error}") from None
            split.save(folder / entry.role / name, within=folder / entry.role)
            summary = read_json(f"data/raw/{entry.role}/summary.json")
            write_json(folder / entry.role / name / "corpus.json", summary)
        write_entries(folder, params.splits)


if __name__ == "__main__":
    command.run(main, "stages.split")

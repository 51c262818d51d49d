"""Cut every training set from the tokens of its role: all, with scarce, or with unseen labels.

Reads data/tokens/<role>/, data/raw/<role>/summary.json and splits, data.seed of params.yaml; writes
data/splits/<role>/<split>/, and what each of them is to data/splits/<role>/splits.json. A split
holds the rows of its texts, and not their tokens: who reads it reads data/tokens/<role>/ as well.

Example: python -m stages.split
"""

from __future__ import annotations

import argparse
import os

from stages import stage
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_folder, write_json
from textmetric.grid import Layout, moved
from textmetric.params import Params
from textmetric.splits import make_split, write_entries
from textmetric.text import TokenizedCorpus


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write every entry of ``splits``."""
    layout, entries = Layout(), params.entries()
    corpora = {
        role: TokenizedCorpus.load(layout.tokens / role)
        for role in {split.role for split in entries}
    }
    with replacing_folder(layout.splits) as folder:
        for split, entry in entries.items():
            try:
                corpus = make_split(
                    corpora[split.role],
                    scarce=entry.scarce,
                    keep=entry.keep,
                    rare=entry.rare,
                    open_share=entry.open,
                    unlabel=entry.unlabel,
                    seed=params.data.seed,
                )
            except UserError as error:
                raise UserError(f"params.yaml: splits.{split.name}: {error}") from None
            path = moved(layout.split(split), layout.splits, folder)
            tokens = os.path.relpath(layout.tokens / split.role, layout.split(split))
            corpus.save(path, within=folder / split.role, tokens=tokens)
            write_json(path / "corpus.json", read_json(layout.summary(split.role)))
        write_entries(folder, entries)


if __name__ == "__main__":
    stage.run(main, "stages.split")

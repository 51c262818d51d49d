"""Get the corpus of every role: download it, read it from a file, or gather it from docstrings.

No text of the validation or test part of one role is in what the other trains or validates on.

Reads corpora and data of params.yaml; writes data/raw/<role>/corpus.parquet (columns text, label,
split) and summary.json.

Example: python -m stages.download
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.corpora import load_roles, table_of
from textmetric.errors import printable
from textmetric.files import replacing_folder, write_json
from textmetric.grid import INPUTS, ROLES, Layout, moved
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the corpus of each role."""
    layout = Layout()
    corpora = load_roles(
        *(params.corpora.of(role) for role in ROLES),
        limit=params.data.limit,
        validation=params.data.validation,
        test=params.data.test,
        seed=params.data.seed,
        mirror=params.data.mirror,
        progress=INTERACTIVE,
    )
    for role in ROLES:
        table = table_of(params.corpora.of(role))
        if table is not None and INPUTS.resolve() not in table.resolve().parents:
            print(
                f"note: {printable(str(table))} is not in {INPUTS}/, so DVC does not notice when "
                "it changes; after a change run dvc repro -f download"
            )
    with replacing_folder(layout.raws) as folder:
        for role, corpus in zip(ROLES, corpora, strict=True):
            path = moved(layout.corpus(role), layout.raws, folder)
            path.parent.mkdir()
            # Row groups are what stages.tokenize has in memory at once.
            corpus.frame.to_parquet(path, index=False, row_group_size=1 << 16)
            write_json(moved(layout.summary(role), layout.raws, folder), corpus.summary)
            counts = ", ".join(f"{key} {value}" for key, value in corpus.summary.items())
            print(printable(f"{role}: {counts}"))


if __name__ == "__main__":
    stage.run(main, "stages.download")

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
from textmetric.corpora import table_of, write_roles
from textmetric.errors import printable
from textmetric.files import replacing_folder, write_json
from textmetric.grid import INPUTS, ROLES, Layout, moved
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the corpus of each role."""
    layout = Layout()
    with replacing_folder(layout.raws) as folder:
        paths = [moved(layout.corpus(role), layout.raws, folder) for role in ROLES]
        target, source = (params.corpora.of(role) for role in ROLES)
        summaries = write_roles(
            target,
            source,
            (paths[0], paths[1]),
            limit=params.data.limit,
            validation=params.data.validation,
            test=params.data.test,
            seed=params.data.seed,
            mirror=params.data.mirror,
            progress=INTERACTIVE,
        )
        for role, summary in zip(ROLES, summaries, strict=True):
            write_json(moved(layout.summary(role), layout.raws, folder), summary)
            counts = ", ".join(f"{key} {value}" for key, value in summary.items())
            print(printable(f"{role}: {counts}"))
    for role in ROLES:
        table = table_of(params.corpora.of(role))
        if table is not None and INPUTS.resolve() not in table.resolve().parents:
            print(
                f"note: {printable(str(table))} is not in {INPUTS}/, so DVC does not notice when "
                "it changes; after a change run dvc repro -f download"
            )


if __name__ == "__main__":
    stage.run(main, "stages.download")

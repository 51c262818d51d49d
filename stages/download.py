"""Get the corpus of a role: download it, read it from a file, or gather it from docstrings.

Reads corpora.<role> and data.* of params.yaml; writes data/raw/<role>/corpus.parquet (columns
text, label, split) and summary.json.

Example: python -m stages.download --role target
"""

from __future__ import annotations

import argparse

from stages import command
from textmetric import corpora
from textmetric.files import replacing_folder, write_json
from textmetric.params import Params


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the corpus of ``--role``."""
    corpus = corpora.load(
        params.corpora.of(arguments.role),
        limit=params.data.limit,
        validation=params.data.validation,
        test=params.data.test,
        seed=params.data.seed,
        mirror=params.data.mirror,
        progress=command.INTERACTIVE,
    )
    with replacing_folder(f"data/raw/{arguments.role}") as folder:
        # Row groups are what stages.tokenize has in memory at once.
        corpus.frame.to_parquet(folder / "corpus.parquet", index=False, row_group_size=1 << 16)
        write_json(folder / "summary.json", corpus.summary)
    print(", ".join(f"{key} {value}" for key, value in corpus.summary.items()))


if __name__ == "__main__":
    command.run(main, "stages.download", role="target or source")

"""Encode all texts by a sentence encoder, or take the vectors that the corpora bring.

Does nothing unless model.encoder is frozen. Reads data/raw/<role>/corpus.parquet, the model that
model.vectors names or the vectors of the corpora, and corpora, model.encoder and model.vectors of
params.yaml; writes data/encoded/<role>.npy, a vector for each row of the corpus.

Example: python -m stages.encode
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.grid import ROLES, Layout
from textmetric.params import Params
from textmetric.pipeline.encode_texts import encode_texts


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the vectors of the texts of each role."""
    corpora = {role: params.corpora.of(role) for role in ROLES}
    encode_texts(
        Layout(),
        corpora,
        encoder=params.model.encoder,
        vectors=params.model.vectors,
        progress=INTERACTIVE,
    )


if __name__ == "__main__":
    stage.run(main, "stages.encode")

"""Tokenise the corpus of every role: the vocabulary of its train part, and the ids of all texts.

Reads data/raw/<role>/corpus.parquet, data/vectors/ and data.min_freq, data.max_size, model,
train.vectors of params.yaml; writes data/tokens/<role>/. Where token vectors are given, their
tokens are the vocabulary; if they are words and are tuned, the other words of the train part
follow them.

Example: python -m stages.tokenize
"""

from __future__ import annotations

import argparse

from stages import stage
from textmetric.command import INTERACTIVE
from textmetric.files import replacing_folder
from textmetric.grid import ROLES, Layout
from textmetric.params import Params
from textmetric.pipeline.given_vectors import given_vectors
from textmetric.text import BASIC_ENGLISH, NGRAMS, tokenize_file


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the tokens of each role."""
    layout = Layout()
    vectors = given_vectors(layout, params.model)
    given = None if vectors is None else vectors.vocabulary
    extend = given is not None and not given.tokenizer.definition
    with replacing_folder(layout.tokens) as folder:
        for role in ROLES:
            corpus = tokenize_file(
                layout.corpus(role),
                min_freq=params.data.min_freq,
                max_size=params.data.max_size,
                given=given,
                extend=extend and params.train.vectors == "tuned",
                tokenizer=NGRAMS if params.model.ngrams == "characters" else BASIC_ENGLISH,
                keep_rows=params.model.encoder == "frozen",
                folder=folder,
                progress=INTERACTIVE,
            )
            corpus.save(folder / role)


if __name__ == "__main__":
    stage.run(main, "stages.tokenize")

"""The commands of ``textmetric``."""

from __future__ import annotations

import click

from textmetric import __version__
from textmetric.cli.audit import audit
from textmetric.cli.classify import classify
from textmetric.cli.compare import compare
from textmetric.cli.embed import embed
from textmetric.cli.evaluate import evaluate
from textmetric.cli.export import export
from textmetric.cli.life import Group
from textmetric.cli.neighbors import neighbors
from textmetric.cli.options import examples
from textmetric.cli.recluster import recluster
from textmetric.cli.train import train


@click.group(
    cls=Group,
    epilog=examples(
        "textmetric train reviews.csv --text body --label stars --out my-model",
        "textmetric compare reviews.csv --text body --label stars",
        "textmetric embed my-model texts.csv --text body --out vectors.npy",
        "textmetric classify my-model texts.csv --text body",
        "textmetric COMMAND --help",
    )
    + """

\b
Completion of commands, options and names:
  bash   eval "$(_TEXTMETRIC_COMPLETE=bash_source textmetric)"
  zsh    eval "$(_TEXTMETRIC_COMPLETE=zsh_source textmetric)"
  fish   _TEXTMETRIC_COMPLETE=fish_source textmetric | source""",
)
@click.version_option(__version__, prog_name="textmetric")
def textmetric() -> None:
    """Train text embeddings on labelled texts, and use them."""


for command in (compare, train, embed, classify, neighbors, evaluate, audit, recluster, export):
    textmetric.add_command(command)

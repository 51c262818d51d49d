"""``textmetric embed``."""

from __future__ import annotations

import click

from textmetric.cli.options import (
    Output,
    Source,
    examples,
    model_argument,
    progress,
    reads_table,
    writes,
)


@click.command(
    short_help="Write the embeddings of texts.",
    epilog=examples(
        "textmetric embed my-model texts.csv --text body --out vectors.npy",
        "textmetric embed my-model notes.txt --out vectors.csv",
        "cat notes.txt | textmetric embed my-model - > vectors.npy",
    ),
)
@model_argument
@reads_table(empty="keep")
@writes(("npy", "csv", "parquet"), "the vectors")
def embed(model: str, table: Source, out: Output) -> None:
    """Write the embedding of each text of TABLE by MODEL, in the order of the rows.

    TABLE is a csv, tsv, jsonl, parquet or txt file, or - for the standard input. A text without a
    known word has the vector zero, if the encoder of MODEL is a bag.
    """
    from textmetric.cli.models import load_model, note_unknown
    from textmetric.cli.output import write_vectors

    loaded = load_model(model)
    read = table.read()
    vectors, known = loaded.embed(read.texts)
    note_unknown(known)
    write_vectors(vectors, out)
    progress(f"{len(vectors)} vectors of {loaded.dim} numbers in {out.path}")

"""``textmetric export``."""

from __future__ import annotations

import click

from textmetric.cli.options import Source, examples, model_argument, progress, reads_table
from textmetric.errors import UserError

FORMATS = ("model2vec", "sentence-transformers", "onnx", "parquet")


@click.command(
    epilog=examples(
        "textmetric export my-model --to model2vec --out my-static-model",
        "textmetric export my-model --to onnx --out my-onnx-model",
        "textmetric export my-model texts.csv --text body --to parquet --out my-vectors",
    )
)
@model_argument
@reads_table(labels=True, empty="keep", required=False)
@click.option("--to", "target", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    required=True,
    help="The folder to write: a new or empty one, or an earlier export.",
)
def export(model: str, table: Source | None, target: str, out: str) -> None:
    """Write MODEL in a format of other programs.

    A model card goes with it. Parquet takes a TABLE of texts, and holds them with their vectors,
    the label that MODEL predicts and, with --label, their own. TABLE is a csv, tsv, jsonl, parquet
    or txt file, or - for the standard input.
    """
    from textmetric import export as exports

    if target == "parquet":
        if table is None:
            raise UserError(
                "--to parquet writes texts with their vectors, but there is no table of texts: "
                "give one after MODEL"
            )
        _texts(model, table, out)
    elif table is not None:
        raise UserError(
            f"--to {target} writes the model alone, but the table {table.path} is given: leave it "
            "out, or give --to parquet"
        )
    elif target == "model2vec":
        exports.export_model2vec(model, out)
    elif target == "sentence-transformers":
        exports.export_sentence_transformers(model, out)
    else:
        exports.export_onnx(model, out)
    progress(f"{model} is in {out}, see its README.md")


def _texts(model: str, table: Source, out: str) -> None:
    from textmetric.cli.models import load_model
    from textmetric.export import export_parquet

    loaded = load_model(model)
    read = table.read(unlabelled=True)
    labels = None if read.labels is None else [label or None for label in read.labels]
    export_parquet(loaded, read.texts, out, labels=labels)

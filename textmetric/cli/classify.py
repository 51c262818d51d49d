"""``textmetric classify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from textmetric.cli.options import (
    Output,
    Source,
    examples,
    json_flag,
    model_argument,
    note,
    reads_table,
    writes,
)

if TYPE_CHECKING:
    from textmetric.types import Float64


@click.command(
    short_help="Write the labels of texts.",
    epilog=examples(
        "textmetric classify my-model texts.csv --text body",
        "textmetric classify my-model texts.csv --text body --probabilities --out labels.csv",
        'echo "a green apple" | textmetric classify my-model - --json',
    ),
)
@model_argument
@reads_table(empty="keep")
@writes(("csv", "tsv", "jsonl", "json"), "the labels")
@click.option("--reject", metavar="LABEL", help="Label of texts without a known word.")
@click.option("--probabilities", is_flag=True, help="Write the probability of each class, too.")
@json_flag
def classify(
    model: str, table: Source, out: Output, reject: str | None, probabilities: bool, as_json: bool
) -> None:
    """Write the label that MODEL gives each text of TABLE, in the order of the rows.

    TABLE is a csv, tsv, jsonl, parquet or txt file, or - for the standard input. A text without a
    known word gets the most frequent class, and a note counts such texts, or the label of --reject.
    """
    from textmetric.cli.models import load_model
    from textmetric.cli.output import aligned, is_terminal, write_json, write_records
    from textmetric.errors import UserError
    from textmetric.measures.calibration import softmax

    loaded = load_model(model)
    if probabilities and loaded.temperature_ is None:
        raise UserError(
            f"{model} has no probabilities, since it was trained without held-out texts to fit "
            "them: leave --probabilities out, or train it with textmetric train"
        )
    read = table.read()
    embeddings, known = loaded.embed(read.texts)
    decisions = loaded.decide(embeddings, known)
    names = loaded.label_names
    labels = [names[place] for place in decisions.argmax(axis=1).tolist()]
    if reject is not None:
        labels = [label if there else reject for label, there in zip(labels, known, strict=True)]
    elif not known.all():
        most = names[loaded.class_prior_.argmax()]
        note(
            f"{(~known).sum()} of {len(known)} texts have no known word, so they get the most "
            f"frequent class {most!r}: --reject gives them a label of its own"
        )
    chances = softmax(decisions) if probabilities else None
    if as_json or out.kind == "json":
        write_json(_documents(read.texts, labels, names, chances), out.path)
    elif is_terminal(out):
        shown = [
            [label, *(f"{chance:.3f}" for chance in row), text]
            for label, row, text in zip(
                labels,
                [()] * len(labels) if chances is None else chances.tolist(),
                read.texts,
                strict=True,
            )
        ]
        header = ["label", *(names if probabilities else ()), "text"]
        click.echo(aligned(shown, header=header, right=range(1, len(header) - 1)))
    else:
        columns: dict[str, Any] = {"text": read.texts, "label": labels}
        if chances is not None:
            columns |= {f"p({name})": chances[:, place] for place, name in enumerate(names)}
        write_records(columns, out)


def _documents(
    texts: list[str], labels: list[str], names: list[str], chances: Float64 | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"text": text, "label": label} for text, label in zip(texts, labels, strict=True)
    ]
    if chances is not None:
        for each, row in zip(found, chances.round(6).tolist(), strict=True):
            each["probabilities"] = dict(zip(names, row, strict=True))
    return found

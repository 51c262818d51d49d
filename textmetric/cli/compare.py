"""``textmetric compare``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from textmetric.cli.options import Source, examples, json_flag, reads_table

PURPOSES = ("classify", "retrieval", "cluster", "new-classes", "few-labels")


@click.command(
    epilog=examples(
        "textmetric compare reviews.csv --text body --label stars",
        "textmetric compare reviews.csv --text body --label stars --for retrieval --out report",
        "textmetric compare tickets.jsonl --text subject --label team --drop-empty --json",
    )
)
@reads_table(labels=True, empty="drop")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(PURPOSES),
    default=PURPOSES[0],
    show_default=True,
    help="What the embeddings are for; the winner depends on it.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Folder for a report: a page, its picture and its data.",
)
@click.option(
    "--cluster",
    metavar="WHERE",
    help="What does the trainings: processes, local:4, tcp://host:8786, scheduler.json or slurm:8; "
    "see docs/cluster.md.",
)
@click.option("--mixed", is_flag=True, help="Also take workers with other packages or processors.")
@json_flag
def compare(
    table: Source, purpose: str, out: str | None, cluster: str | None, mixed: bool, as_json: bool
) -> None:
    """Is classification or metric learning better on TABLE?

    Both train the same encoder on ten random splits, with the same choice of learning rates. The
    verdict is about what was measured on texts that were not learnt from, with a 95 % interval. It
    takes minutes. A row without a label is left out and counted.
    """
    from textmetric import parallel
    from textmetric.cli.output import write_json
    from textmetric.compare import compare as compared
    from textmetric.compare.report import refuse_other, terminal, write_report

    if out is not None:
        refuse_other(Path(out))
    parallel.choose(cluster, mixed)
    read = table.read(unlabelled=True)
    found = compared(read.texts, read.labels or [], purpose, progress=sys.stderr.isatty())
    if out is not None:
        write_report(found, Path(out), name=Path(read.source).name)
    if as_json:
        write_json(found.as_dict())
    else:
        click.echo(terminal(found))

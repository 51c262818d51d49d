"""``textmetric neighbors``."""

from __future__ import annotations

from typing import Any

import click

from textmetric.cli.options import (
    STREAM,
    Output,
    Source,
    examples,
    json_flag,
    model_argument,
    note,
    reads_table,
    writes,
)


@click.command(
    short_help="Find the texts nearest to a query.",
    epilog=examples(
        'textmetric neighbors my-model corpus.csv --text body --query "a fast car"',
        "textmetric neighbors my-model corpus.csv --text body --queries questions.txt -k 3 --json",
        "cat questions.txt | textmetric neighbors my-model corpus.txt --queries - --out near.csv",
    ),
)
@model_argument
@reads_table(empty="drop")
@click.option("--query", "queries", multiple=True, metavar="TEXT", help="May be given repeatedly.")
@click.option(
    "--queries",
    "file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="File with a query in each line, table with one column, or - for lines of the standard "
    "input.",
)
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="Texts per query.")
@writes(("csv", "tsv", "jsonl", "json"), "the neighbours")
@json_flag
def neighbors(
    model: str,
    table: Source,
    queries: tuple[str, ...],
    file: str | None,
    k: int,
    out: Output,
    as_json: bool,
) -> None:
    """Find the k texts of TABLE nearest to each query, by the cosine of their embeddings by MODEL.

    TABLE is a csv, tsv, jsonl, parquet or txt file, or - for the standard input. Rows count from 1,
    without a header. The search is exact, and equal cosines are ordered by row. A query without a
    known word has no neighbours, and a note counts such queries.
    """
    from textmetric.cli.models import load_model
    from textmetric.cli.output import aligned, is_terminal, write_json, write_records
    from textmetric.errors import UserError

    if not queries and file is None:
        raise UserError("there is no query: give --query TEXT or --queries FILE")
    if file == table.path == STREAM:
        raise UserError(
            "TABLE and --queries are both -, but there is one standard input: name a file for one"
        )
    loaded = load_model(model)
    asked = list(queries) + ([] if file is None else Source(file).read().texts)
    read = table.read()
    index = loaded.index(loaded.transform(read.texts))
    embeddings, known = loaded.embed(asked)
    if not known.all():
        note(f"{(~known).sum()} of {len(known)} queries have no known word, so no neighbours")
        if not known.any():
            raise UserError("no query has a known word: give one with words like the trained texts")
    found = index.neighbors(embeddings[known], k)
    near: list[list[dict[str, Any]]] = [[] for _ in asked]
    for place, rows, cosines in zip(known.nonzero()[0].tolist(), *found, strict=True):
        near[place] = [
            {"row": int(read.rows[row]), "cosine": round(cosine, 6), "text": read.texts[row]}
            for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
        ]
    if as_json or out.kind == "json":
        pairs = zip(asked, near, strict=True)
        write_json([{"query": query, "neighbors": rows} for query, rows in pairs], out.path)
    elif is_terminal(out):
        for query, rows in zip(asked, near, strict=True):
            click.echo(query)
            cells = [[f"  {row['cosine']:.3f}", str(row["row"]), row["text"]] for row in rows]
            if cells:
                click.echo(aligned(cells, header=("  cosine", "row", "text"), right=(0, 1)))
    else:
        records = [
            (query, rank, *row.values())
            for query, rows in zip(asked, near, strict=True)
            for rank, row in enumerate(rows, start=1)
        ]
        names = ("query", "rank", "row", "cosine", "text")
        write_records(dict(zip(names, zip(*records, strict=True), strict=True)), out)

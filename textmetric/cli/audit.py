"""``textmetric audit``."""

from __future__ import annotations

import sys

import click

from textmetric.cli.options import Output, Source, examples, json_flag, note, reads_table, writes


@click.command(
    short_help="Find labels that look wrong.",
    epilog=examples(
        "textmetric audit reviews.csv --text body --label stars",
        "textmetric audit reviews.csv --text body --label stars --top 200 --out suspects.csv",
        "textmetric audit tickets.jsonl --text subject --label team --json",
    ),
)
@reads_table(labels=True, empty="drop")
@writes(("csv", "tsv", "jsonl", "json"), "the suspects")
@click.option("--top", type=click.IntRange(1), metavar="N", help="Write at most N, the worst.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Same seed, same suspects.")
@json_flag
def audit(table: Source, out: Output, top: int | None, seed: int, as_json: bool) -> None:
    """List the rows of TABLE whose label looks wrong, the worst first, with a proposed label.

    Models that were not trained on a row say how likely each label is. The score is how many times
    likelier the proposed label is than the given one. Rows count from 1, without a header. Look at
    each suspect: a list like this has good labels, too. Rows with an empty label are learnt from as
    texts without a label. This needs the extra train.

    TABLE is a csv, tsv, jsonl or parquet file, or - for the standard input.
    """
    from textmetric.audit import FEWEST
    from textmetric.audit import audit as audited
    from textmetric.cli.output import aligned, is_terminal, write_json, write_records

    read = table.read(unlabelled=True)
    found = audited(read.texts, read.labels or [], seed=seed, progress=sys.stderr.isatty())
    if found.left_out:
        note(
            f"{found.left_out} rows could not be judged, since their classes have fewer than "
            f"{FEWEST} different texts"
        )
    places = found.suspects()
    note(f"{len(places)} of {len(found.rows)} labels look wrong")
    places = places[:top]
    rows = found.rows[places]
    columns = {
        "row": read.rows[rows].tolist(),
        "label": found.given[places].tolist(),
        "proposed": found.proposed[places].tolist(),
        "score": found.scores[places].round(6).tolist(),
        "text": [read.texts[row] for row in rows],
    }
    if as_json or out.kind == "json":
        each = zip(*columns.values(), strict=True)
        write_json([dict(zip(columns, row, strict=True)) for row in each], out.path)
    elif is_terminal(out):
        cells = [
            (str(row), label, proposed, f"{score:.1f}", text)
            for row, label, proposed, score, text in zip(*columns.values(), strict=True)
        ]
        click.echo(aligned(cells, header=tuple(columns), right=(0, 3)))
    else:
        write_records(columns, out)

"""``textmetric recluster``."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textmetric.cli.options import (
    STREAM,
    Output,
    Source,
    examples,
    json_flag,
    note,
    output,
    reads_table,
    writes,
)
from textmetric.cli.train import Objective
from textmetric.errors import UserError

if TYPE_CHECKING:
    from textmetric.cli.tables import Table
    from textmetric.reclustering import Turn
    from textmetric.reclustering.actions import Action
    from textmetric.reclustering.exchange import Format
    from textmetric.types import Int64

LINKS = ("must", "cannot")


class HowMany(click.ParamType[Any]):
    """The number of clusters: a number, or how it is found."""

    name = "k"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the word."""
        if value in ("auto", "keep", "grow"):
            return value
        if str(value).isdecimal() and int(value) > 0:
            return int(value)
        return self.fail(f"{value!r} is no number of clusters, auto, keep or grow", param, ctx)


class OrNone(Objective):
    """The name of an objective, auto, or none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | None:
        """The name, if it is known."""
        if value in (None, "none"):
            return None
        return "auto" if value == "auto" else super().convert(value, param, ctx)


@click.command(
    short_help="Cluster texts again after corrections.",
    epilog=examples(
        "textmetric recluster topics.csv --text body --cluster topic --corrected fix --out new.csv",
        "textmetric recluster topics.csv --text body --cluster topic --corrected fix \\",
        "    --links pairs.csv --right billing --turn turns --ask ask.csv --out new.csv",
    ),
)
@reads_table(empty="drop")
@click.option("--cluster", metavar="COLUMN", help="Column of the clusters, for the first turn.")
@click.option(
    "--corrected", metavar="COLUMN", help="Column of where a row belongs; empty for most rows."
)
@click.option(
    "--not-here", metavar="COLUMN", help="Column of a cluster where a row must not be, or empty."
)
@click.option(
    "--links",
    type=click.Path(dir_okay=False),
    help="csv of pairs of rows, with the columns row, other and link: must or cannot.",
)
@click.option("--right", multiple=True, metavar="NAME", help="A cluster whose rows are all right.")
@click.option(
    "--turn",
    "folder",
    type=click.Path(file_okay=False),
    help="Folder of the turns: go on from it, or begin it.",
)
@click.option("--vectors", metavar="NAME", help="Token vectors: a file, or a folder or hub name.")
@click.option(
    "--k",
    type=HowMany(),
    default="auto",
    show_default=True,
    help="Number of clusters: grow adds one for each new name, keep replaces an old one, auto "
    "chooses one of both on hidden corrections.",
)
@click.option("--new", is_flag=True, help="Let texts far from all clusters form new ones.")
@click.option(
    "--hold-out/--no-hold-out",
    default=True,
    help="Measure on hidden corrections, which takes three quarters of the time.",
)
@click.option(
    "--objective",
    type=OrNone(),
    default="auto",
    show_default=True,
    help="Train a projection by it first, see docs/objectives.md; none for no projection; auto: "
    "sup_con for given vectors.",
)
@click.option(
    "--tune/--no-tune",
    default=None,
    help="Train the token vectors, not a projection of the texts' vectors; later turns go on so.",
)
@click.option(
    "--import",
    "imports",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="Corrections to add: csv, or JSON of Label Studio or Argilla.",
)
@click.option(
    "--export", type=click.Path(dir_okay=False), help="Write what was said, and what to ask next."
)
@click.option(
    "--export-to",
    type=click.Choice(("csv", "label-studio", "argilla")),
    help="What --export writes, if its name does not end in .csv.",
)
@click.option("--serve", is_flag=True, help="Correct on a page in the browser instead.")
@click.option("--port", type=click.IntRange(0, 65535), default=8580, help="Of the page; 0: any.")
@click.option("--ask", type=click.Path(dir_okay=False), help="csv to write: what to correct next.")
@click.option("--picture", type=click.Path(dir_okay=False), help="PNG to write: before and after.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Same seed, same clusters.")
@writes(("csv", "tsv", "jsonl"), "the new clusters")
@json_flag
def recluster(
    table: Source,
    out: Output,
    cluster: str | None,
    corrected: str | None,
    not_here: str | None,
    links: str | None,
    right: tuple[str, ...],
    folder: str | None,
    imports: tuple[str, ...],
    export: str | None,
    export_to: Format | None,
    serve: bool,
    port: int,
    ask: str | None,
    picture: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Cluster the texts of TABLE again, so that every correction is honoured.

    A distance is learnt from the corrections, and all texts are clustered under it. Each row gets a
    cluster, how probable it is, and whether it moved. Rows count from 1, without a header. With
    --turn, corrections of earlier turns count on, and the clusters are those of the last turn.
    With --serve, a page on this machine shows the texts, and every correction is saved in the
    folder of --turn. This needs the extra train, --picture the extra study, and --serve the extra
    app.
    """
    from textmetric.cli.output import write_json, write_records
    from textmetric.reclustering import Corrections
    from textmetric.reclustering import recluster as reclustered
    from textmetric.reclustering.actions import as_corrections
    from textmetric.reclustering.exchange import imported
    from textmetric.reclustering.turns import begun

    if table.path == STREAM:
        raise UserError("TABLE is -, but it is read once for each column: name a file")
    goes_on = folder is not None and begun(folder)
    if cluster is None and not goes_on:
        raise UserError("--cluster is missing: name the column of the clusters for the first turn")
    if serve:
        if folder is None:
            raise UserError("--turn is missing: name the folder where the page keeps corrections")
        given: dict[str, object] = {
            "--corrected": corrected,
            "--not-here": not_here,
            "--links": links,
        }
        given |= {"--right": right, "--export": export, "--ask": ask, "--picture": picture}
        for option, value in given.items():
            if value:
                raise UserError(f"{option} is not for the page: leave it out, or leave --serve out")
    # whatever can be wrong with an output is said before the turn is saved
    form = None if export is None else _form(export, export_to)
    asked = None if ask is None else output(ask, None, ("csv", "tsv", "jsonl"), "questions")
    if picture is not None:
        from textmetric.reclustering.picture import before_and_after
    read = table.read()
    columns = {name: _column(table, read, name) for name in (cluster, corrected, not_here) if name}
    bans = [(row, name) for row, name in enumerate(columns.get(not_here or "", [])) if name]
    must, cannot = _links(links, read.rows) if links else ([], [])
    clusters = None if goes_on else columns[str(cluster)]
    numbers = read.rows.tolist()
    actions = [action for path in imports for action in imported(path, read.texts, numbers)]
    if serve:
        _serve(read, clusters, str(folder), actions, port, settings)
        return
    said = Corrections(columns.get(corrected or ""), must, cannot, right, bans)
    said = as_corrections(actions, len(read.texts)).joined(said)
    turn = reclustered(
        read.texts,
        clusters,
        said,
        folder=folder,
        numbers=read.rows,
        progress=sys.stderr.isatty(),
        **settings,
    )
    names = [*turn.constraints.names, ""]
    before = [names[each] for each in turn.constraints.clusters.tolist()]
    rows = {
        "row": read.rows.tolist(),
        "text": read.texts,
        "before": before,
        "cluster": turn.labels.tolist(),
        "confidence": turn.confidence.round(6).tolist(),
        "moved": [str(each).lower() for each in turn.moved.tolist()],
    }
    if picture is not None:
        before_and_after(picture, turn)
    if asked is not None:
        write_records(_asked(turn, read), asked)
    if export is not None and form is not None:
        _export(export, form, turn, read)
    write_records(rows, out)
    if as_json:
        write_json(_described(turn))
    for line in _said(turn, hold_out=settings["hold_out"]):
        note(line)


def _serve(
    read: Table,
    clusters: list[str] | None,
    folder: str,
    actions: list[Action],
    port: int,
    settings: dict[str, Any],
) -> None:
    from textmetric.reclustering.app.desk import Desk
    from textmetric.reclustering.app.serve import serve

    note(f"reading {len(read.texts):,} texts, and drawing a map of them")
    desk = Desk(read.texts, clusters, folder, numbers=read.rows.tolist(), **settings)
    with closing(desk):
        if actions:
            desk.do(*actions)
        serve(desk, port, ready=lambda address: click.echo(f"correct on {address}"))


def _form(path: str, asked: Format | None) -> Format:
    if asked is None and not path.endswith(".csv"):
        raise UserError(f"--export {path} does not end in .csv: give --export-to")
    return asked or "csv"


def _export(path: str, form: Format, turn: Turn, read: Table) -> None:
    """Write all that was said, and for annotators the texts to ask about."""
    import numpy as np

    from textmetric.cli.output import opened
    from textmetric.reclustering.exchange import Annotated, exported

    names = [*turn.constraints.names, ""]
    said = turn.said
    found = Annotated(
        read.texts,
        read.rows.tolist(),
        turn.labels.tolist(),
        [names[each] for each in turn.constraints.corrected.tolist()],
        [(int(row), str(name)) for row, name in said.not_here],
        np.reshape(said.must, (-1, 2)).tolist(),
        np.reshape(said.cannot, (-1, 2)).tolist(),
        [each.row for each in turn.ask],
    )
    start = Path(path).with_suffix("")
    for end, content in exported(found, form).items():
        with opened(f"{start}{end}") as stream:
            stream.write(content)
        note(f"wrote {start}{end}")


def _column(table: Source, read: Table, name: str) -> list[str]:
    """The values of one more column, of the rows that were read."""
    from textmetric.cli.tables import read_table

    every = replace(table, text=read.column, label=name, empty="keep", allowed=True)
    labels = read_table(every, unlabelled=True).labels or []
    return [labels[row - 1] for row in read.rows.tolist()]


def _links(path: str, rows: Int64) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Must-links and cannot-links of a table, as places of the rows.

    Raises:
        UserError: a column is missing, or a value is no row or no kind of link.
    """
    from textmetric.cli.tables import read_table

    kinds = read_table(Source(path, text="link", label="row")).texts
    ends = [
        read_table(Source(path, text="link", label=name)).labels or [] for name in ("row", "other")
    ]
    places = {str(row): place for place, row in enumerate(rows.tolist())}
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in LINKS}
    for number, (kind, one, other) in enumerate(zip(kinds, *ends, strict=True), start=1):
        if kind not in found:
            raise UserError(
                f"row {number} of {path} has the link {kind!r}, expected must or cannot"
            )
        for end in (one, other):
            if end not in places:
                raise UserError(
                    f"row {number} of {path} names the row {end!r}, which the table of texts lacks"
                )
        found[kind].append((places[one], places[other]))
    return found["must"], found["cannot"]


def _asked(turn: Turn, read: Table) -> dict[str, list[Any]]:
    places = [each.row for each in turn.ask]
    return {
        "row": read.rows[places].tolist() if places else [],
        "reason": [each.reason for each in turn.ask],
        "cluster": [each.cluster for each in turn.ask],
        "other": [each.other for each in turn.ask],
        "text": [read.texts[place] for place in places],
    }


def _described(turn: Turn) -> dict[str, Any]:
    found, judged = turn.changes, turn.held_out
    return {
        "turn": turn.number,
        "rows": len(turn.labels),
        "moved": int(found.moved.sum()),
        "moves": [each._asdict() for each in found.moves],
        "merged": found.merged,
        "split": found.split,
        "renamed": found.renamed,
        "new": found.new,
        "vanished": found.vanished,
        "held_out": None if judged is None else {
            "rows": len(judged.rows),
            "before": {"ari": judged.before.ari, "ami": judged.before.ami},
            "after": {"ari": judged.after.ari, "ami": judged.after.ami},
        },
    }  # fmt: skip


def _said(turn: Turn, *, hold_out: bool) -> list[str]:
    """The turn in lines."""
    found, judged = turn.changes, turn.held_out
    lines = [f"turn {turn.number}: {found.moved.sum():,} of {len(turn.labels):,} rows moved"]
    if found.renamed:
        pairs = [f"{old} → {new}" for old, new in found.renamed.items()]
        lines.append(f"{len(pairs)} renamed: {', '.join(pairs[:8])}{'…' * (len(pairs) > 8)}")
    lines += [f"{len(names)} {word}: {', '.join(names[:8])}{'…' * (len(names) > 8)}"
              for word, names in (("new", found.new), ("vanished", found.vanished))
              if names]  # fmt: skip
    lines += [f"{each.rows} rows: {each.source or '(none)'} → {each.target}"
              for each in found.moves[:5]]  # fmt: skip
    if judged is None:
        lines += ["too few corrections to hide some and measure"] * hold_out
    else:
        lines.append(
            f"on {len(judged.rows)} corrected rows, each clustered without its correction: "
            f"ARI {judged.before.ari:.3f} → {judged.after.ari:.3f}, "
            f"AMI {judged.before.ami:.3f} → {judged.after.ami:.3f}"
        )
    return lines

"""Options that commands share: which table is read, and where a result is written.

They only parse: what reads and writes is imported when a command runs.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from textmetric.errors import UserError, missing_package

if TYPE_CHECKING:
    from textmetric.cli.tables import Table

Command = TypeVar("Command", bound=Callable[..., Any])
Empty = Literal["keep", "drop"]

STREAM = "-"
"""The standard input or output, in place of a path."""
TABLES = ("csv", "tsv", "jsonl", "txt", "parquet")
"""Kinds of tables that are read."""

model_argument = click.argument("model", type=click.Path(file_okay=False))
"""The folder of a saved model."""
json_flag = click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")


def examples(*lines: str) -> str:
    """The end of a help text: command lines that work."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


class Delimiter(click.ParamType[str]):
    """One ASCII character that may stand between the fields of a csv file, or ``tab``."""

    name = "character"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The character."""
        value = "\t" if value in ("tab", "\\t") else value
        if len(value) != 1 or not value.isascii() or value in '"\r\n\0':
            self.fail(f"{value!r} is not one character: give ';', '|' or tab", param, ctx)
        return value


class Encoding(click.ParamType[str]):
    """A text encoding that Python knows."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        from textmetric.corpora.encodings import known

        if not known(value):
            self.fail(f"Python knows no encoding {value!r}: give cp1252 or utf-16", param, ctx)
        return value


@dataclass(frozen=True)
class Source:
    """A table of texts, as the command line names it.

    Attributes:
        path: of a file, or ``-``.
        text: the column of the texts; None for the only one.
        label: the column of the labels; None if they are not asked for.
        kind: one of :data:`TABLES`; None for what the path says.
        delimiter: of csv and tsv; None for that of the kind.
        encoding: of text; None for UTF-8.
        empty: what to do with empty texts, and how the option is called that does it.
        allowed: whether that option was given.
    """

    path: str
    text: str | None = None
    label: str | None = None
    kind: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    empty: Empty = "drop"
    allowed: bool = False

    def read(self, *, unlabelled: bool = False) -> Table:
        """The texts, see :func:`.tables.read_table`."""
        from textmetric.cli.tables import read_table

        return read_table(self, unlabelled=unlabelled)


def reads_table(
    *, labels: bool = False, empty: Empty, argument: str = "table", required: bool = True
) -> Callable[[Command], Command]:
    """A command with the argument TABLE, and the options that say how it is read.

    Args:
        labels: whether a column of labels is read as well: ``--label``.
        empty: what the command can do with empty texts, if its user wants it to: ``--keep-empty``
            or ``--drop-empty``.
        argument: the name of the argument. The command gets a :class:`Source` by this name.
        required: whether the table must be given, and ``--label`` if labels are read. The command
            gets None if there is no table.
    """
    kept = "Keep empty texts, as texts without a known word."
    dropped = f"Leave out rows with an empty text{' or label' * labels}, and say how many."
    options = [
        click.option("--text", metavar="COLUMN", help="Column of the texts, if there are several."),
        click.option(
            f"--{empty}-empty", "allowed", is_flag=True, help=kept if empty == "keep" else dropped
        ),
        click.option(
            "--from",
            "kind",
            type=click.Choice(TABLES),
            help="Format of the table, if its name does not end in it. Of the standard input it is "
            "txt, a text in each line, or csv with --text.",
        ),
        click.option("--delimiter", type=Delimiter(), help="Of csv, such as ';' or tab."),
        click.option("--encoding", type=Encoding(), help="Of the table, such as cp1252."),
    ]
    if labels:
        label = click.option(
            "--label", metavar="COLUMN", required=required, help="Column of the labels."
        )
        options.insert(1, label)
    names = ("text", "kind", "delimiter", "encoding", "allowed") + ("label",) * labels

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def gathered(**given: Any) -> Any:
            about = {name: given.pop(name) for name in names}
            path = given.pop(argument)
            source = None if path is None else Source(path, empty=empty, **about)
            return command(**given, **{argument: source})

        found: Any = gathered
        path_type = click.Path(allow_dash=True)
        table = click.argument(argument, type=path_type, required=required)
        for option in (*reversed(options), table):
            found = option(found)
        return found  # type: ignore[no-any-return]

    return decorate


@dataclass(frozen=True)
class Output:
    """Where a result is written, and how.

    Attributes:
        path: of a file, or ``-``.
        kind: of what is written, such as ``csv``.
    """

    path: str
    kind: str


def writes(kinds: Sequence[str], what: str) -> Callable[[Command], Command]:
    """A command with the options ``--out`` and ``--to``; it gets an :class:`Output` as ``out``.

    Args:
        kinds: what it can write; the first one is written to the standard output by default.
        what: it writes.
    """
    listed = f"{', '.join(kinds[:-1])} or {kinds[-1]}"

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def gathered(**given: Any) -> Any:
            return command(**given | {"out": output(given["out"], given.pop("to"), kinds, what)})

        out = click.option(
            "--out",
            type=click.Path(dir_okay=False, allow_dash=True),
            default=STREAM,
            help=f"Where to write {what}: a file whose name ends in {listed}, or - (default) for "
            "the standard output.",
        )
        to = click.option(
            "--to",
            type=click.Choice(kinds),
            help=f"Format of the output, if no name ends in it. By default {kinds[0]}.",
        )
        found: Any = out(to(gathered))
        return found  # type: ignore[no-any-return]

    return decorate


def output(path: str, kind: str | None, kinds: Sequence[str], what: str) -> Output:
    """Where and how a result is written, checked before the work on it.

    Args:
        path: of a file, or ``-``.
        kind: what was asked for; None for what the path says.
        kinds: what there is; the first one is the default of the standard output.
        what: is written, for messages.

    Raises:
        UserError: the path does not say the kind, a terminal would get binary data, or a package
            is missing.
    """
    kind = kind or (kinds[0] if path == STREAM else Path(path).suffix.lower().lstrip("."))
    if kind not in kinds:
        endings = " or ".join(f".{each}" for each in kinds)
        raise UserError(
            f"--out {path} does not end in {endings}: name a file that does, or give --to"
        )
    if path == STREAM and kind in ("npy", "parquet") and sys.stdout.isatty():
        raise UserError(
            f"{what} would be written to the terminal as {kind}, which is not readable: name a "
            "file with --out, or pipe the output into a program"
        )
    if kind == "parquet" and not find_spec("pyarrow"):
        raise missing_package("pyarrow", "writing parquet", "study")
    return Output(path, kind)


def note(message: str) -> None:
    """Say something on stderr that is no error."""
    from textmetric.errors import printable

    click.echo(f"note: {printable(message)}", err=True)


def progress(message: str) -> None:
    """Say on stderr what was done, if somebody watches."""
    if sys.stderr.isatty():
        note(message)

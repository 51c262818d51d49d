"""The life of a command of ``textmetric``: its errors, its signals and its exit status."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from textmetric.errors import UserError, printable
from textmetric.signals import FAILED


class Group(click.Group):
    """A group of commands that end as their users expect it.

    A user's mistake, a full disk and no memory end with one sentence on stderr and status 2; Ctrl-C
    and SIGTERM with status 130 and 143; a closed output ends without a word, with status 141. A
    fault of ours keeps its traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Parse the command line, run the command and leave."""
        extra["standalone_mode"] = False
        try:
            status = super().main(args, **extra)
        except click.ClickException as error:
            status = _complain(_of_click(error))
        except click.Abort:  # Ctrl-C while the command line is parsed
            status = _interrupted(signal.SIGINT)
        sys.exit(status or 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for.

        Raises:
            click.exceptions.Exit: with the status, if the command has failed and it has been said.
        """
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt as error:
            status = _interrupted(error.args[0] if error.args else signal.SIGINT)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains
            status = 128 + signal.SIGPIPE
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            said = _sentence(error)
            if said is None:
                raise
            status = _complain(said)
        else:
            return
        raise click.exceptions.Exit(status)


def _complain(message: str) -> int:
    with contextlib.suppress(OSError):  # nobody may be there to read it
        click.echo(f"error: {printable(message)}", err=True)
    return FAILED


def _interrupted(number: int) -> int:
    with contextlib.suppress(OSError):
        click.echo("interrupted", err=True)
    return 128 + number


def _of_click(error: click.ClickException) -> str:
    """The sentence for a wrong command line."""
    message = error.format_message().strip().rstrip(".")
    said = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    return said if context is None else f"{said}: see {context.command_path} --help"


def _sentence(error: Exception) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    from textmetric.command import sentence  # with numpy, which --help does not need

    return sentence(error)

"""The life of a command: its signals, its errors and its exit status."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from textmetric.errors import UserError
from textmetric.files import write_error

INTERACTIVE = sys.stderr.isatty()
"""Whether to show progress bars: in a log they would only be noise."""

FAILED = 2
"""The exit status of a command that a user's mistake, a full disk or a signal has ended."""


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the module's docstring, with its line breaks.

    Args:
        module: the name after ``python -m``.
        description: the help text, with examples.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(
    main: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    *,
    after_interrupt: str = "nothing half-written is left, run the same command to start it again",
    leave: Callable[[int], NoReturn] = sys.exit,
) -> NoReturn:
    """Parse the command line, call ``main`` and leave.

    A user's mistake, a full disk, Ctrl-C and SIGTERM end with one sentence on stderr and status
    2.

    Args:
        main: the work.
        parser: of the command line.
        after_interrupt: what the message says after "interrupted: ".
        leave: ends the process with an exit status.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    arguments = parser.parse_args()
    try:
        main(arguments)
    except UserError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = f"interrupted: {after_interrupt}"
    except OSError as error:
        shown = write_error(error.filename or "a file", error)
        if not isinstance(shown, UserError):
            raise
        message = str(shown)
    else:
        leave(0)
    print(f"error: {message}", file=sys.stderr)
    leave(FAILED)


def _interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt

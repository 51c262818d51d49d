"""The life of a command: its signals, its errors and its exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from textmetric import parallel
from textmetric.errors import UserError, printable
from textmetric.files import write_error
from textmetric.signals import AFTER_INTERRUPT, FAILED, raise_interrupts

INTERACTIVE = sys.stderr is not None and sys.stderr.isatty()
"""Whether to show progress bars: in a log they would only be noise."""


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


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which machines do parallel jobs; :func:`run` obeys them."""
    parser.add_argument(
        "--cluster",
        metavar="WHERE",
        help="what does the jobs: processes, local:4, tcp://host:8786, scheduler.json or slurm:8, "
        f"see docs/cluster.md ({parallel.CLUSTER}, or processes)",
    )
    parser.add_argument(
        "--mixed",
        action="store_true",
        help="also take workers with other packages or processors, and note it in "
        f"{parallel.MIXED_LOG}",
    )


def run(
    main: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    *,
    after_interrupt: str = AFTER_INTERRUPT,
    leave: Callable[[int], NoReturn] = sys.exit,
) -> NoReturn:
    """Parse the command line, call ``main`` and leave.

    A user's mistake, a full disk, no memory, a closed output, Ctrl-C and SIGTERM end with one
    sentence on stderr and status 2.

    Args:
        main: the work.
        parser: of the command line.
        after_interrupt: what the message says after "interrupted: ".
        leave: ends the process with an exit status.
    """
    raise_interrupts()
    try:
        arguments = parser.parse_args()
        parallel.choose(getattr(arguments, "cluster", None), getattr(arguments, "mixed", False))
        main(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        message = f"interrupted: {after_interrupt}"
    except Exception as error:
        said = sentence(error)
        if said is None:
            raise
        message = said
    else:
        leave(0)
    with contextlib.suppress(OSError):  # nobody may be there to read it
        print(f"error: {printable(message)}", file=sys.stderr, flush=True)
        if sys.stdout is not None:
            sys.stdout.flush()
    leave(FAILED)


def sentence(error: Exception) -> str | None:
    """What to tell a user; None for a fault of ours, which keeps its traceback."""
    text = str(error)
    if isinstance(error, UserError):
        return text
    if isinstance(error, BrokenPipeError):
        if sys.stdout is not None:  # else Python tries again when it ends, and says so
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "the output was closed before its end: read all of it, or write it to a file"
    # torch and CUDA raise a RuntimeError
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in text or "out of memory" in text)
    ):
        asked = f" ({text.splitlines()[0]})" if text else ""
        return f"memory ran out{asked}: use fewer rows, a smaller vocabulary or fewer dimensions"
    if "can't start new thread" in text or getattr(error, "errno", None) == errno.EAGAIN:
        return "no more threads or processes may be started: raise the limit (ulimit -u)"
    if isinstance(error, OSError):
        if isinstance(error, PermissionError) and error.filename is not None:
            return f"no permission for {error.filename}: check it and its folder"
        shown = write_error(error.filename or "the output", error)
        return str(shown) if isinstance(shown, UserError) else None
    return None

"""What every stage's command line shares: its help, its params, and how it ends."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from textmetric.errors import UserError
from textmetric.files import write_error
from textmetric.params import Params, read

INTERACTIVE = sys.stderr.isatty()
"""Whether to show progress bars: in a log they would only be noise."""


def run(
    main: Callable[[argparse.Namespace, Params], None],
    module: str,
    **coordinates: str,
) -> NoReturn:
    """Parse the command line, read params.yaml, call ``main`` and leave.

    A user's mistake, a full disk, Ctrl-C and SIGTERM end with one sentence on stderr and
    status 2; whatever was being written is gone, whatever was there before is whole.

    Args:
        main: the stage; its module's docstring is the help text.
        module: ``__spec__.name`` of the stage.
        coordinates: option name → what it names, in the order of the options; each is needed.
    """
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGTERM, _interrupt)
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=sys.modules[main.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, meaning in coordinates.items():
        parser.add_argument(f"--{name}", required=True, help=meaning, metavar=name.upper())
    parser.add_argument(
        "--params", default="params.yaml", metavar="FILE", help="the parameters (%(default)s)"
    )
    arguments = parser.parse_args()
    try:
        main(arguments, read(arguments.params))
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted: nothing half-written is left, run the same command to start it again")
    except OSError as error:
        shown = write_error(error.filename or "a file", error)
        if not isinstance(shown, UserError):
            raise
        _fail(str(shown))
    _leave(0)


def _interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    _leave(2)


def _leave(status: int) -> NoReturn:
    """End without taking the interpreter apart, which is half a second where torch is loaded."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

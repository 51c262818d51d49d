"""The command line of every stage: its options, its parameters, and how it ends."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from textmetric import command
from textmetric.files import remove_stale
from textmetric.grid import Layout
from textmetric.params import Params, read


def run(
    main: Callable[[argparse.Namespace, Params], None], module: str, **options: str
) -> NoReturn:
    """Parse the command line, read params.yaml, call ``main`` and leave.

    A user's mistake, a full disk, Ctrl-C and SIGTERM end with one sentence on stderr and status 2.
    Nothing half-written is left, and what was there before is whole.

    Args:
        main: the stage; its module's docstring is the help text.
        module: ``stages.<name>``.
        options: option → its meaning, in order; each is required.
    """
    gc.freeze()
    gc.enable()
    parser = command.parser(module, sys.modules[main.__module__].__doc__)
    for name, meaning in options.items():
        parser.add_argument(f"--{name}", required=True, help=meaning, metavar=name.upper())
    parser.add_argument(
        "--params", default="params.yaml", metavar="FILE", help="the parameters (%(default)s)"
    )

    command.add_cluster(parser)

    def work(given: argparse.Namespace) -> None:
        for folder in Layout().written:
            remove_stale(folder, deep=True)
        main(given, read(given.params))

    command.run(work, parser, leave=_leave)


def _leave(status: int) -> NoReturn:
    """End without taking the interpreter apart, which is half a second when torch is loaded."""
    os._exit(status)

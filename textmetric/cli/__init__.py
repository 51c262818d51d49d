"""The command ``textmetric``; docs/cli.md.

``--help`` and the completion of the shell import click alone: a command imports what it needs when
it runs. A command is a module of this package and a line in :mod:`.commands`.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from textmetric.signals import answer_at_once, raise_interrupts

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process, and leave with its exit status."""
    answer_at_once(by_signal=True)
    from textmetric.cli.commands import textmetric

    raise_interrupts()
    sys.exit(textmetric.main(prog_name="textmetric"))

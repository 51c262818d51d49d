"""Every command: its help, and that ``--help`` is quick."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from textmetric.cli.commands import textmetric

COMMANDS = sorted(textmetric.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_examples_of_it(command: str) -> None:
    result = CliRunner().invoke(textmetric, [command, "--help"])
    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert f"textmetric {command} " in result.output.partition("Examples:\n")[2]


def test_help_imports_no_numpy() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from textmetric.cli import main\n"
        "try: main()\n"
        "except SystemExit: assert not {'numpy', 'torch', 'textmetric.files'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [f"  {name} " in shown.stdout for name in COMMANDS] == [True] * len(COMMANDS)

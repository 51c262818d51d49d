"""Run ``textmetric`` in this process."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from textmetric.cli.commands import textmetric


def run(*words: str | Path, given: str | bytes | None = None) -> Result:
    """The result of a command that ends well; a traceback fails the test."""
    result = CliRunner().invoke(textmetric, [str(word) for word in words], input=given)
    assert result.exception is None, (result.stderr, result.exception)
    assert result.exit_code == 0
    return result


def error(*words: str | Path, given: str | bytes | None = None) -> str:
    """The sentence of a command that ends with a user's mistake, without ``error: ``."""
    result = CliRunner().invoke(textmetric, [str(word) for word in words], input=given)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("error: ").rstrip("\n")

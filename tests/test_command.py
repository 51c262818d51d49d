from __future__ import annotations

import errno
import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal
from textmetric import command
from textmetric.errors import UserError
def main(arguments):
    {work}
command.run(main, command.parser("some.module", "What it does.\\n\\nExample: some"))
"""


def run(work: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE.format(work=work), *words],
        capture_output=True,
        text=True,
        check=False,
        # background jobs of a shell, and so perhaps these tests, ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("raise UserError('the key is wrong: fix it')", "error: the key is wrong: fix it\n"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "error: interrupted: nothing half-written"),
        ("os.kill(os.getpid(), signal.SIGINT)", "error: interrupted: nothing half-written"),
        (f"raise OSError({errno.ENOSPC}, 'full', 'a.csv')", "error: no space left on the disk"),
        (f"raise OSError({errno.EACCES}, 'no', 'a.csv')", "error: no permission to write a.csv"),
    ],
)
def test_what_a_user_can_cause_ends_with_one_sentence_and_status_2(work: str, said: str) -> None:
    finished = run(work)
    assert finished.returncode == 2
    assert finished.stderr.startswith(said)
    assert finished.stderr.count("\n") == 1


def test_work_that_is_done_ends_with_status_0() -> None:
    finished = run("print('done')")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "done\n", "")


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    finished = run(f"raise OSError({errno.EIO}, os.strerror({errno.EIO}))")
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_help_is_the_description_with_its_line_breaks() -> None:
    finished = run("pass", "--help")
    assert finished.returncode == 0
    assert "usage: python -m some.module" in finished.stdout
    assert "What it does.\n\nExample: some" in finished.stdout

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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
        (
            "raise UserError('a\\x1b[2J\\nb\\u202e')",
            "error: a\\x1b[2J\\nb\\u202e\n",  # nothing that a terminal obeys
        ),
        ("os.kill(os.getpid(), signal.SIGTERM)", "error: interrupted: nothing half-written"),
        ("os.kill(os.getpid(), signal.SIGINT)", "error: interrupted: nothing half-written"),
        (f"raise OSError({errno.ENOSPC}, 'full', 'a.csv')", "error: no space left on the disk"),
        (f"raise OSError({errno.EACCES}, 'no', 'a.csv')", "error: no permission for a.csv: check"),
        (f"raise OSError({errno.EAGAIN}, 'again')", "error: no more threads or processes may"),
        ('raise RuntimeError("can\'t start new thread")', "error: no more threads or processes"),
        ("import numpy; numpy.ones(1 << 57)", "error: memory ran out (Unable to allocate 1"),
        (
            "raise RuntimeError('[enforce fail] can\\'t allocate memory')",
            "error: memory ran out ([enf",
        ),
        ("raise MemoryError", "error: memory ran out: use fewer rows"),
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


def test_a_second_signal_does_not_interrupt_the_tidying() -> None:
    work = """try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        print("tidied")"""
    finished = run(work)
    assert (finished.returncode, finished.stdout) == (2, "tidied\n")
    assert finished.stderr.startswith("error: interrupted: ")
    assert finished.stderr.count("\n") == 1


def test_a_signal_long_after_a_lost_one_interrupts_again() -> None:
    work = """from textmetric import signals
    signals._TIDYING = 0.0
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass
    os.kill(os.getpid(), signal.SIGINT)"""
    assert run(work).stderr.startswith("error: interrupted: ")


@pytest.mark.parametrize("rows", [1, 100_000])  # fits into the buffer of the output, or does not
def test_a_closed_pipe_is_one_sentence(rows: int) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-c", CODE.format(work=f"print('row' * {rows})")],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert process.returncode == 2
    assert process.stderr.startswith("error: the output was closed before its end: ")
    assert process.stderr.count("\n") == 1


def test_a_closed_output_and_error_do_not_matter() -> None:
    code = CODE.format(work="print('row')")
    shell = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} >&- 2>&-"
    assert subprocess.run(shell, shell=True, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("package", ["stages", "studies", "benchmarks"])
def test_a_signal_while_a_program_imports_is_one_sentence(
    package: str, number: signal.Signals, tmp_path: Path
) -> None:
    # the program is a slow module of the package
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text((ROOT / package / "__init__.py").read_text())
    (tmp_path / package / "slow.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", f"{package}.slow"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said.startswith("error: interrupted: nothing half-written")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "MemoryError",
            r"error: memory ran out while libraries were loaded \(MemoryError\): allow",
        ),
        ("ImportError('a.so: failed to map segment')", r"error: memory ran out .*\(a.so: failed"),
        ("ImportError('no module')", r"Traceback[\s\S]*ImportError: no module"),
    ],
)
def test_too_little_memory_for_the_imports_is_one_sentence(
    fault: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").write_text((ROOT / "stages/__init__.py").read_text())
    (tmp_path / "stages/large.py").write_text(f"raise {fault}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "stages.large"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == (1 if "no module" in fault else 2)
    assert re.match(said, ended.stderr)

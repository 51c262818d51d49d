"""The command as a process: what it imports, pipes, terminals and signals."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "textmetric"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
BASE = """
import sys
OTHERS = {"torch", "numba", "sklearn", "scipy", "pandas", "pyarrow", "pydantic", "tqdm", "dvc"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OTHERS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from textmetric.cli import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ("embed", "my-model", "texts.csv", "--text", "body"),
        ("classify", "my-model", "texts.csv", "--text", "body", "--probabilities"),
        ("neighbors", "my-model", "texts.csv", "--text", "body", "--query", "a car"),
    ],
)
def test_the_base_installation_is_enough(words: tuple[str, ...], here: Path) -> None:
    whole, base = (
        subprocess.run([*command, *words], env=ENVIRONMENT, capture_output=True, check=True)
        for command in (COMMAND, [sys.executable, "-c", BASE])
    )
    assert base.stderr == whole.stderr == b""
    assert len(base.stdout) > 50
    assert base.stdout == whole.stdout


def test_a_reader_that_leaves_is_no_error(here: Path) -> None:
    Path("many.txt").write_text("a red car\n" * 50_000)
    with subprocess.Popen(
        [*COMMAND, "classify", "my-model", "many.txt"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"text,label\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_one_word_and_the_status_of_shells(
    number: signal.Signals, here: Path
) -> None:
    with subprocess.Popen(
        [*COMMAND, "classify", "my-model", "-"],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"a\n" * 100_000)  # more than a pipe holds: it is reading
        process.stdin.flush()
        # one between two reads comes too early to interrupt the second
        while process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        assert process.stderr.read() == b"interrupted\n"
    assert process.returncode == 128 + number


def test_a_terminal_gets_an_aligned_table_and_no_binary_data(here: Path) -> None:
    def on_terminal(*words: str) -> tuple[int, str]:
        reader, writer = pty.openpty()
        status = subprocess.run(
            [*COMMAND, *words], env=ENVIRONMENT | {"COLUMNS": "60"},
            stdout=writer, stderr=writer, check=False,
        ).returncode  # fmt: skip
        os.close(writer)
        shown = os.read(reader, 1 << 16).decode().replace("\r\n", "\n")
        os.close(reader)
        return status, shown

    Path("texts.csv").write_text('body\n"a red car\x1b[2J\nand more"\n' + "apple " * 50 + "\n")
    status, shown = on_terminal("classify", "my-model", "texts.csv")
    assert status == 0
    lines = shown.splitlines()
    assert lines[:2] == ["label  text", "road   a red car\\x1b[2J\\nand more"]
    assert lines[2].startswith("food   apple apple")
    assert lines[2].endswith("…")
    assert len(lines[2]) <= 60
    status, shown = on_terminal("embed", "my-model", "texts.csv")
    assert status == 2
    assert shown.startswith("error: the vectors would be written to the terminal as npy, ")
    assert shown.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(here: Path) -> None:
    code = (
        "import textmetric.cli.tables as tables\n"
        "def fail(*_, **__): raise KeyError('ours')\n"
        "tables.read_table = fail\n"
        "import sys; sys.argv[1:] = ['embed', 'my-model', 'texts.csv', '--out', 'v.npy']\n"
        "from textmetric.cli import main\nmain()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "KeyError: 'ours'" in ended.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ne", "neighbors"), ("train --objective trip", "triplet"), ("embed --from par", "parquet")],
)
def test_the_shell_completes_commands_and_choices(typed: str, offered: str) -> None:
    words = ["textmetric", *typed.split()]
    environment = {
        "_TEXTMETRIC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    shown = subprocess.run(
        COMMAND, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )
    assert shown.stdout.splitlines() == [f"plain,{offered}"]

from __future__ import annotations

import errno
import importlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from textmetric import parallel
from textmetric.errors import UserError


def square(job: int, tick: Callable[[], None]) -> tuple[int, int]:
    tick()
    return job * job, os.getpid()


def fail(job: int, tick: Callable[[], None]) -> None:
    if job == 0:
        raise UserError("job 0 is wrong: fix it")
    time.sleep(30)


def die(job: int, tick: Callable[[], None]) -> None:
    os._exit(1)


def test_results_are_in_the_order_of_the_jobs_and_come_from_other_processes() -> None:
    found = parallel.run(square, [3, 1, 2], workers=2, progress=False)
    assert [value for value, _ in found] == [9, 1, 4]
    assert os.getpid() not in {process for _, process in found}


def test_one_worker_runs_in_this_process() -> None:
    assert {process for _, process in parallel.run(square, [3, 1], workers=1)} == {os.getpid()}


def test_no_jobs_give_no_results() -> None:
    assert parallel.run(square, [], progress=False) == []


def test_an_error_stops_the_other_jobs_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match="job 0 is wrong"):
        parallel.run(fail, [1, 0], workers=2, progress=False)
    assert time.monotonic() - started < 20  # the other job sleeps for 30
    # The executor's own thread may collect a stopped process: until that thread has noted the
    # result, is_alive cannot find out and says True.
    while any(process.is_alive() for process in multiprocessing.active_children()):
        assert time.monotonic() - started < 25
        time.sleep(0.01)


def test_a_worker_that_is_stopped_while_it_starts_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    import signal

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        for _ in range(5):
            parallel.run(square, [1, 2], workers=2, progress=False)
            with pytest.raises(UserError):
                parallel.run(fail, [0, 0], workers=2, progress=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == ""


def test_a_killed_worker_is_reported_as_out_of_memory() -> None:
    with pytest.raises(UserError, match="memory ran out: use fewer rows or a smaller vocabulary"):
        parallel.run(die, [0, 1], workers=2, progress=False)


def test_the_bar_counts_the_ticks_of_every_process(capsys: pytest.CaptureFixture[str]) -> None:
    parallel.run(square, [1, 2, 3], workers=2, label="squares", unit="number")
    assert "3/3" in capsys.readouterr().err


def threads(job: int, tick: Callable[[], None]) -> list[int]:
    return [library["num_threads"] for library in threadpool_info()]


def test_libraries_have_one_thread_in_workers_and_keep_theirs_in_the_parent() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))  # loads a library with threads
    before = threadpool_info()
    for found in parallel.run(threads, [1, 2], workers=2, progress=False):
        assert found
        assert set(found) == {1}
    assert threadpool_info() == before


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        (
            "multiprocessing.context.ForkContext.SimpleQueue",
            OSError(errno.ENOSPC, "No space left on device"),
            "/dev/shm writable",
        ),
        (
            "multiprocessing.context.ForkContext.SimpleQueue",
            PermissionError(errno.EACCES, "Permission denied"),
            "/dev/shm writable",
        ),
        (
            "multiprocessing.context.ForkProcess.start",
            BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
            "ulimit -u",
        ),
        (
            "multiprocessing.context.ForkProcess.start",
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            "free some memory",
        ),
        ("threading.Thread.start", RuntimeError("can't start new thread"), "ulimit -u"),
    ],
)
def test_what_keeps_processes_from_starting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, said: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(name, refuse)
    with pytest.raises(UserError, match=said):
        parallel.run(square, [1, 2], workers=2, progress=False)
    monkeypatch.undo()
    assert multiprocessing.active_children() == []


ORPHANS = """
import os, sys, time
from textmetric import parallel
def job(number, tick):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(60)
parallel.run(job, [1, 2], workers=2, progress=False)
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of its parent's end"
)
def test_workers_end_when_their_parent_is_killed() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANS],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while alive := [worker for worker in workers if is_alive(worker)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("damaged", ["nbi", "nbc"])
@pytest.mark.parametrize("content", ["half", "nothing", "zeros"])
def test_a_damaged_compile_cache_is_made_again(
    tmp_path: Path, damaged: str, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.py").write_text("def add(a, b):\n    return a + b\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "program", raising=False)
    program = importlib.import_module("program")

    def hits() -> int:
        again = parallel.compiled(program.add)  # as in a new process
        assert again(2, 3) == 5
        return sum(again.stats.cache_hits.values())  # type: ignore[attr-defined]

    assert hits() == 0
    (file,) = (tmp_path / "__pycache__").glob(f"*.{damaged}")
    whole = file.read_bytes()
    file.write_bytes({"half": whole[: len(whole) // 2], "zeros": b"\0" * 99}.get(content, b""))
    assert hits() == 0
    assert hits() == 1


def test_what_a_killed_process_left_in_the_compile_cache_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killed.py").write_text("def add(a, b):\n    return a + b\n")
    monkeypatch.syspath_prepend(tmp_path)
    killed = importlib.import_module("killed")
    assert parallel.compiled(killed.add)(2, 3) == 5
    (index,) = (tmp_path / "__pycache__").glob("*.nbi")
    old, new = (index.with_name(f"{index.name}.tmp.{name}") for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    assert parallel.compiled(killed.add)(2.0, 3.0) == 5
    assert not old.exists()
    assert new.exists()


def test_compiled_code_of_an_older_file_is_never_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)

    def killed(*_: Any) -> None:
        raise OSError(errno.EIO, "killed")

    def result(operation: str) -> int:
        # always in the same place: numba then uses the same names
        (tmp_path / "program.py").write_text(f"def work(a, b):\n    return a {operation} b\n")
        os.utime(tmp_path / "program.py", ns=(ord(operation) * 10**9,) * 2)
        monkeypatch.delitem(sys.modules, "program", raising=False)
        found: int = parallel.compiled(importlib.import_module("program").work)(2, 3)
        return found

    assert result("+") == 5
    with monkeypatch.context() as patched:
        patched.setattr("numba.core.caching.IndexDataCacheFile._save_data", killed)
        assert result("*") == 6
    assert result("*") == 6


def test_a_compile_cache_that_cannot_be_written_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", refuse)
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.load", refuse)
    assert parallel.compiled(add)(2, 3) == 5


def add(a: int, b: int) -> int:
    return a + b

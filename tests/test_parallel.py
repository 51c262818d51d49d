from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable

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

"""Use of the processor: compiled loops, and independent jobs in processes with one progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar, cast

from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from textmetric.errors import UserError

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])

_ticks: SimpleQueue[bool] | None = None


def compiled(function: _Function) -> _Function:
    """``function`` compiled by numba when it is first called, and cached on disk.

    Partial sums of a reduction may be kept and products fused with sums. The interpreter's lock is
    given up while it runs, so threads may call it side by side.

    The cache is next to the source or, if that folder cannot be written, in the user's cache
    folder; if neither can be written, every process compiles for itself. A cached function
    is not compiled again when a compiled function of *another file* that it calls has changed,
    so compiled functions call those of their own file only.
    """
    import numba  # imported here: it takes half a second

    options: dict[str, Any] = {
        "fastmath": {"reassoc", "contract"},
        "error_model": "numpy",
        "nogil": True,
    }
    try:
        return cast(_Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba's word for: no folder for the cache
        return cast(_Function, numba.njit(**options)(function))


def cores() -> int:
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Callable[[_Job, Callable[[], None]], _Result],
    jobs: Sequence[_Job],
    *,
    workers: int | None = None,
    ticks: int = 1,
    label: str = "",
    unit: str = "job",
    progress: bool = True,
) -> list[_Result]:
    """``[function(job, tick) for job in jobs]``, in processes, in the order of ``jobs``.

    Args:
        function: a module-level function; it calls ``tick()`` as its work proceeds.
        jobs: what each call gets.
        workers: processes at once; default the cores there are. With one worker or one job
            everything runs in this process.
        ticks: how many ticks a job gives, for the length of the bar.
        label: the title of the bar.
        unit: what a tick is called in the bar.
        progress: whether to show the bar (on stderr).

    Raises:
        UserError: a process was killed, most often for want of memory.
        Exception: whatever ``function`` raises; the other jobs are stopped.
    """
    workers = min(cores() if workers is None else workers, len(jobs))
    with tqdm(
        total=len(jobs) * ticks, desc=label, unit=unit, disable=not progress, file=sys.stderr
    ) as bar:
        if workers <= 1:
            return [function(job, lambda: _advance(bar)) for job in jobs]
        # Forked workers have torch imported already, which saves seconds a stage.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        queue = context.SimpleQueue()
        listener = threading.Thread(target=_move_bar, args=(queue, bar), daemon=True)
        executor = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start_worker, initargs=(queue,)
        )
        done = False
        try:
            # What a forked worker inherits it need not set: setting the threads of libraries in a
            # child of a process that has threads can wait for a lock that nobody holds any more.
            with _workers_signals(), threadpool_limits(1):  # the processes fill the cores
                futures = [executor.submit(_call, function, job) for job in jobs]
            listener.start()  # after the fork, which takes no thread along
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future.done() and future.exception()]
            results = [future.result() for future in failed or futures]
            done = True
            return results
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, most often for want of memory: "
                "use fewer rows (data.limit) or a smaller vocabulary (data.max_size)"
            ) from None
        finally:
            # A worker that was stopped may have held the queue's lock, so nothing is put into it
            # then: the listener is a daemon and ends with this process.
            if done:
                queue.put(False)
                listener.join()
            workers_left = multiprocessing.active_children()
            executor.shutdown(wait=False, cancel_futures=True)
            for process in workers_left:
                process.terminate()
            for process in workers_left:
                process.join(timeout=5)
                if process.is_alive():
                    process.kill()
                    process.join()


@contextmanager
def _workers_signals() -> Iterator[None]:
    """Signals as a worker must have them from its first moment: it inherits them by the fork.

    Ctrl-C reaches the whole group of processes, and the parent stops its workers itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signals, and the worker does it itself then
        return
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


def _start_worker(queue: SimpleQueue[bool]) -> None:
    global _ticks
    _ticks = queue
    if multiprocessing.get_start_method() == "spawn":
        threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _call(function: Callable[[Any, Callable[[], None]], _Result], job: Any) -> _Result:
    assert _ticks is not None
    queue = _ticks
    return function(job, lambda: queue.put(True))


def _move_bar(queue: SimpleQueue[bool], bar: Any) -> None:
    while queue.get():
        _advance(bar)


def _advance(bar: Any) -> None:
    bar.update()

"""Compiled functions, and independent jobs in parallel processes or on a cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from textmetric import signals
from textmetric.errors import UserError, needing


class Files(NamedTuple):
    """What a job reads and writes, for a cluster whose workers do not see the folder.

    Attributes:
        reads: files and folders, relative to the folder of this process.
        writes: files and folders that are there as a whole when the job is done.
    """

    reads: Sequence[Path] = ()
    writes: Sequence[Path] = ()


_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])

_LEFT = 3600.0  # seconds after which no process writes a temporary file any more

CLUSTER = "TEXTMETRIC_CLUSTER"
"""The environment variable that says where jobs run, see :func:`.cluster.connected`."""
PROCESSES = "processes"
MIXED = "TEXTMETRIC_MIXED"
"""The environment variable that lets workers do jobs that differ from this machine."""
MIXED_LOG = "mixed-workers.jsonl"
"""The file in the folder of a run that says so: a line of JSON for each such worker."""

_ticks: SimpleQueue[bool] | None = None
_in_job = False
_kept: list[Callable[[], None]] = []
"""What empties each function of :func:`kept`."""


def compiled(function: _Function) -> _Function:
    """Decorate ``function`` with numba's ``njit``: compiled at its first call, cached on disk.

    Sums may be reordered and fused with products, so the last bits may differ from those of plain
    Python. Compiled functions release the interpreter lock, so they run in parallel threads.

    The cache is next to the source file or, if that folder is not writable, in the user's cache
    folder. If neither is writable, every process compiles again. Numba recompiles a function when
    its own file changes, but not when it calls a compiled function of *another file* that changed:
    compiled functions must only call compiled functions of their own file.
    """
    return _compiled(function, fastmath={"reassoc", "contract"})


def compiled_in_order(function: _Function) -> _Function:
    """Like :func:`compiled`, but sums keep their order and are not fused with products.

    The last bits are then the same on every processor, if ``function`` calls nothing but
    arithmetic and square roots: exp and log of the C library depend on the processor.
    """
    return _compiled(function, fastmath=False)


def _compiled(function: _Function, **options: Any) -> _Function:
    with needing("a compiled function", "train"):
        import numba  # imported here because it takes half a second

    options |= {"error_model": "numpy", "nogil": True}
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder for the cache
        dispatcher = numba.njit(**options)(function)
    _forgive(dispatcher._cache)
    return cast(_Function, dispatcher)


def _forgive(cache: Any) -> None:
    """Let a compiled function do without its cache on disk if that is damaged or not writable.

    A file that a power cut has truncated would else be a traceback in every run: it is dropped, and
    the function is compiled and cached again. And numba writes the index before the code: killed in
    it would later take what the same function did before its file changed.
    What a kill leaves of its temporary files is removed after an hour.
    """
    load, save, folder = cache.load_overload, cache.save_overload, Path(cache.cache_path or "")

    def load_overload(*given: Any) -> Any:
        try:
            return load(*given)
        except Exception:  # unpickling what is damaged can raise anything
            with contextlib.suppress(OSError):
                cache.flush()
            return None

    def save_overload(*given: Any) -> None:
        with contextlib.suppress(OSError):
            if not cache._cache_file._load_index():
                for code in folder.glob(f"{cache._impl.filename_base}.*.nbc"):
                    code.unlink()
            for left in folder.glob(f"{cache._impl.filename_base}.*.tmp.*"):
                if time.time() - left.stat().st_mtime > _LEFT:
                    left.unlink()
            save(*given)

    if cache.cache_path is not None:
        cache.load_overload, cache.save_overload = load_overload, save_overload


def kept(function: _Function, most: int = 1) -> _Function:
    """A function that keeps its last results for the jobs of one :func:`run`.

    Many jobs read the same files, and none changes them. Another run reads them again: they may
    have been rewritten.

    Args:
        function: its arguments are hashable.
        most: how many results it keeps.
    """
    found = lru_cache(maxsize=most)(function)
    _kept.append(found.cache_clear)
    return cast(_Function, found)


def forget() -> None:
    """Have the functions of :func:`kept` forget their results."""
    for clear in _kept:
        clear()


@contextmanager
def as_job() -> Iterator[None]:
    """A process that does a job: it starts no others, and its libraries use one thread."""
    with needing("parallel jobs", "train"):
        from threadpoolctl import threadpool_limits

    global _in_job
    _in_job = True
    try:
        with threadpool_limits(1):
            yield
    finally:
        _in_job = False


def forget_peak() -> None:
    """Have the process forget its peak of memory, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak is then that of all that the process did


def peak_mib() -> float:
    """The peak of memory of this process since :func:`forget_peak`, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def choose(cluster: str | None, mixed: bool) -> None:
    """Have :func:`run` use a cluster, see :data:`CLUSTER` and :data:`MIXED`; None for no change."""
    if cluster is not None:
        os.environ[CLUSTER] = cluster
    if mixed:
        os.environ[MIXED] = "1"


def _cores() -> int:
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def of_pair(pair: tuple[Any, Path]) -> Files:
    """The files of one of :func:`unfinished`: what it reads are the paths among its attributes."""
    job, file = pair
    fields = job if isinstance(job, tuple) else vars(job).values()
    return Files([each for each in fields if isinstance(each, Path)], [file])


def unfinished(jobs: Iterable[_Job], files: Iterable[Path]) -> list[tuple[_Job, Path]]:
    """The jobs whose result is not there yet, each once, with the files that they write.

    So a program that was left goes on where it was, if a file appears only as a whole. The folders
    of the files are made.

    Args:
        jobs: n of them.
        files: n: where the result of each is. Equal jobs have the same file.
    """
    missing = {file: job for job, file in zip(jobs, files, strict=True) if not file.is_file()}
    for folder in {file.parent for file in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    return [(job, file) for file, job in missing.items()]


def finish(
    function: Callable[[tuple[_Job, Path], Callable[[], None]], None],
    jobs: Sequence[_Job],
    written: Sequence[Path],
    *,
    files: Callable[[tuple[_Job, Path]], Files] = of_pair,
    workers: int | None = None,
    label: str = "",
    unit: str = "job",
    progress: bool = True,
) -> None:
    """Do the jobs whose result is not there yet, see :func:`unfinished`.

    Args:
        function: see :func:`run`; it gets a job and the file that it writes.
        jobs: n of them.
        written: n: see :func:`unfinished`.
        files: what each reads and writes.
        workers: see :func:`run`, as for the rest.
        label: see there.
        unit: see there.
        progress: see there.

    Raises:
        UserError: see :func:`run`.
        Exception: raised by ``function``.
    """
    missing = unfinished(jobs, written)
    run(
        function,
        missing,
        workers=workers,
        files=files,
        done=len(set(written)) - len(missing),
        label=label,
        unit=unit,
        progress=progress,
    )


def run(
    function: Callable[[_Job, Callable[[], None]], _Result],
    jobs: Sequence[_Job],
    *,
    workers: int | None = None,
    files: Callable[[_Job], Files] | None = None,
    done: int = 0,
    ticks: int = 1,
    label: str = "",
    unit: str = "job",
    progress: bool = True,
) -> list[_Result]:
    """Run ``[function(job, tick) for job in jobs]`` in parallel processes, or on a cluster.

    The libraries of a worker process (BLAS, OpenMP) use one thread each. Where the environment
    variable :data:`CLUSTER` names a cluster, its workers do the jobs, with the same results. A job
    may then be done twice, after a worker was lost: what it writes must appear whole, and be the
    same each time.

    Args:
        function: a module-level function; it calls ``tick()`` as it makes progress.
        jobs: the argument of each call.
        workers: number of processes; None for one per core, or for the cluster. With one worker or
            one job everything runs in this process.
        files: what a job reads and writes; None for nothing.
        done: how many jobs an earlier run did, where the bar starts; see :func:`unfinished`.
        ticks: number of ticks of each job, for the length of the bar.
        label: the title of the bar.
        unit: the name of a tick in the bar.
        progress: show the bar, on stderr.

    Returns:
        The results, in the order of ``jobs``.

    Raises:
        UserError: a worker process was killed, most likely because memory ran out, or none can be
            started; or see :func:`.cluster.run`.
        Exception: raised by ``function``; the other jobs are stopped.
    """
    forget()
    if not jobs:
        return []
    if done:
        print(f"{label}: {done} of {done + len(jobs)} {unit}s are done", file=sys.stderr)
    with needing("parallel jobs", "train"):  # here, since compiled functions alone need neither
        from threadpoolctl import threadpool_limits
        from tqdm.auto import tqdm

    where = os.environ.get(CLUSTER) or PROCESSES
    with tqdm(
        total=(done + len(jobs)) * ticks,
        initial=done * ticks,
        desc=label,
        unit=unit,
        disable=not progress,
        file=sys.stderr,
    ) as bar:
        if where != PROCESSES and workers is None and len(jobs) > 1 and not _in_job:
            from textmetric import cluster

            return cluster.run(where, function, jobs, files=files, bar=bar, label=label, unit=unit)
        workers = 1 if _in_job else min(_cores() if workers is None else workers, len(jobs))

        def tick() -> None:
            bar.update()

        if workers <= 1:
            return [function(job, tick) for job in jobs]
        # Forked workers have torch imported already, which saves seconds in every stage.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        try:
            queue = context.SimpleQueue()
            executor = ProcessPoolExecutor(
                workers, mp_context=context, initializer=_start_worker, initargs=(queue,)
            )
        except OSError as error:
            raise UserError(
                f"processes cannot share memory ({error.strerror}): make /dev/shm writable, and "
                "free some space in it"
            ) from error
        listener = threading.Thread(target=_listen, args=(queue, tick), daemon=True)
        done = False
        try:
            # Set before the fork, so that workers inherit it: in a forked child of a process with
            # threads, setting the libraries' threads can wait forever for a lock.
            with _start_errors(), signals.held(), threadpool_limits(1):
                futures = [executor.submit(_call, function, job) for job in jobs]
                listener.start()  # after the fork, which does not copy threads
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future.done() and future.exception()]
            results = [future.result() for future in failed or futures]
            done = True
            return results
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, most likely because memory ran out: "
                "use fewer rows or a smaller vocabulary"
            ) from None
        finally:
            # A stopped worker may hold the queue's lock, so nothing is put into the queue after a
            # failure. The listener is a daemon thread and ends with this process.
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
def _start_errors() -> Iterator[None]:
    """Raise a ``UserError`` if no process or thread can be started."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"no more processes or threads can be started ({error}): raise the limit (ulimit -u), "
            "or free some memory"
        ) from error


def _start_worker(queue: SimpleQueue[bool]) -> None:
    global _ticks, _in_job
    _ticks, _in_job = queue, True
    if multiprocessing.get_start_method() == "spawn":
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
    signals.as_worker()


def _call(function: Callable[[Any, Callable[[], None]], _Result], job: Any) -> _Result:
    assert _ticks is not None
    queue = _ticks
    return function(job, lambda: queue.put(True))


def _listen(queue: SimpleQueue[bool], tick: Callable[[], None]) -> None:
    while queue.get():
        tick()

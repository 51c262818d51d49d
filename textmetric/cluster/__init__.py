"""Jobs on a cluster of Dask: on the workers of one machine or of many.

The scheduling is Dask's. This package connects (:mod:`.connect`), makes sure that a worker gives
the results that this machine would give (:mod:`.greeting`, :mod:`.alike`), and says what
happens in the words of a user.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import itertools
import os
import pickle
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from textmetric import parallel
from textmetric.errors import UserError, needing, printable, shown
from textmetric.files import as_json, temporary_file

with needing("a cluster", "cluster"):
    import cloudpickle
    import distributed
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

from textmetric.cluster import greeting
from textmetric.cluster.alike import signature
from textmetric.cluster.connect import connected, is_local
from textmetric.cluster.store import STORE, Entry, Store, cache, inside

__all__ = ["run"]

_WAIT = 10.0
"""Seconds without a worker after which that is said."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

ended: set[str] = set()
"""In a worker: the runs that have ended."""
_one_at_a_time = threading.Lock()
_last_run = ""

cloudpickle.register_pickle_by_value(greeting)  # a worker may lack this package


def run(
    where: str,
    function: Callable[[_Job, Callable[[], None]], _Result],
    jobs: Sequence[_Job],
    *,
    files: Callable[[_Job], parallel.Files] | None,
    bar: Any,
    label: str = "",
    unit: str = "job",
) -> list[_Result]:
    """Run ``[function(job, tick) for job in jobs]`` on the workers of a cluster.

    The workers see the folder that this process runs in, under the same path, or files go through
    the store that :data:`.store.STORE` names. A job whose worker is lost is done by another one.

    Args:
        where: see :func:`.connected`.
        function: see :func:`.parallel.run`, as for the rest.
        jobs: see there.
        files: see there.
        bar: of tqdm; each tick of a job moves it once, however often the job is begun.
        label: what the run is called in messages.
        unit: what a job is called there.

    Raises:
        UserError: there is no scheduler, or it goes away; no worker gives the same results; a job
            killed one worker after another; see :class:`.Store`.
        Exception: raised by ``function``; the other jobs are cancelled.
    """
    store = _stored(jobs, files)
    main = _main_module()
    module = function.__module__
    if module == "__main__":
        if main is None:
            raise UserError(
                f"{function.__qualname__} is in a script, which workers cannot import: put it into "
                "a module"
            )
        module = main
    places = [os.getcwd()] * len(jobs) if store is None else store
    payloads = [
        pickle.dumps((function, job, place), pickle.HIGHEST_PROTOCOL)
        for job, place in zip(jobs, places, strict=True)
    ]
    name = f"textmetric-{uuid.uuid4().hex}"
    package = __name__

    def do(payload: bytes, number: int) -> Any:
        # sent as it is, since the scheduler, which reads it too, may lack this package
        return importlib.import_module(package).work(payload, main, name, number)

    with connected(where) as client, _file(name) as file:
        seen = (str(file), name) if store is None else None
        watch = _Watch(where, name, label, bar)
        client.subscribe_topic(name, watch.heard)
        client.subscribe_topic("all", watch.happened)
        mixed = os.environ.get(parallel.MIXED, "0") != "0"
        own = is_local(where)
        plugin = greeting.Greeting(name, signature(module), module, seen, mixed, own)
        client.register_plugin(plugin)
        futures: dict[Any, int] = {}
        try:
            watch.wait_for_one(client)
            futures = {
                client.submit(
                    do, payload, number, key=f"{name}-{number}", resources={name: 1}, pure=False
                ): number
                for number, payload in enumerate(payloads)
            }  # fmt: skip
            return _gathered(client, futures, jobs, where, unit, store)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                for topic in (name, "all"):
                    client.unsubscribe_topic(topic)
                client.cancel(list(futures), force=True)
                client.unregister_worker_plugin(name)


def _gathered(
    client: distributed.Client,
    futures: dict[Any, int],
    jobs: Sequence[Any],
    where: str,
    unit: str,
    store: list[_Sent] | None,
) -> list[Any]:
    """The results in the order of the jobs, as soon as all are there."""
    results: dict[int, Any] = {}
    for future in distributed.as_completed(list(futures), loop=client.loop):
        number = futures[future]
        try:
            payload, written = future.result()
            if store is not None:
                Store(store[number].url).bring(written, store[number].writes)
            results[number] = _loaded(payload, {_main_module(): "__main__"})
        except KilledWorker as error:
            raise UserError(
                f"{unit} {number + 1} of {len(jobs)} killed {error.allowed_failures + 1} workers, "
                f"most likely because memory ran out: {shown(jobs[number])}; "
                f"{len(results)} of {len(jobs)} are done"
            ) from None
        except (FutureCancelledError, CommClosedError):
            raise UserError(
                f"the scheduler at {where} is gone, with {len(results)} of {len(jobs)} {unit}s "
                "done: start it and run the same command again"
            ) from None
    return [results[number] for number in range(len(jobs))]


class _Sent(NamedTuple):
    """What the worker of a job that does not see the folder needs: a store, and files of it."""

    url: str
    reads: list[Entry]
    writes: Sequence[Path]


def _stored(
    jobs: Sequence[_Job], files: Callable[[_Job], parallel.Files] | None
) -> list[_Sent] | None:
    """What jobs read is put into the store, if there is one."""
    url = os.environ.get(STORE)
    if not url:
        return None
    store, found = Store(url), []
    known: dict[Path, list[Entry]] = {}
    for job in jobs:
        named = parallel.Files() if files is None else files(job)
        for path in named.reads:
            if path not in known:
                known[path] = store.put([path])
        reads = [entry for path in named.reads for entry in known[path]]
        found.append(_Sent(url, reads, [inside(path) for path in named.writes]))
    return found


class _Watch:
    """What workers of a run say, and what happens to them."""

    def __init__(self, where: str, name: str, label: str, bar: Any) -> None:
        self._where = where
        self._name = name
        self._bar = bar
        self._label = label
        self._ticks: set[tuple[int, int]] = set()
        self._workers: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def heard(self, event: tuple[float, Any]) -> None:
        """A tick, or a worker that was greeted."""
        kind, *said = event[1]
        if kind == "tick":
            job, number = said
            if (job, number) not in self._ticks:  # a job may be done twice
                self._ticks.add((job, number))
                self._bar.update()
            return
        address, called, differences, refused = said
        shortened = ", ".join(differences)
        if refused:
            self._refused[address] = called
            self._say(f"the worker {called} ({address}) is refused: {shortened}")
            return
        self._workers[address] = called
        if differences:
            self._say(
                f"the worker {called} ({address}) differs: {shortened}; the last digits of results "
                f"may, too, see {parallel.MIXED_LOG}"
            )
            about = {"run": self._label, "worker": called, "differences": differences}
            with open(parallel.MIXED_LOG, "ab") as stream:
                stream.write(
                    as_json(
                        {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), **about},
                        indent=None,
                    )
                )

    def happened(self, event: tuple[float, Any]) -> None:
        """What the scheduler says about all of its workers."""
        said = event[1]
        address = said.get("worker")
        if said.get("action") != "remove-worker" or address not in self._workers:
            return
        called = self._workers.pop(address)
        ours = [key for key in said["processing-tasks"] if str(key).startswith(self._name)]
        if said.get("expected") or not ours:
            return
        also = "" if self._workers else "; no other worker is there now"
        self._say(f"the worker {called} ({address}) was lost: another one does its work{also}")

    def wait_for_one(self, client: distributed.Client) -> None:
        """Return as soon as there is a worker for the jobs.

        Raises:
            UserError: there are workers, and all are refused.
        """
        since, told = time.monotonic(), False
        while not self._workers:
            present = set(client.scheduler_info(n_workers=-1)["workers"])
            if present and present <= set(self._refused):
                raise UserError(
                    f"no worker of {self._where} can do the jobs, see above: install the same "
                    f"there, in the same folder, or set {parallel.MIXED}=1 if the last digits of "
                    "results may differ"
                )
            if not told and time.monotonic() - since > _WAIT:
                self._say(f"{self._where} has no worker yet: waiting for one (Ctrl-C ends)")
                told = True
            time.sleep(0.05)

    def _say(self, message: str) -> None:
        self._bar.write(printable(f"warning: {message}"), file=sys.stderr)


@contextmanager
def _file(content: str) -> Iterator[Path]:
    """A file in the folder of this process, by which workers find out that they see it."""
    with temporary_file(Path.cwd()) as path:
        path.write_text(content)
        yield path


def work(payload: bytes, main: str | None, name: str, number: int) -> tuple[bytes, list[Entry]]:
    """In a worker: do a job; give the result in bytes, and what was put into the store.

    Args:
        payload: the function, the job, and the folder to do it in, or what to fetch into an own
            one.
        main: the module that is ``__main__`` there.
        name: of the run.
        number: of the job.
    """
    global _last_run
    worker = distributed.get_worker()
    counter = itertools.count()

    def tick() -> None:
        if name in ended:
            raise InterruptedError("the run has ended")
        worker.log_event(name, ["tick", number, next(counter)])

    with _one_at_a_time:
        if name != _last_run:
            parallel.forget()
            _last_run = name
        function, job, place = _loaded(payload, {"__main__": main})
        if isinstance(place, str):
            with _in_folder(Path(place)), parallel.as_job():
                return pickle.dumps(function(job, tick), pickle.HIGHEST_PROTOCOL), []
        folder, store = _own_folder(name), Store(place.url)
        store.get(place.reads, folder)
        with _in_folder(folder), parallel.as_job():
            result = pickle.dumps(function(job, tick), pickle.HIGHEST_PROTOCOL)
            return result, store.put(place.writes)


def keep_memory() -> None:
    """In a worker: memory that is freed stays with the process, which will need it again.

    Dask has its workers give it back at once, so that every array costs page faults: measuring took
    a third longer.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # of glibc
        mallopt(_M_TRIM_THRESHOLD, 1 << 28)
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)


def end(name: str) -> None:
    """In a worker: a run has ended."""
    ended.add(name)
    shutil.rmtree(_own_folder(name), ignore_errors=True)


def _own_folder(name: str) -> Path:
    """Where a worker that does not see the folder of a run does its jobs."""
    folder = cache() / "runs" / f"{name}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """The process in a folder for a while."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _main_module() -> str | None:
    """What ``python -m`` was given, if that started this process."""
    spec = sys.modules["__main__"].__spec__
    return None if spec is None else spec.name


class _Unpickler(pickle.Unpickler):
    """Looks for the classes and functions of some modules in others."""

    def __init__(self, payload: bytes, modules: Mapping[str | None, str | None]) -> None:
        super().__init__(io.BytesIO(payload))
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        """See :class:`pickle.Unpickler`."""
        return super().find_class(self._modules.get(module) or module, name)


def _loaded(payload: bytes, modules: Mapping[str | None, str | None]) -> Any:
    return _Unpickler(payload, modules).load()

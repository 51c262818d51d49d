"""Jobs on a cluster of Dask: on the workers of one machine or of many.

The scheduling is Dask's. This package connects (:mod:`.connect`), makes sure that a worker gives
the results that this machine would give (:mod:`.greeting`, :mod:`.alike`), and says what
happens in the words of a user.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pickle
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from textmetric import parallel
from textmetric.errors import UserError, needing, printable, shown
from textmetric.files import temporary_file

with needing("a cluster", "cluster"):
    import cloudpickle
    import distributed
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

from textmetric.cluster import greeting
from textmetric.cluster.alike import signature
from textmetric.cluster.connect import connected

__all__ = ["MIXED", "run"]

MIXED = "TEXTMETRIC_MIXED"
"""The environment variable that lets workers do jobs that differ from this machine."""
_WAIT = 10.0
"""Seconds without a worker after which that is said."""

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
    bar: Any,
    unit: str = "job",
) -> list[_Result]:
    """Run ``[function(job, tick) for job in jobs]`` on the workers of a cluster.

    The workers see the folder that this process runs in, under the same path. A job whose worker
    is lost is done by another one.

    Args:
        where: see :func:`.connected`.
        function: see :func:`.parallel.run`, as for the rest.
        jobs: see there.
        bar: of tqdm; each tick of a job moves it once, however often the job is begun.
        unit: what a job is called in messages.

    Raises:
        UserError: there is no scheduler, or it goes away; no worker gives the same results; a job
            killed one worker after another.
        Exception: raised by ``function``; the other jobs are cancelled.
    """
    main = _main_module()
    module = function.__module__
    if module == "__main__":
        if main is None:
            raise UserError(
                f"{function.__qualname__} is in a script, which workers cannot import: put it into "
                "a module"
            )
        module = main
    payloads = [pickle.dumps((function, job), pickle.HIGHEST_PROTOCOL) for job in jobs]
    name = f"textmetric-{uuid.uuid4().hex}"
    with connected(where) as client, _seen(name) as seen:
        watch = _Watch(where, name, bar)
        client.subscribe_topic(name, watch.heard)
        client.subscribe_topic("all", watch.happened)
        plugin = greeting.Greeting(
            name, signature(module), module, seen, os.environ.get(MIXED, "") not in ("", "0")
        )
        client.register_plugin(plugin)
        futures: dict[Any, int] = {}
        try:
            watch.wait_for_one(client)
            futures = {
                client.submit(
                    greeting.do, payload, main, name, number, os.getcwd(),
                    key=f"{name}-{number}", resources={name: 1}, pure=False,
                ): number
                for number, payload in enumerate(payloads)
            }  # fmt: skip
            return _gathered(client, futures, jobs, where, watch, unit)
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
    watch: _Watch,
    unit: str,
) -> list[Any]:
    """The results in the order of the jobs, as soon as all are there."""
    results: dict[int, Any] = {}
    for future in distributed.as_completed(list(futures), loop=client.loop):
        number = futures[future]
        try:
            results[number] = _loaded(future.result(), {_main_module(): "__main__"})
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
        watch.done.add(number)
    return [results[number] for number in range(len(jobs))]


class _Watch:
    """What workers of a run say, and what happens to them.

    Attributes:
        done: the numbers of the jobs that are done.
    """

    def __init__(self, where: str, name: str, bar: Any) -> None:
        self.done: set[int] = set()
        self._where = where
        self._name = name
        self._bar = bar
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
                "may, too"
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
                    f"there, in the same folder, or set {MIXED}=1 if the last digits may differ"
                )
            if not told and time.monotonic() - since > _WAIT:
                self._say(f"{self._where} has no worker yet: waiting for one (Ctrl-C ends)")
                told = True
            time.sleep(0.05)

    def _say(self, message: str) -> None:
        self._bar.write(printable(f"warning: {message}"), file=sys.stderr)


@contextmanager
def _seen(name: str) -> Iterator[tuple[str, str]]:
    """A file in the folder of this process, by which workers find out that they see it."""
    with temporary_file(Path.cwd()) as path:
        path.write_text(name)
        yield str(path), name


def work(payload: bytes, main: str | None, name: str, number: int, folder: str) -> bytes:
    """In a worker: do a job; give the result in bytes.

    Args:
        payload: the function and the job.
        main: the module that is ``__main__`` there.
        name: of the run.
        number: of the job.
        folder: to do it in.
    """
    global _last_run
    worker = distributed.get_worker()
    counter = itertools.count()

    def tick() -> None:
        if name in ended:
            raise InterruptedError("the run has ended")
        worker.log_event(name, ["tick", number, next(counter)])

    with _one_at_a_time, _inside(folder):
        if name != _last_run:
            parallel.forget()
            _last_run = name
        with parallel.as_job():
            function, job = _loaded(payload, {"__main__": main})
            return pickle.dumps(function(job, tick), pickle.HIGHEST_PROTOCOL)


@contextmanager
def _inside(folder: str) -> Iterator[None]:
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

"""Processes forked from one that has the slow libraries imported, but not textmetric."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from tests.mutants.changes import ROOT

IMPORTED_FIRST = (
    "faiss",
    "hypothesis",
    "matplotlib.pyplot",
    "numba",
    "numba.core.dispatcher",
    "openTSNE",
    "pandas",
    "pydantic",
    "pytorch_metric_learning.losses",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.neighbors",
    "torch",
    "torchtext",
    "tqdm.auto",
)
MEMORY = 16 << 30
UNUSED_PLUGINS = ("cacheprovider", "faulthandler", "threadexception", "unraisableexception")


def prepare() -> None:
    """Import what tests import, apart from textmetric."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for name in IMPORTED_FIRST:
        importlib.import_module(name)
    gc.freeze()  # a fork then shares this memory, and does not search it
    if any(name.split(".")[0] == "textmetric" for name in sys.modules):
        raise RuntimeError("textmetric is imported already: no mutant would be seen")


def start(work: Callable[[], int], log: Path, seconds: int = 3600) -> int:
    """Fork a process that does ``work`` and exits with its result.

    Args:
        work: in the child.
        log: what it prints goes there.
        seconds: of a processor that the child may use.

    Returns:
        The id of the child.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        # Jobs of the pipeline then run in this process, where a trace sees them.
        os.sched_getaffinity = lambda pid: {0}
        code = work()
    finally:
        os._exit(code)


def wait(child: int, until: float) -> int | None:
    """Wait for a child of :func:`start`; its exit status, None if it was stopped at ``until``."""
    pause = 0.002
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            stop_group(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)
    stop_group(child)
    os.waitpid(child, 0)
    return None


def stop_group(child: int) -> None:
    """Stop what a child of :func:`start` started, and the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def in_a_fork(work: Callable[[], int], limit: float = 900.0) -> int | None:
    """Do ``work`` in a fork: its exit status, None if it took more than ``limit`` seconds."""
    with tempfile.NamedTemporaryFile() as log:
        code = wait(start(work, Path(log.name)), time.monotonic() + limit)
        if code != 0:
            print(Path(log.name).read_text()[-3000:], file=sys.stderr)
    return code


def run_pytest(arguments: Sequence[str], plugin: Any) -> int:
    """Run tests in this process; the exit status of pytest."""
    import hypothesis

    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, print_blob=False
    )
    hypothesis.settings.load_profile("mutants")
    with tempfile.TemporaryDirectory() as folder:
        return int(
            pytest.main(
                [
                    *("-x", "--no-header", "--tb=line", f"--basetemp={folder}/tests"),
                    *("--assert=plain", "--disable-plugin-autoload"),
                    *(f"-pno:{name}" for name in UNUSED_PLUGINS),
                    *arguments,
                ],
                [plugin],
            )
        )


class Chosen:
    """A plugin of pytest that runs these tests alone, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.place]
        items[:] = sorted(chosen, key=lambda item: self.place[item.nodeid])


class OtherCode(importlib.abc.MetaPathFinder):
    """Imports one module from other code than its file."""

    def __init__(self, name: str, file: Path, code: CodeType) -> None:
        self.name, self.file, self.code = name, file, code

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        if name != self.name:
            return None
        code = self.code

        class Loader(importlib.machinery.SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return code

        return importlib.util.spec_from_file_location(
            name, self.file, loader=Loader(name, str(self.file))
        )


def dotted(module: str) -> str:
    """The name under which a module of textmetric is imported."""
    name = "textmetric." + module.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def imported_from(module: str, code: CodeType) -> OtherCode:
    """For ``sys.meta_path``: imports the module of textmetric from this code."""
    return OtherCode(dotted(module), ROOT / "textmetric" / module, code)


def compile_again(module: str, functions: Sequence[str]) -> None:
    """Keep numba from reading these functions of a module from its cache, or writing them."""
    from numba.core.dispatcher import Dispatcher

    cached = Dispatcher.enable_caching

    def enable_caching(self: Any) -> None:
        if self.py_func.__module__ != module or self.py_func.__name__ not in functions:
            cached(self)

    Dispatcher.enable_caching = enable_caching  # type: ignore[method-assign]

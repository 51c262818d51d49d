"""A scheduler and workers of Dask, each a process of its own, as on several machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SECONDS = 60


class Machines:
    """A scheduler, and the workers that are started.

    Args:
        folder: for the scheduler's file and the logs.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._port = "0"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.scheduler = self._start_scheduler()

    def worker(
        self, name: str, *, cwd: Path = ROOT, path: str = str(ROOT), threads: int = 1, **env: str
    ) -> None:
        """Start a worker; it is there a second later."""
        self.workers[name] = self._started(
            f"worker-{name}",
            "dask_worker", "--scheduler-file", str(self.file), "--nthreads", str(threads),
            "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--name", name,
            "--death-timeout", "60",
            "--local-directory", str(self._folder / "scratch"),
            cwd=cwd, env={"PYTHONPATH": path, **env},
        )  # fmt: skip

    def kill(self, name: str) -> None:
        """Kill a worker, as if its machine lost its power."""
        self.workers.pop(name).kill()

    def restart(self) -> None:
        """Kill the scheduler, and start another one."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.file.unlink()
        self.scheduler = self._start_scheduler()

    def close(self) -> None:
        """End all processes."""
        for process in [self.scheduler, *self.workers.values()]:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _start_scheduler(self) -> subprocess.Popen[bytes]:
        process = self._started(
            "scheduler",
            "dask_scheduler", "--scheduler-file", str(self.file), "--port", self._port,
            "--no-dashboard", "--host", "127.0.0.1",
        )  # fmt: skip
        until = time.monotonic() + _SECONDS
        while not self.file.exists():
            assert time.monotonic() < until, (self._folder / "scheduler.log").read_text()
            time.sleep(0.05)
        return process

    def _started(
        self, log: str, program: str, *options: str, **how: Any
    ) -> subprocess.Popen[bytes]:
        how["env"] = {**os.environ, "OMP_NUM_THREADS": "1", **how.get("env", {})}
        for name in ("TEXTMETRIC_CLUSTER", "PYTEST_CURRENT_TEST"):
            how["env"].pop(name, None)
        with open(self._folder / f"{log}.log", "ab") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *options],
                stdout=stream, stderr=stream, **how,
            )  # fmt: skip


@contextmanager
def machines(folder: Path, *workers: str) -> Iterator[Machines]:
    """A scheduler with some workers, which end with the block."""
    found = Machines(folder)
    try:
        for name in workers:
            found.worker(name)
        yield found
    finally:
        found.close()

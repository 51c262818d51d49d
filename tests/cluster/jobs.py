"""Jobs for the tests of clusters. A worker imports them by name."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_info

from textmetric import parallel
from textmetric.errors import UserError
from textmetric.files import replacing_file

Tick = Callable[[], None]


class Job(NamedTuple):
    """Something to do in a folder, slowly."""

    number: int
    folder: Path
    seconds: float = 0.0


def square(job: Job, tick: Tick) -> int:
    """Leave a note of the process, wait, write the square by rename, and give it."""
    tick()
    with open(job.folder / f"{job.number}.begun", "a") as stream:
        stream.write(f"{os.getpid()}\n")
    time.sleep(job.seconds)
    with replacing_file(job.folder / f"{job.number}.txt") as path:
        path.write_text(str(job.number**2))
    tick()
    return job.number**2


def fail_at_zero(job: Job, tick: Tick) -> None:
    """Fail as a user's mistake; other jobs take long."""
    if job.number == 0:
        raise UserError("job 0 is wrong: fix it")
    for _ in range(600):
        time.sleep(0.05)
        tick()
    (job.folder / "went on").touch()


def poison(job: Job, tick: Tick) -> int:
    """Number 1 kills its process, as the system does where memory runs out."""
    if job.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(job, tick)


def about(job: Job, tick: Tick) -> dict[str, Any]:
    """What a job sees."""
    inner = parallel.run(square, [job, job], progress=False)
    return {
        "process": os.getpid(),
        "folder": os.getcwd(),
        "inner": inner,
        "threads": [library["num_threads"] for library in threadpool_info()],
    }


def alone(job: Job, tick: Tick) -> tuple[float, float]:
    """When it began and ended."""
    began = time.monotonic()
    time.sleep(job.seconds)
    return began, time.monotonic()


def faults(job: Job, tick: Tick) -> int:
    """The page faults of making an array of 8 MB twenty times."""
    np.ones(1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@parallel.kept
def text_of(path: Path) -> str:
    """A file that jobs of one run read once."""
    return path.read_text()


def read(path: Path, tick: Tick) -> str:
    """The text of a file."""
    return text_of(path)


def write(job: tuple[int, Path], tick: Tick) -> None:
    """Write the number of a job."""
    job[1].write_text(str(job[0]))
    tick()


class InFolder(NamedTuple):
    """Reads a file, and writes a file and a folder, all relative to where it is done."""

    number: int
    source: Path
    file: Path
    folder: Path

    @property
    def files(self) -> parallel.Files:
        """What it reads and writes."""
        return parallel.Files([self.source], [self.file, self.folder])


def copy_number(job: InFolder, tick: Tick) -> str:
    """Write what is read with the number of the job; give the folder it was done in."""
    text = f"{job.source.read_text()} {job.number}"
    job.file.parent.mkdir(parents=True, exist_ok=True)
    job.file.write_text(text)
    (job.folder / "deep").mkdir(parents=True)
    (job.folder / "deep" / "text").write_text(text)
    tick()
    return os.getcwd()

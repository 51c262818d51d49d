"""Does ``dvc repro`` give the same on a cluster, whatever happens to its workers?

A copy of this repository with tiny corpora runs in processes. Then it runs from nothing again on 1,
2 and 4 workers, and then, as often as --kills says, on 3 workers of which one is killed at a random
moment, and replaced; every other time, these workers do not see the folder of the run. dvc.lock
must be the same each time, except for the costs, and so must the files be.

Example: python -m tests.cluster.campaign --kills 20
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.cluster.machines import machines
from tests.endurance.trials import Project
from textmetric import parallel
from textmetric.cluster.store import CACHE, STORE

WORKERS = (1, 2, 4)


def problem_of(project: Project, where: str) -> str:
    """What is wrong after a run from nothing on a cluster, "" for nothing."""
    project.forget()
    quiet = project.runs[-1, -1]
    project.env[parallel.CLUSTER] = where
    ended = project.repro(quiet)
    if ended.returncode:
        return ended.stdout[-2000:]
    if project.lock() != quiet.lock:
        return "dvc.lock is another"
    if different := project.tree() ^ quiet.files:
        return f"files are left or missing: {sorted(different)[:5]}"
    return ""


def after_kill(
    project: Project, seconds: float, chance: random.Random, *, stored: bool = False
) -> str:
    """The same, where one of three workers is killed after some seconds and replaced.

    Args:
        project: see :class:`Project`.
        seconds: from the start of the run.
        chance: to choose the worker.
        stored: files go through a store, and each worker is in a folder of its own.
    """
    names = ["one", "two", "three"]
    with tempfile.TemporaryDirectory(dir=project.folder) as folder, machines(Path(folder)) as found:
        project.env[STORE] = f"file://{folder}/store" if stored else ""

        def start(name: str) -> None:
            own = Path(folder, name)
            own.mkdir()
            where = own if stored else project.root
            found.worker(name, cwd=where, path=str(project.root), **{CACHE: str(own / "cache")})

        def kill() -> None:
            found.kill(chance.choice(names))
            start("new")

        for name in names:
            start(name)

        timer = threading.Timer(seconds, kill)
        timer.start()
        try:
            return problem_of(project, str(found.file))
        finally:
            timer.cancel()
            timer.join()


def main() -> int:
    """The exit status: 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    given = parser.parse_args()
    chance, bad = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        project = Project(Path(folder), changes=[])
        seconds = project.runs[-1, -1].seconds
        print(f"processes: {seconds:.0f} s", flush=True)
        try:
            for workers in WORKERS:
                began = time.monotonic()
                problem = problem_of(project, f"local:{workers}")
                bad += bool(problem)
                took = time.monotonic() - began
                print(f"{workers} workers: {problem or 'the same'} ({took:.0f} s)", flush=True)
            for number in range(given.kills):
                moment = (number + chance.random()) / given.kills * seconds
                problem = after_kill(project, moment, chance, stored=number % 2 == 1)
                bad += bool(problem)
                print(f"a kill after {moment:.1f} s: {problem or 'the same'}", flush=True)
        finally:
            project.close()
    print(f"{bad} of {len(WORKERS) + given.kills} runs differ")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

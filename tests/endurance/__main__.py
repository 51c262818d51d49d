"""Kill, interrupt and starve ``dvc repro``: does the next one finish as if nothing had happened?

A copy of this repository with tiny corpora has finished. Then, again and again: a parameter
changes, ``dvc repro`` runs, and it is

- killed with its whole process group, at a random moment (random) or at a chosen operation on a
  file of any of its processes (operation),
- sent SIGTERM, to the group or to dvc alone (term), or Ctrl-C (interrupt), at a random moment,
- given a disk that becomes full (disk; needs root).

What make run does must then end with the dvc.lock of a quiet run, except for the costs, and with
the same files; no temporary file and no process may be left.

Example: python -m tests.endurance --random 5 --operations 5
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from tests.endurance.trials import KINDS, Project, campaign
from textmetric.signals import raise_interrupts

FULL = {"random": 50, "operation": 40, "term": 20, "interrupt": 20, "disk": 20}
QUICK = {"random": 2, "operation": 4, "term": 2, "interrupt": 2, "disk": 2}


def main() -> int:
    """The exit status: 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, metavar="N", help=f"trials ({FULL[kind]})")
    parser.add_argument("--quick", action="store_true", help="a few of each")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    given = parser.parse_args()
    raise_interrupts()  # so that SIGTERM, too, gives the file system back
    wanted = QUICK if given.quick else FULL
    counts = {
        kind: wanted[kind] if getattr(given, kind) is None else getattr(given, kind)
        for kind in KINDS
    }
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        project = Project(Path(folder))
        print(f"{len(project.runs)} quiet runs, {project.runs[-1, -1].seconds:.0f} s the first")
        if counts["disk"] and not project.disk:
            print("no full disk: mounting a small file system needs root")
            counts["disk"] = 0
        outcomes: dict[str, list[str]] = collections.defaultdict(list)
        try:
            for trial in campaign(project, counts, seed=given.seed):
                outcomes[trial.kind].append(trial.problem)
                print(trial, flush=True)
        finally:
            project.close()
    bad = sum(problem != "" for problems in outcomes.values() for problem in problems)
    for kind, problems in outcomes.items():
        print(f"{kind}: {len(problems)} trials, {sum(map(bool, problems))} failed")
    print(f"cut files of DVC that were removed: {project.cut_files}")
    print(f"times that dvc.lock had lost stages, which dvc repro brings back: {project.cut_locks}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Where the wall time of the default `dvc repro` goes, from a clean clone with an empty cache.

Clones this checkout into a temporary folder, runs the pipeline there, and prints a Markdown table:
the seconds of every stage, how much of them is the start of its process (Python, imports), and
what DVC itself takes. `--page` writes it into a page, between the lines
`<!-- pipeline -->` and `<!-- end of pipeline -->`. Takes as long as the pipeline: some minutes.

Examples:
    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --page docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import machine
from studies.marks import fill_in, filled
from textmetric import command
from textmetric.errors import UserError
from textmetric.report.formats import table

ROOT = Path(__file__).parents[1]
MARK = "pipeline"
KINDS = {
    "training": ("train", "finetune"),
    "measuring": ("embed", "evaluate"),
    "drawing": ("tsne", "report", "page"),
}
"""What a study is for; the rest is overhead, and so is the start of these."""
# Every `python` of a stage is this one for as long as the pipeline runs.
_CLOCKED = """#!/bin/sh
start=$(date +%s.%N)
"{python}" "$@"
code=$?
echo "$start $(date +%s.%N) $2" >> "{log}"
exit $code
"""


@dataclass(frozen=True)
class Run:
    """What one run of the pipeline took.

    Attributes:
        total: seconds of `dvc repro`.
        stages: stage → seconds of each of its processes.
        starts: stage → seconds of one start of it, imports included.
    """

    total: float
    stages: dict[str, list[float]]
    starts: dict[str, float]


def run(folder: Path) -> Run:
    """Run the pipeline of this checkout in ``folder``, which must not exist.

    Raises:
        UserError: git or the pipeline failed.
    """
    clone, shims, log = folder / "clone", folder / "bin", folder / "log"
    shims.mkdir(parents=True)
    shim = shims / "python"
    shim.write_text(_CLOCKED.format(python=sys.executable, log=log), encoding="utf-8")
    shim.chmod(0o755)
    _call(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT)
    environment = os.environ | {"PATH": f"{shims}{os.pathsep}{os.environ['PATH']}"}
    started = time.perf_counter()
    _call([sys.executable, "-m", "dvc", "repro"], clone, environment)
    total = time.perf_counter() - started
    stages: dict[str, list[float]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        start, end, module = line.split()
        stages.setdefault(module.removeprefix("stages."), []).append(float(end) - float(start))
    return Run(total, stages, {stage: _start(stage, clone) for stage in stages})


def _start(stage: str, clone: Path) -> float:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        _call([sys.executable, "-m", f"stages.{stage}", "--help"], clone)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _call(words: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(
            words, cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{' '.join(words[:4])} failed in {folder}: {last}") from None


def markdown(found: Run) -> str:
    """The table, and a sentence on what is overhead."""
    spent = {stage: sum(seconds) for stage, seconds in found.stages.items()}
    lines = [
        [stage, f"{len(found.stages[stage])}", f"{spent[stage]:.1f}",
         f"{100 * spent[stage] / found.total:.0f} %", f"{_starts(found, stage):.1f}"]
        for stage in sorted(spent, key=lambda stage: -spent[stage])
    ]  # fmt: skip
    own = found.total - sum(spent.values())
    lines.append(["DVC itself", "", f"{own:.1f}", f"{100 * own / found.total:.0f} %", ""])
    kinds = dict.fromkeys(KINDS, 0.0)
    for kind, names in KINDS.items():
        for stage in names:
            kinds[kind] += spent.get(stage, 0.0) - _starts(found, stage)
    shares = ", ".join(f"{kind} {100 * kinds[kind] / found.total:.0f} %" for kind in KINDS)
    rest = 100 * (1 - sum(kinds.values()) / found.total)
    head = ["stage", "processes", "seconds", "share", "of them starting (s)"]
    return (
        f"{table(head, lines)}\n\n"
        f"In all {found.total / 60:.1f} minutes. Without the starting of processes: {shares}. The "
        f"remaining {rest:.0f} % are the starts of processes, DVC, reading and tokenising."
    )


def _starts(found: Run, stage: str) -> float:
    return found.starts.get(stage, 0.0) * len(found.stages.get(stage, []))


def main(arguments: argparse.Namespace) -> None:
    """Run, print, and write into a page."""
    page = arguments.page
    if page is not None:
        filled(page, {MARK: ""})  # report a mistake now, not after some minutes
    with tempfile.TemporaryDirectory(prefix="textmetric-", ignore_cleanup_errors=True) as folder:
        text = markdown(run(Path(folder)))
    print(f"{machine()}\n\n{text}")
    if page is not None:
        fill_in(page, {MARK: text})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("benchmarks.pipeline", __doc__)
    made.add_argument("--page", type=Path, metavar="FILE", help="a page with the two marks")
    return made


if __name__ == "__main__":
    command.run(main, parser())

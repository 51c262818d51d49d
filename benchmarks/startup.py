"""Start-up: the start and end of every stage, and `dvc repro` where nothing has changed.

A pipeline pays the first once for every stage it runs, and a user who looks whether anything is to
do pays the second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.rounds import Case, Options, duration
from textmetric.errors import UserError
from textmetric.pipeline.stage_code import commands_of
from textmetric.yaml12 import read_yaml

ROOT = Path(__file__).parents[1]
QUICK_STAGES = ("stages.costs", "stages.train")
DVC = (sys.executable, "-m", "dvc")
NAMED = 3  # packages that a note names


def cases(options: Options) -> Iterator[Case]:
    """A stage each, then the pipeline."""
    stages = dict.fromkeys(module for module, *_ in commands_of(ROOT / "dvc.yaml").values())
    for module in QUICK_STAGES if options.quick else stages:
        imports = import_times(module)
        slowest = sorted(imports, key=lambda name: -imports[name])[:NAMED]
        printed = ", ".join(f"{name} {duration(imports[name])}" for name in slowest)
        needs_torch = "torch" in imports
        yield Case(
            "startup",
            f"python -m {module} --help",
            partial(python, "-m", module, "--help"),
            "import torch" if needs_torch else "",
            partial(python, "-c", "import torch") if needs_torch else None,
            note=f"imports alone {duration(sum(imports.values()))}; most of it {printed}",
            long=options.quick,
        )
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        note = finished_pipeline(clone)
        yield Case("startup", "dvc repro, nothing to do", partial(repro, clone), note=note)


def python(*words: str) -> str:
    """What a process of Python prints, in this checkout."""
    return _run(ROOT, sys.executable, *words)


def repro(clone: Path) -> None:
    """Raises RuntimeError if there was something to do."""
    printed = _run(clone, *DVC, "repro")
    if "up to date" not in printed:
        raise RuntimeError(f"dvc repro had something to do: {printed}")


def import_times(module: str) -> dict[str, float]:
    """Seconds that Python itself counts in the own modules of each package that is imported."""
    printed = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    own: Counter[str] = Counter()
    for line in printed.splitlines():
        microseconds, _, name = line.removeprefix("import time:").split("|")
        if microseconds.strip().isdecimal():  # the first line names the columns
            own[name.strip().split(".")[0]] += int(microseconds)
    return {name: spent / 1e6 for name, spent in own.items()}


def finished_pipeline(clone: Path) -> str:
    """Clone this checkout, with the outputs of its last run if they are there.

    Otherwise every output becomes a small file and is committed as what the stages wrote: the
    graph is the same, the files are smaller.

    Returns:
        What is to be said of the outputs.

    Raises:
        UserError: this is no git repository.
    """
    try:
        _run(ROOT, "git", "clone", "--quiet", ".", str(clone))
    except (OSError, subprocess.CalledProcessError):
        raise UserError(
            f"{ROOT} cannot be cloned with git, which the benchmark of a pipeline with nothing to "
            "do needs: run it in a git checkout"
        ) from None
    stages = read_yaml(clone / "dvc.lock", "run dvc repro")["stages"]
    if (cache := ROOT / ".dvc" / "cache").is_dir():
        config = clone / ".dvc" / "config.local"
        config.write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
        if _succeeds(clone, "checkout", "--quiet") and _succeeds(clone, "status", "--quiet"):
            return f"{len(stages)} stages, as the last run left them"
        config.unlink()  # placeholders are not for that cache
    for kind in ("deps", "outs"):  # files of a folder come first, that it may hold them
        for stage in stages.values():
            for entry in stage.get(kind, []):
                _placeholder(clone / entry["path"], folder=entry["md5"].endswith(".dir"))
    _run(clone, *DVC, "commit", "--force", "--quiet")
    return f"{len(stages)} stages, small placeholders for what they write"


def _placeholder(path: Path, *, folder: bool) -> None:
    if path.exists():
        return
    file = path / "placeholder" if folder else path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{path.name}\n", encoding="utf-8")


def _succeeds(folder: Path, *words: str) -> bool:
    return subprocess.run([*DVC, *words], cwd=folder, capture_output=True).returncode == 0


def _run(folder: Path, *words: str) -> str:
    done = subprocess.run([*words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout

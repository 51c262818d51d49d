"""A tiny project, and what is done to it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pipeline.test_stages import MORE_WORDS, write_params, write_table
from textmetric.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
KINDS = ("random", "operation", "term", "interrupt", "disk")
COPIED = ("stages", "textmetric", "inputs", "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config",
          ".dvc/.gitignore", "requirements.lock", ".dvc/plots")  # fmt: skip
COSTS = ("data/costs", "reports/costs.md")
PATIENCE = 300.0  # seconds that a run may take

# What dvc repro is asked for, none for everything, and the parameters that change in turn. A trial
# runs a few stages; in every kind of trial each kind of stage has its turn.
CHANGES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("train_metric@target",), {"loss": {"margin": 0.3}}),
    (("download",), {"data": {"limit": 100}}),
    (("evaluate@cls",), {"evaluate": {"neighbours": 3}}),
    ((), {"tsne": {"points": 30}}),
    (("tokenize",), {"data": {"min_freq": 2}}),
    (("finetune_scratch",), {"finetune": {"epochs": 1}}),
    (("split",), {"data": {"seed": 1}}),
)


@dataclass(frozen=True)
class Trial:
    """What was done, and what was wrong after it ("" for nothing)."""

    kind: str
    what: str
    problem: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}: {self.problem or 'fine'} ({self.seconds:.0f} s)"


@dataclass
class Run:
    """What a run does that nothing disturbs.

    Attributes:
        command: what was run.
        seconds: it takes; less, once it was seen to take less, since machines are busy at times.
        room: bytes of the disk that it needs at its peak.
        operations: on files: program and number.
        lock: dvc.lock after it, without the costs.
        files: of the project after it.
    """

    command: list[str]
    seconds: float
    room: int
    operations: list[str]
    lock: Any
    files: set[str]


class Project:
    """A copy of the repository with tiny corpora, where ``dvc repro`` has finished.

    Args:
        folder: an empty one.
        start: what is asked for at first; everything by default.
        changes: targets and parameters that change in turn; none: every run begins from nothing.

    Attributes:
        cut_files: how many files of DVC had to be removed because a kill had cut them.
        cut_locks: how often dvc.lock had lost stages, since it had been cut.
        disk: whether the project has a file system of its own, whose size can change.
        runs: from and to a change (-1: the parameters as they are) → the run.
    """

    def __init__(
        self,
        folder: Path,
        start: Sequence[str] = (),
        changes: Sequence[tuple[Sequence[str], dict[str, Any]]] = CHANGES,
    ) -> None:
        self.folder, self.root = folder, folder / "project"
        self.changes = list(changes)
        self.cut_files = self.cut_locks = 0
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ENDURANCE": str(folder),
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "PYTHONPATH": str(Path(__file__).parent / "hook"),
            "OMP_NUM_THREADS": "1",
        }
        self.root.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(self.root)]
        self.disk = not subprocess.run(mount, capture_output=True, check=False).returncode
        for name in COPIED:
            to = self.root / name
            to.parent.mkdir(exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, to)  # type: ignore[operator]
        write_table(self.root / "few.csv", "label", 120, seed=0)
        write_table(self.root / "many.csv", "topic", 200, seed=1, words=MORE_WORDS)
        subprocess.run(["git", "init", "-q", "."], cwd=self.root, check=True)
        self.runs: dict[tuple[int, int], Run] = {}
        try:
            self._note(-1, -1, start)
            for change, (targets, _) in enumerate(changes):
                self._note(-1, change, targets)
                self._note(change, -1, targets)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file system back."""
        if self.disk:
            subprocess.run(["umount", str(self.root)], check=True)

    def _note(self, before: int, after: int, targets: Sequence[str]) -> None:
        command = ["dvc", "repro", *targets]
        log = self.folder / "operations"
        log.write_text("")
        self.set(after, clear=True)
        used = peak = self.used()
        began = time.monotonic()
        with (self.folder / "output").open("w+") as output:
            process = subprocess.Popen(
                command, cwd=self.root, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output,
                env=self.env | {"ENDURANCE_LOG": str(log), "ENDURANCE_ROOT": str(self.root)},
            )  # fmt: skip
            while process.poll() is None:
                peak = max(peak, self.used())
                time.sleep(0.02)
            output.seek(0)
            if process.returncode:
                raise RuntimeError(output.read())
        lines = log.read_text().splitlines()
        operations = ["\t".join(line.split("\t")[:2]) for line in lines]
        seconds = time.monotonic() - began
        self.runs[before, after] = Run(
            command, seconds, peak - used, operations, self.lock(), self.tree()
        )

    def forget(self) -> None:
        """Remove all that runs have left."""
        for folder in ("data", "models", ".dvc/tmp", ".dvc/cache"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        (self.root / "dvc.lock").unlink(missing_ok=True)

    def set(self, change: int, *, clear: bool) -> None:
        """Change the parameters, and forget what DVC would restore.

        Args:
            change: see ``runs``.
            clear: forget all that DVC has stored, not only what stages have done.
        """
        sections = self.changes[change][1] if change >= 0 else {}
        write_params(self.root, samplers=["balanced"], seeds=[0], **sections)
        cache = self.root / ".dvc" / "cache"
        shutil.rmtree(cache if clear else cache / "runs", ignore_errors=True)

    def repro(self, run: Run) -> subprocess.CompletedProcess[str]:
        """Do a run to its end."""
        return subprocess.run(
            run.command, cwd=self.root, env=self.env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def lock(self) -> Any:
        """dvc.lock without the costs."""
        stages = read_yaml(self.root / "dvc.lock", "run dvc repro").get("stages") or {}
        for stage in stages.values():
            for key in ("deps", "outs"):
                stage[key] = [
                    file for file in stage.get(key, []) if not file["path"].startswith(COSTS)
                ]
        return stages

    def lost(self) -> bool:
        """Whether dvc.lock is missing, lacks a stage, or has one as no quiet run has left it."""
        if not (self.root / "dvc.lock").exists():
            return True
        lock, known = self.lock(), [run.lock for run in self.runs.values()]
        return any(
            name not in lock or lock[name] not in [run.get(name) for run in known]
            for name in self.runs[-1, -1].lock
        )

    def tree(self) -> set[str]:
        """All files, except those of git and DVC, and byte code."""
        return {
            os.path.relpath(os.path.join(folder, name), self.root)
            for folder, folders, files in os.walk(self.root)
            for name in [*files, *folders]
            if not {".git", ".dvc", "__pycache__"} & {*Path(folder).parts, name}
        }

    def used(self) -> int:
        """Bytes that are used of the file system."""
        disk = os.statvfs(self.root)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize

    def resize(self, size: int) -> None:
        """Give the file system this many bytes."""
        options = f"remount,size={size >> 10}k"
        subprocess.run(["mount", "-o", options, str(self.root)], check=True)

    def alive(self) -> list[str]:
        """The command lines of this project's processes."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"ENDURANCE={self.folder}\0".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def problem_after(self, after: int, expected: Run) -> str:
        """Run what ``make run`` runs: what is wrong then, "" for nothing.

        A cut dvc.lock may be a valid one, with fewer stages. A run of one stage does not bring back
        the others, so everything is run first.
        """
        until = time.monotonic() + 10
        while left := self.alive():
            if time.monotonic() > until:
                return f"processes are left: {left}"
            time.sleep(0.05)
        finished = subprocess.run(
            [sys.executable, "-m", "textmetric.pipeline.dvc_files"],
            cwd=self.root, env=self.env | {"PYTHONPATH": ""}, text=True, capture_output=True,
            check=True,
        )  # fmt: skip
        self.cut_files += finished.stdout.count("\n")
        if self.lost():
            self.cut_locks += 1
            self.set(-1, clear=False)
            finished = self.repro(self.runs[-1, -1])
            if finished.returncode or self.lock() != self.runs[-1, -1].lock:
                return f"dvc.lock was cut, and is another: {finished.stdout[-2000:]}"
            self.set(after, clear=False)
        finished = self.repro(expected)
        if finished.returncode:
            return f"the next run failed: {finished.stdout[-2000:]}"
        if self.lock() != expected.lock:
            return "dvc.lock is another"
        if different := self.tree() ^ expected.files:
            return f"files are left or missing: {sorted(different)[:5]}"
        return f"processes are left: {left}" if (left := self.alive()) else ""


def campaign(project: Project, counts: Mapping[str, int], seed: int = 0) -> Iterator[Trial]:
    """Do this many trials of each kind.

    Args:
        project: see :class:`Project`.
        counts: by kind; trials that came too late, after the end of the run, are not counted.
        seed: of the moments.
    """
    chance = random.Random(seed)
    before = -1
    for kind in KINDS:
        done = number = 0
        while done < counts.get(kind, 0) and number < 5 * counts[kind]:
            if not project.changes:
                project.forget()
            # to a change and back
            to_change = before == -1 and project.changes
            after = number // 2 % len(project.changes) if to_change else -1
            run = project.runs[before, after]
            number += 1
            began = time.monotonic()
            # a list of operations is that of an empty cache, and so is the room
            project.set(after, clear=kind in ("operation", "disk") or chance.random() < 0.5)
            share = (done + chance.random()) / counts[kind]
            what, problem = disturb(project, run, kind, share, chance)
            problem = problem or project.problem_after(after, run)
            if problem or what:
                done += 1
                about = f"{' '.join(run.command)}, change {before} to {after}, {what}"
                yield Trial(kind, about, problem, time.monotonic() - began)
            if problem:  # start again from a project as it should be
                project.forget()
                after = -1
                project.set(after, clear=True)
                project.repro(project.runs[-1, -1])
            before = after


def disturb(
    project: Project, run: Run, kind: str, share: float, chance: random.Random
) -> tuple[str, str]:
    """Run ``dvc repro`` and disturb it: what was done, "" if it came too late, and what was wrong.

    Args:
        project: see :class:`Project`.
        run: what it does if it is not disturbed.
        kind: of :data:`KINDS`.
        share: of the run, or of its operations, after which it is disturbed; in [0, 1).
        chance: for choices.
    """
    env: dict[str, str] = {}
    what = ""
    if kind == "operation":
        # every program and number once, so that the many of one stage do not hide the others
        known = sorted(set(run.operations))
        later = chance.choice(["", "0.0001", "0.001"])
        env = {
            "ENDURANCE_ROOT": str(project.root),
            "ENDURANCE_AT": known[int(share * len(known))],
            "ENDURANCE_LATER": later,
        }
        what = f"at {env['ENDURANCE_AT']!r} {later}"
    if kind == "disk":
        room = int(share * run.room)
        project.resize(project.used() + room)
        what = f"{room >> 10} KiB of {run.room >> 10}"
    log = project.folder / "output"
    with log.open("w") as output:
        process = subprocess.Popen(
            run.command, cwd=project.root, env=project.env | env, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )  # fmt: skip
        try:
            if kind in ("random", "term", "interrupt"):
                seconds = share * run.seconds
                what = f"after {seconds:.2f} s"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    began = time.monotonic()
                    process.wait(seconds)
                    run.seconds = min(run.seconds, time.monotonic() - began)
                    return "", ""
                if kind == "term" and chance.random() < 0.5:
                    what += ", dvc alone"
                    process.terminate()
                else:
                    number = {
                        "random": signal.SIGKILL,
                        "term": signal.SIGTERM,
                        "interrupt": signal.SIGINT,
                    }[kind]
                    os.killpg(process.pid, number)
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return what, "it does not end"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if kind == "disk":
        project.resize(1 << 30)
    said = log.read_text()
    if f'File "{project.root}' in said:
        return what, f"a traceback: {said[-2000:]}"
    return (what if status else ""), ""

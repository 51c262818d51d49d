"""The commands of docs/cluster.md, where they can run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="Dask is not installed: make cluster")

import dask

from tests.cluster import jobs
from tests.cluster.jobs import Job
from tests.cluster.machines import ROOT
from textmetric import parallel

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ").partition("   #")[0].rstrip()
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
CHILD = """
import sys
from pathlib import Path
from tests.cluster.jobs import Job, square
from textmetric import parallel
folder = Path(sys.argv[1])
print(parallel.run(square, [Job(number, folder) for number in range(4)], progress=False))
"""


def test_the_scheduler_and_the_workers_of_the_page_do_jobs(tmp_path: Path) -> None:
    starts = [command for command in COMMANDS if command.endswith(" &")]
    assert len(starts) == 2
    quick = "--no-dashboard --host 127.0.0.1"
    script = "\n".join(
        [
            "trap 'kill $(jobs -p)' EXIT",
            *(command.replace(" &", f" {quick} >> log 2>&1 &") for command in starts),
            *(command for command in COMMANDS if command.startswith("export TEXTMETRIC_CLUSTER")),
            "until [ -f scheduler.json ]; do sleep .1; done",
            f"{sys.executable} -c '{CHILD}' {tmp_path}",
        ]
    )
    # the page's PYTHONPATH=. is the folder of the project
    script = script.replace("PYTHONPATH=.", f"PYTHONPATH={ROOT}")
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": _path()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout == "[0, 1, 4, 9]\n", ended.stderr + (tmp_path / "log").read_text()
    processes = {path.read_text() for path in tmp_path.glob("*.begun")}
    assert 1 <= len(processes) <= 2


SBATCH = """#!/bin/sh
echo "$@" >> "$TEXTMETRIC_QUEUE/submitted"
cp "$1" "$TEXTMETRIC_QUEUE/job-$$"
setsid sh "$TEXTMETRIC_QUEUE/job-$$" > "$TEXTMETRIC_QUEUE/job-$$.log" 2>&1 &
echo $! >> "$TEXTMETRIC_QUEUE/running"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$@" >> "$TEXTMETRIC_QUEUE/cancelled"
kill -- -"$1"
"""


def test_a_queue_of_slurm_does_jobs_and_is_left_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{_path()}")
    monkeypatch.setenv("TEXTMETRIC_QUEUE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(parallel.CLUSTER, "slurm:2")
    monkeypatch.chdir(tmp_path)
    settings = {
        "cores": 1, "processes": 1, "memory": "1GB", "interface": "lo",
        "scheduler-options": {"dashboard_address": None},
    }  # fmt: skip
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in settings.items()}):
        found = parallel.run(
            jobs.square, [Job(number, tmp_path, 0.1) for number in range(6)], progress=False
        )
    assert found == [0, 1, 4, 9, 16, 25]
    submitted = (tmp_path / "submitted").read_text().splitlines()
    assert len(submitted) == 2
    running = (tmp_path / "running").read_text().split()
    until = time.monotonic() + 30
    while any(Path("/proc", each).exists() for each in running):
        assert time.monotonic() < until, running
        time.sleep(0.1)


@pytest.mark.skipif(shutil.which("dvc") is None, reason="the command dvc is not installed")
def test_a_stage_that_another_clone_ran_comes_from_the_run_cache(tmp_path: Path) -> None:
    push, pull = (
        next(command for command in COMMANDS if command.startswith(start))
        for start in ("dvc push --run-cache", "dvc repro --pull")
    )
    lines = [
        "git clone --quiet {root} one",
        "git clone --quiet {root} two",
        "cd one",
        "dvc remote add --quiet --default shared {folder}/remote",
        # an experiment that nobody ran
        "sed -i 's/margin: 0.2/margin: 0.21/' params.yaml",
        "dvc repro --quiet fingerprint",
        "dvc repro -s objectives",
        push,
        "cd ../two",
        "dvc remote add --quiet --default shared {folder}/remote",
        "sed -i 's/margin: 0.2/margin: 0.21/' params.yaml",
        "dvc repro --quiet fingerprint",
        f"{pull} objectives",
    ]
    ended = subprocess.run(
        ["bash", "-euc", "\n".join(lines).format(root=ROOT, folder=tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PATH": _path(), "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    mine, _, theirs = ended.stdout.partition("pushed")
    assert "Running stage 'objectives'" in mine
    assert "Running stage" not in theirs
    assert "Stage 'objectives' is cached" in theirs
    assert (tmp_path / "two" / "data" / "objectives").is_dir()


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

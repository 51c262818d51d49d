"""A study that is killed goes on with what is missing, on a cluster too."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="Dask is not installed: make cluster")

from tests.cluster.machines import ROOT
from tests.pipeline.test_stages import write_table


def test_a_league_that_is_killed_does_only_what_is_missing(tmp_path: Path) -> None:
    write_table(tmp_path / "few.csv", "label", 120, seed=0)
    trials = tmp_path / "results" / "trials"
    command = [
        sys.executable, "-m", "studies.league", "--corpus", "few.csv", "--epochs", "2",
        "--objectives", "triplet", "cross_entropy", "--seeds", "0", "1",
        "--params", str(ROOT / "params.yaml"), "--results", "results", "--out", "out",
        "--cluster", "local:2",
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(ROOT), "LEAGUE_OF": str(tmp_path)}
    with open(tmp_path / "log", "w") as log:
        killed = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True
        )
    until = time.monotonic() + 300
    while len(list(trials.glob("[!.]*.json"))) < 2:
        assert time.monotonic() < until
        assert killed.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)  # that process alone: the workers end by themselves
    killed.wait()
    while _alive(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.1)
    before = {path: path.stat().st_mtime_ns for path in trials.glob("[!.]*.json")}
    assert 2 <= len(before) < 8
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert re.search(
        rf"^league: {len(before)} of 8 trainings are done$", ended.stderr, re.MULTILINE
    )
    after = {path: path.stat().st_mtime_ns for path in trials.glob("[!.]*.json")}
    assert len(after) == 8
    assert {path: after[path] for path in before} == before


def _alive(folder: Path) -> list[str]:
    """The processes that were started for the league, wherever they hang."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"LEAGUE_OF={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="Dask is not installed: make cluster")

from tests.cluster import jobs
from tests.cluster.jobs import Job
from tests.cluster.machines import ROOT, Machines, machines
from textmetric import cluster, parallel
from textmetric.cluster import alike
from textmetric.cluster.connect import connected
from textmetric.cluster.store import Store
from textmetric.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def some(folder: Path, count: int = 6, seconds: float = 0.0) -> list[Job]:
    return [Job(number, folder, seconds) for number in range(count)]


def run(where: Machines | str, function: Callable[..., Any], todo: list[Any], **how: Any) -> Any:
    """The results of jobs on a cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(parallel.CLUSTER, str(getattr(where, "file", where)))
        return parallel.run(function, todo, **how)


def begun(folder: Path) -> list[int]:
    """How often each job was begun."""
    return [
        len(path.read_text().splitlines())
        for path in sorted(folder.glob("*.begun"), key=lambda path: int(path.stem))
    ]


def test_results_are_in_the_order_of_the_jobs_and_the_bar_counts_their_ticks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(parallel.CLUSTER, "local:2")
    found = parallel.run(jobs.square, some(tmp_path, seconds=0.1), ticks=2, label="squares")
    assert found == [0, 1, 4, 9, 16, 25]
    processes = {int(path.read_text()) for path in tmp_path.glob("*.begun")}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert "12/12" in capsys.readouterr().err
    assert not list(tmp_path.glob(".textmetric-*"))


def test_a_job_has_one_thread_the_folder_of_the_caller_and_no_workers_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(parallel.CLUSTER, "local:1")
    for found in parallel.run(jobs.about, some(tmp_path, 2), progress=False):
        assert found["process"] != os.getpid()
        assert found["folder"] == os.getcwd()
        assert found["inner"] == [found["inner"][0]] * 2
        assert set(found["threads"]) <= {1}
    assert {int(line) for path in tmp_path.glob("*.begun") for line in path.open()} == {
        found["process"]
    }


def test_one_job_and_jobs_for_one_worker_stay_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(parallel.CLUSTER, "tcp://127.0.0.1:1")
    assert parallel.run(jobs.square, some(tmp_path, 1), progress=False) == [0]
    assert parallel.run(jobs.square, some(tmp_path, 2), workers=1, progress=False) == [0, 1]


def test_workers_that_stay_read_files_again_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with machines(tmp_path, "one") as found:
        for text in ("first", "second"):
            path.write_text(text)
            results = run(found, jobs.read, [path, path], progress=False)
            assert results == [text, text]
        assert found.workers["one"].poll() is None


def test_a_foreign_cluster_is_left_as_it_was(tmp_path: Path) -> None:
    with machines(tmp_path, "one") as found:
        with pytest.raises(UserError, match="job 0 is wrong"):
            run(found, jobs.fail_at_zero, some(tmp_path, 3), progress=False)
        # the cancelled job ends at its next tick: the worker is free for others
        assert run(found, jobs.square, some(tmp_path, 2), progress=False) == [
            0,
            1,
        ]
        assert not (tmp_path / "went on").exists()
        with connected(str(found.file)) as client:
            (worker,) = client.scheduler_info()["workers"].values()
            assert worker["name"] == "one"
            assert set(worker["resources"].values()) == {0}


def test_the_jobs_of_a_killed_worker_move_and_one_warning_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with machines(tmp_path, "one", "two") as found:
        killer = threading.Timer(0, _kill_when, [tmp_path, found.kill, "one", 2])
        killer.start()
        results = run(found, jobs.square, some(tmp_path, 8, 0.3), ticks=2, label="squares")
        killer.join()
    assert results == [number**2 for number in range(8)]
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1
    assert "the worker one" in said
    assert "was lost: another one does its work" in said
    # the job under way was begun twice, and maybe one whose result was still on the worker
    assert sum(begun(tmp_path)) in (9, 10)
    assert "16/16" in said  # and counts once


def _kill_when(folder: Path, kill: Callable[[str], None], name: str, workers: int = 1) -> None:
    """Kill when a job is done, and this many workers have begun one."""
    while not list(folder.glob("*.txt")) or (
        len({path.read_text() for path in folder.glob("*.begun")}) < workers
    ):
        time.sleep(0.01)
    kill(name)


def test_a_job_that_kills_three_workers_is_named_and_finished_work_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(parallel.CLUSTER, "local:2")
    with pytest.raises(UserError, match=r"job 2 of 3 killed 3 workers, .*number=1"):
        parallel.run(jobs.poison, some(tmp_path, 3), progress=False)
    assert (tmp_path / "0.txt").read_text() == "0"


def test_a_lost_worker_that_had_no_job_of_the_run_is_not_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with machines(tmp_path, "one", "two", "three") as found:

        def kill_an_idle_one() -> None:
            while len(begun(tmp_path)) < 2:
                time.sleep(0.01)
            busy = {int(path.read_text()) for path in tmp_path.glob("*.begun")}
            idle = [name for name, process in found.workers.items() if process.pid not in busy]
            found.kill(idle[0])

        killer = threading.Thread(target=kill_an_idle_one)
        killer.start()
        assert run(found, jobs.square, some(tmp_path, 2, 1.5), progress=False) == [0, 1]
        killer.join()
    assert "lost" not in capsys.readouterr().err


def test_a_process_does_one_job_at_a_time_whatever_threads_and_runs_there_are(
    tmp_path: Path,
) -> None:
    times: list[tuple[float, float]] = []
    with machines(tmp_path) as found, pytest.MonkeyPatch.context() as patch:
        found.worker("wide", threads=3)
        patch.setenv(parallel.CLUSTER, str(found.file))
        todo = some(tmp_path, 3, 0.2)
        runs = [
            threading.Thread(
                target=lambda: times.extend(parallel.run(jobs.alone, todo, progress=False))
            )
            for _ in range(2)
        ]
        for each in runs:
            each.start()
        for each in runs:
            each.join()
    assert len(times) == 6
    times.sort()
    assert all(one[1] <= other[0] for one, other in pairwise(times))


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of other systems is not glibc's")
def test_a_worker_keeps_the_memory_that_jobs_need_again(tmp_path: Path) -> None:
    with machines(tmp_path) as found:
        found.worker("dask's", MALLOC_TRIM_THRESHOLD_="65536")  # as its nanny starts it
        for count in run(found, jobs.faults, some(tmp_path, 2), progress=False):
            assert count < 20 * (1 << 11) / 4  # an array is 2,048 pages


def test_a_scheduler_that_goes_away_ends_the_run_with_what_is_done(tmp_path: Path) -> None:
    with machines(tmp_path, "one") as found:
        killer = threading.Timer(0, _kill_when, [tmp_path, lambda _: found.scheduler.kill(), ""])
        killer.start()
        with pytest.raises(UserError, match=r"at .* is gone, with \d of 50 jobs done"):
            run(found, jobs.square, some(tmp_path, 50, 0.2), progress=False)
        killer.join()


def test_what_an_earlier_run_did_is_not_done_again_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "new" / f"{number}.txt" for number in (0, 1, 2, 2)]
    todo = parallel.unfinished([0, 1, 2, 2], files)
    assert todo == list(zip([0, 1, 2], files[:3], strict=True))
    files[1].write_text("1")
    todo = parallel.unfinished([0, 1, 2, 2], files)
    assert [job for job, _ in todo] == [0, 2]
    monkeypatch.setenv(parallel.CLUSTER, "local:1")
    parallel.finish(jobs.write, [0, 1, 2, 2], files, label="train", unit="training")
    said = capsys.readouterr().err
    assert "train: 1 of 3 trainings are done\n" in said
    assert "3/3" in said
    assert parallel.unfinished([0, 1, 2, 2], files) == []


def test_there_is_no_scheduler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("textmetric.cluster.connect._SECONDS", 1)
    with pytest.raises(UserError, match=r"no scheduler answers at .*:1 .* dask scheduler"):
        run("tcp://127.0.0.1:1", jobs.square, some(tmp_path), progress=False)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("moon", "the cluster is 'moon', expected processes, local:4, tcp"),
        ("local:none", "expected a number from 1 after the colon"),
        ("local:0", "expected a number from 1 after the colon"),
        ("no/scheduler.json", "no/scheduler.json is missing: start the scheduler"),
    ],
)
def test_a_mistake_in_the_name_of_a_cluster_is_told(where: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        run(where, jobs.square, some(tmp_path), progress=False)


def test_a_worker_that_joins_late_takes_jobs(tmp_path: Path) -> None:
    with machines(tmp_path, "one") as found:
        late = threading.Timer(0, _kill_when, [tmp_path, found.worker, "late"])
        late.start()
        run(found, jobs.square, some(tmp_path, 24, 0.2), progress=False)
        late.join()
    assert len({path.read_text() for path in tmp_path.glob("*.begun")}) == 2


def test_a_late_worker_goes_on_where_all_others_were_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with machines(tmp_path, "one") as found:

        def replace(_: str) -> None:
            found.kill("one")
            found.worker("late")

        later = threading.Timer(0, _kill_when, [tmp_path, replace, ""])
        later.start()
        run(found, jobs.square, some(tmp_path, 6, 0.2), progress=False)
        later.join()
    assert "no other worker is there now" in capsys.readouterr().err
    assert [path.read_text() for path in sorted(tmp_path.glob("*.txt"))] == [
        str(number**2) for number in range(6)
    ]


def test_a_worker_with_other_code_is_refused_and_the_others_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for package in ("textmetric", "tests/cluster"):
        shutil.copytree(ROOT / package, other / package)
    with open(other / "textmetric/parallel.py", "a") as stream:
        stream.write("# changed\n")
    with machines(tmp_path, "same") as found:
        found.worker("other", cwd=other, path=str(other))
        time.sleep(3)  # both are there
        run(found, jobs.square, some(tmp_path, 8, 0.2), progress=False)
    said = capsys.readouterr().err
    assert re.search(r"the worker other \(tcp://.*\) is refused: the code is \w+, not \w+\n", said)
    assert len({path.read_text() for path in tmp_path.glob("*.begun")}) == 1


def test_where_all_workers_are_refused_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = alike.signature

    def elsewhere(module: str) -> dict[str, str]:
        return real(module) | {"torch": "0.1", "the processor": "abacus"}

    monkeypatch.setattr(cluster, "signature", elsewhere)
    with machines(tmp_path, "one") as found:
        with pytest.raises(UserError, match=r"no worker of .* can do the jobs, see above"):
            run(found, jobs.square, some(tmp_path), progress=False)
        said = capsys.readouterr().err
        assert "refused: torch is " in said
        assert "not 0.1, the processor is " in said
        monkeypatch.setenv(parallel.MIXED, "1")
        assert run(found, jobs.square, some(tmp_path), progress=False)[2] == 4
        assert "differs: torch is " in capsys.readouterr().err
    (line,) = (tmp_path / parallel.MIXED_LOG).read_text().splitlines()
    noted = json.loads(line)
    assert noted["worker"] == "one"
    assert noted["differences"][-1].startswith("the processor is ")


def test_a_worker_without_the_package_is_refused_whatever_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(parallel.MIXED, "1")
    with machines(tmp_path) as found:
        found.worker("bare", cwd=tmp_path, path=str(tmp_path))
        with pytest.raises(UserError, match="no worker of"):
            run(found, jobs.square, some(tmp_path), progress=False)
    assert "textmetric is missing" in capsys.readouterr().err


def test_a_worker_whose_code_has_changed_since_it_started_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "later"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    first = alike.signature("later")
    assert alike.signature("later") == first
    (package / "more.py").write_text("value = 1\n")
    assert alike.signature("later")["the code"] == "changed since the worker started"


def test_a_worker_that_does_not_see_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with machines(tmp_path, "one") as found:
        folder = tmp_path / "mine"
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(cluster, "_file", lambda _: nullcontext(folder / "gone"))
        with pytest.raises(UserError, match="no worker of"):
            run(found, jobs.square, some(tmp_path), progress=False)
    assert f"it does not see {folder}" in capsys.readouterr().err


def in_folder(source: Path = Path("data/text")) -> list[jobs.InFolder]:
    return [
        jobs.InFolder(number, source, Path(f"out/{number}.txt"), Path(f"folders/{number}"))
        for number in range(3)
    ]


def test_a_worker_without_the_folder_gets_files_from_a_store_and_gives_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    (mine / "data").mkdir(parents=True)
    monkeypatch.chdir(mine)
    (mine / "folders" / "1" / "old").mkdir(parents=True)
    with machines(tmp_path) as found:
        found.worker("far", cwd=ROOT, TEXTMETRIC_CACHE=str(theirs))
        monkeypatch.setenv("TEXTMETRIC_STORE", f"file://{tmp_path}/store")
        for text in ("first", "second"):
            (mine / "data" / "text").write_text(text)
            places = run(found, jobs.copy_number, in_folder(), files=lambda job: job.files)
            assert {Path(place).parent for place in places} == {theirs / "runs"}
            for number in range(3):
                assert (mine / f"out/{number}.txt").read_text() == f"{text} {number}"
                assert (mine / f"folders/{number}/deep/text").read_text() == f"{text} {number}"
            assert not (mine / "folders/1/old").exists()
    assert len(list((theirs / "files").iterdir())) == 2  # each text was fetched once
    # the text that is read, and of each job the text that is written twice
    assert len([path for path in (tmp_path / "store").rglob("*") if path.is_file()]) == 2 * (1 + 3)


def test_a_damaged_store_and_a_path_outside_of_the_folder_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "text").write_text("first")
    monkeypatch.setenv("TEXTMETRIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TEXTMETRIC_STORE", f"file://{tmp_path}/store")
    store = Store(os.environ["TEXTMETRIC_STORE"])
    (entry,) = store.put([Path("data/text"), Path("data/missing")])
    (file,) = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
    file.write_text("other")
    with pytest.raises(UserError, match=r"is damaged: remove it, and run the same command again"):
        run("local:1", jobs.copy_number, in_folder(), files=lambda job: job.files)
    file.unlink()
    with pytest.raises(UserError, match=r"which is data/text, is not in the store"):
        store.get([entry], tmp_path / "new")
    outside = in_folder(tmp_path / "data" / "text")
    with pytest.raises(UserError, match=r"data/text is not below the folder"):
        run("local:1", jobs.copy_number, outside, files=lambda job: job.files)
    monkeypatch.setenv("TEXTMETRIC_STORE", "moon://there")
    with pytest.raises(UserError, match="TEXTMETRIC_STORE is moon://there, but Protocol"):
        run("local:1", jobs.copy_number, in_folder(), files=lambda job: job.files)


INTERRUPTED = """
import sys
from pathlib import Path
from tests.cluster.jobs import Job, square
from textmetric import command, parallel
folder = Path(sys.argv.pop())
jobs = [Job(number, folder, 0.2) for number in range(50)]
command.run(lambda _: parallel.run(square, jobs, progress=False), command.parser("x", "y"))
"""


@pytest.mark.parametrize("where", ["foreign", "local:2"])
def test_ctrl_c_ends_with_one_sentence_and_cancels_the_jobs(where: str, tmp_path: Path) -> None:
    with machines(tmp_path, "one") as found:
        place = str(found.file) if where == "foreign" else where
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), parallel.CLUSTER: place},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # what was started in the background may ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )
        _kill_when(tmp_path, lambda _: os.killpg(process.pid, signal.SIGINT), "")
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert said == (
            "error: interrupted: nothing half-written is left, run the same command to start it "
            "again\n"
        )
        time.sleep(0.5)
        so_far = begun(tmp_path)
        assert sum(so_far) < 50
        results = run(found, jobs.square, some(tmp_path, 2), progress=False)
        assert results == [0, 1]
        assert sum(begun(tmp_path)) == sum(so_far) + 2

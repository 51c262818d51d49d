from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from textmetric.pipeline.dvc_files import remove_cut

ROOT = Path(__file__).parents[2]
DVC_LOCK = (ROOT / "dvc.lock").read_text()
RWLOCK = '{"write": {"data": {"pid": 7, "cmd": "dvc repro"}}}'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text(RWLOCK)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    return tmp_path


def test_whole_files_stay(project: Path) -> None:
    assert remove_cut(project) == []
    assert (project / ".dvc" / "tmp" / "rwlock").read_text() == RWLOCK
    assert (project / "dvc.lock").read_text() == DVC_LOCK


def test_a_project_without_them_is_fine(tmp_path: Path) -> None:
    assert remove_cut(tmp_path) == []


@pytest.mark.parametrize("length", [0, 1, 20, len(RWLOCK) - 1])
def test_a_cut_table_of_locks_is_removed(project: Path, length: int) -> None:
    path = project / ".dvc" / "tmp" / "rwlock"
    path.write_text(RWLOCK[:length])
    assert remove_cut(project) == [path]
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    ["", DVC_LOCK[:9], DVC_LOCK[: DVC_LOCK.index("cmd:")], DVC_LOCK[: DVC_LOCK.index("md5")]],
)
def test_a_cut_dvc_lock_is_removed(project: Path, text: str) -> None:
    (project / "dvc.lock").write_text(text)
    assert remove_cut(project) == [project / "dvc.lock"]


@pytest.mark.parametrize(
    ("path", "guard"), [(".dvc/tmp/rwlock", ".dvc/tmp/rwlock.lock"), ("dvc.lock", ".dvc/tmp/lock")]
)
def test_nothing_is_removed_that_a_running_dvc_may_be_writing(
    project: Path, path: str, guard: str
) -> None:
    (project / path).write_text("")
    with (project / guard).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_cut(project) == []
    assert remove_cut(project) == [project / path]


def test_make_run_looks_at_them_first() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nrun:")[2].split("\n\n")[0]
    assert recipe.index("-m textmetric.pipeline.dvc_files") < recipe.index("\n\tdvc repro")

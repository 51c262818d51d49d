from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmetric import parallel
from textmetric.errors import UserError
from textmetric.files import (
    map_array,
    read_arrays,
    read_json,
    remove_stale,
    replacing_file,
    replacing_folder,
    write_arrays,
    write_csv,
    write_error,
    write_json,
)

ROOT = Path(__file__).parents[1]


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.csv.gz"
    with replacing_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.name.endswith(".csv.gz")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.csv.gz"]


def test_the_old_file_stays_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "stale").touch()
    with replacing_folder(folder) as temporary:
        (temporary / "fresh").touch()
        assert (folder / "stale").exists()
    assert os.listdir(folder) == ["fresh"]
    with pytest.raises(KeyboardInterrupt), replacing_folder(folder) as temporary:  # noqa: PT012
        (temporary / "half").touch()
        raise KeyboardInterrupt
    assert os.listdir(folder) == ["fresh"]
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("outside", ["../precious", "a/../../precious", ".", "link/x"])
def test_a_folder_outside_within_is_not_replaced(tmp_path: Path, outside: str) -> None:
    (tmp_path / "precious" / "x").mkdir(parents=True)
    (tmp_path / "precious" / "file").touch()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "precious")
    for path in (inside / outside, tmp_path / "precious"):
        with (
            pytest.raises(UserError, match="is outside"),
            replacing_folder(path, within=inside) as _,
        ):
            pass
    assert sorted(os.listdir(tmp_path / "precious")) == ["file", "x"]
    with replacing_folder(inside / "own", within=inside) as temporary:
        (temporary / "fresh").touch()
    assert os.listdir(inside / "own") == ["fresh"]


@pytest.mark.parametrize("above", [".", "..", "../..", "/"])
def test_a_folder_that_contains_the_working_directory_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: str
) -> None:
    here = tmp_path / "project" / "deep"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    with pytest.raises(UserError, match="contains the working directory"), replacing_folder(above):
        pass
    assert here.is_dir()


@pytest.mark.parametrize("replacing", [replacing_file, replacing_folder])
@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission to write")]
)
def test_a_full_disk_and_a_read_only_folder_are_user_errors(
    tmp_path: Path, number: int, said: str, replacing: Any
) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=said) as caught, replacing(path) as temporary:
        raise OSError(number, os.strerror(number), str(temporary / "b"))
    assert f"{path}:" in str(caught.value)
    assert not isinstance(write_error(path, OSError(errno.EIO, "broken")), UserError)


def test_a_full_disk_is_told_of_the_outermost_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with (
        pytest.raises(UserError, match="no space left") as caught,
        replacing_folder(path) as new,
        replacing_folder(new / "inner") as inner,
        replacing_file(inner / "a"),
    ):
        raise OSError(errno.ENOSPC, "full")
    assert f"{path}:" in str(caught.value)


@pytest.mark.parametrize("replacing", [replacing_file, replacing_folder])
@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "no", "input.csv"),
        PermissionError(errno.EACCES, "no"),  # of shared memory
        OSError(errno.EROFS, "read-only"),
        OSError(errno.ENOSPC, "full", "/dev/shm/a"),
    ],
)
def test_an_error_about_something_else_is_not_one_of_writing(
    tmp_path: Path, error: OSError, replacing: Any
) -> None:
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a"):  # noqa: PT011
        raise error
    assert caught.value is error
    assert os.listdir(tmp_path) == []


def test_a_folder_where_a_file_should_be_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").touch()
    with pytest.raises(UserError, match="a cannot be written"):
        write_json(tmp_path / "a", 1)
    with pytest.raises(UserError, match="c cannot be written"), replacing_folder(tmp_path / "c"):
        pass
    with pytest.raises(UserError, match="d cannot be written"):
        write_json(tmp_path / "c" / "d", 1)


KILLED = """
import os, sys
from textmetric.files import replacing_file, replacing_folder
with replacing_folder({folder!r}) as new, replacing_file({file!r}) as file:
    (new / "half").mkdir()
    file.write_text("half")
    if sys.argv[1:]:
        print(new, flush=True)
        input()
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_and_what_others_write_stays(tmp_path: Path) -> None:
    target = tmp_path / "models" / "cls"
    code = KILLED.format(folder=str(target), file=str(tmp_path / "models" / "a.csv"))
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -9
    assert len(os.listdir(target.parent)) == 2
    at_work = subprocess.Popen(
        [sys.executable, "-c", code, "wait"],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert at_work.stdout is not None
    own = Path(at_work.stdout.readline().strip())
    left = set(os.listdir(target.parent))
    assert len(left) == 2  # the other process has removed the stale ones
    stranger = tmp_path / ".textmetric-writing-is-a-link"
    stranger.symlink_to(target.parent)
    remove_stale(tmp_path, deep=True)
    write_json(target.parent / "b.json", 1)
    assert set(os.listdir(target.parent)) == left | {"b.json"}
    assert (own / "half").is_dir()
    at_work.communicate("\n")
    remove_stale(tmp_path)
    assert set(os.listdir(target.parent)) == left | {"b.json"}
    remove_stale(tmp_path, deep=True)
    assert os.listdir(target.parent) == ["b.json"]


def test_dvc_and_git_do_not_see_temporaries(tmp_path: Path) -> None:
    with replacing_file(tmp_path / "a.csv") as temporary:
        for ignore in ("git", "dvc"):
            command = [ignore, "check-ignore", f"data/measures/{temporary.name}"]
            seen = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
            assert seen.returncode == 0, (command, seen.stderr)


@pytest.mark.parametrize("exchange", [True, False])
def test_processes_that_replace_one_folder_do_not_disturb_each_other(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr("textmetric.files._renameat2", None)
    parallel.run(replace_often, [tmp_path / "model"] * 4, workers=4, progress=False)
    assert sorted(os.listdir(tmp_path / "model")) == [str(number) for number in range(9)]
    assert os.listdir(tmp_path) == ["model"]


def replace_often(folder: Path, tick: Callable[[], None]) -> None:
    for _ in range(50):
        with replacing_folder(folder) as temporary:
            for number in range(9):
                (temporary / str(number)).touch()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges folders at once")
def test_a_folder_is_the_old_or_the_new_one_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    (folder / "old").mkdir(parents=True)
    monkeypatch.setattr("textmetric.files.shutil.rmtree", lambda *_, **__: None)
    with replacing_folder(folder) as temporary:
        (temporary / "new").touch()
    assert os.listdir(folder) == ["new"]
    assert [os.listdir(path) for path in tmp_path.glob(".textmetric-writing-*")] == [["old"]]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "model").mkdir(parents=True)
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "disk" / "model")
    with replacing_folder(link) as temporary:
        (temporary / "new").touch()
        assert temporary.parent == tmp_path / "disk"  # where a rename is enough
    assert link.is_symlink()
    assert os.listdir(link) == ["new"]


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "a.json").touch()
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError, match=r"no permission to read .*a\.json: make it readable"):
        read_json(tmp_path / "a.json")


def test_json_keeps_the_order_of_keys_and_writes_nan_as_null(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"z": np.float32(0.5), "a": [math.nan, np.array([1, 2])], "é": (True, None)})
    assert json.loads(path.read_text()) == {"z": 0.5, "a": [None, [1, 2]], "é": [True, None]}
    assert list(read_json(path)) == ["z", "a", "é"]


def test_json_is_utf_8_even_with_half_a_surrogate_pair(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", ["é", "\ud800", "\\\udfff", "😀"])
    assert "é" in (tmp_path / "a.json").read_bytes().decode("utf-8")
    assert read_json(tmp_path / "a.json") == ["é", "\ud800", "\\\udfff", "😀"]


def test_errors_of_json_files_name_the_file_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json is missing: run the stage"):
        read_json(tmp_path / "a.json")
    for broken in ("{", "[" * 100_000):
        (tmp_path / "a.json").write_text(broken)
        with pytest.raises(UserError, match=r"a\.json cannot be read as JSON"):
            read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "has the key 'c' twice"),
        ('{"a": NaN}', "NaN, which is no number"),
        ('{"a": -Infinity}', "-Infinity, which is no number"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("{" + '"a":{' * 100_000, "cannot be read as JSON"),
        ("[" + "1" * 10_000 + "]", "cannot be read as JSON"),
        ("{}{}", "cannot be read as JSON"),
    ],
)
def test_hostile_json_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_json(tmp_path / "a.json")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("header", [b"{'descr': '<f4", b"(((" * 99, b"{'shape': (9" + b"9" * 99])
def test_an_array_with_a_hostile_header_is_damaged(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = header.ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(UserError, match="cannot be read as an array"):
        map_array(path, np.float32)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    for path in (tmp_path / "a.json", Path("/dev/zero")):
        for read in (read_json, read_arrays, lambda a: map_array(a, np.float32)):
            with pytest.raises(UserError, match=r"is a (pipe|device)"):
                read(path)


def test_csv_has_a_header_and_nan_as_empty_field(tmp_path: Path) -> None:
    rows = [{"seed": 0, "loss": 0.1, "tanh": True}, {"seed": 1, "loss": math.nan, "tanh": False}]
    write_csv(tmp_path / "a" / "t.csv", rows)
    assert (tmp_path / "a" / "t.csv").read_bytes() == b"seed,loss,tanh\n0,0.1,True\n1,,False\n"


def test_arrays_are_read_as_written_and_the_same_arrays_give_the_same_bytes(
    tmp_path: Path,
) -> None:
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.zeros(0, np.float32)}
    for name in ("first.npz", "second.npz"):
        write_arrays(tmp_path / name, **arrays)
    found = read_arrays(tmp_path / "first.npz")
    assert list(found) == ["a", "b"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half an archive", b"text"])
def test_errors_of_array_files_name_the_file_and_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(UserError, match=r"a\.npz is missing: run the stage"):
        read_arrays(path)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz cannot be read as named arrays"):
        read_arrays(path)

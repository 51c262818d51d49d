from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.files import (
    read_arrays,
    read_json,
    replacing_file,
    replacing_folder,
    write_arrays,
    write_csv,
    write_error,
    write_json,
)


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


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission")]
)
def test_a_full_disk_and_a_read_only_folder_are_user_errors(
    tmp_path: Path, number: int, said: str
) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=said) as caught, replacing_file(path):
        raise OSError(number, os.strerror(number))
    assert str(path) in str(caught.value)
    assert not isinstance(write_error(path, OSError(errno.EIO, "broken")), UserError)


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

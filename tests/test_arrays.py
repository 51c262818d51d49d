from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.files import read_arrays, write_arrays


def test_arrays_come_back_as_they_were_and_the_same_arrays_give_the_same_bytes(
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
def test_a_damaged_or_missing_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(UserError, match=r"a\.npz is missing: run the stage"):
        read_arrays(path)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz is damaged"):
        read_arrays(path)

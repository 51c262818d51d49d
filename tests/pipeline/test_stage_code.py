from __future__ import annotations

from pathlib import Path

import pytest

from textmetric.errors import UserError
from textmetric.pipeline.stage_code import code_of

ROOT = Path(__file__).parents[2]


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / "textmetric" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_wherever_they_stand_but_for_type_checking(tmp_path: Path) -> None:
    write(
        tmp_path,
        __init__="from textmetric.lazy import Lazy",
        a="import numpy, textmetric.b\nfrom textmetric import c\ndef f():\n    import textmetric.d",
        b="from __future__ import annotations\nfrom textmetric import a  # a circle",
        c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import textmetric.unused",
        d="",
        lazy="",
        unused="",
    )
    assert list(code_of(["textmetric.a"], tmp_path)) == [f"textmetric/{name}.py" for name in "abcd"]


def test_a_package_comes_with_its_init(tmp_path: Path) -> None:
    write(tmp_path, __init__="")
    (tmp_path / "textmetric/room").mkdir()
    (tmp_path / "textmetric/room/__init__.py").write_text("import textmetric.helper")
    (tmp_path / "textmetric/room/thing.py").touch()
    write(tmp_path, helper="", a="from textmetric.room.thing import x")
    assert list(code_of(["textmetric.a"], tmp_path)) == [
        "textmetric/a.py",
        "textmetric/helper.py",
        "textmetric/room/__init__.py",
        "textmetric/room/thing.py",
    ]


def test_a_change_of_one_file_changes_its_hash_alone(tmp_path: Path) -> None:
    write(tmp_path, __init__="", a="import textmetric.b", b="x = 1")
    before = code_of(["textmetric.a"], tmp_path)
    write(tmp_path, b="x = 2")
    after = code_of(["textmetric.a"], tmp_path)
    assert [path for path in before if before[path] != after[path]] == ["textmetric/b.py"]


def test_an_objective_brings_what_it_imports_and_no_other_objective() -> None:
    found = set(code_of(["textmetric.losses.triplet"], ROOT))
    assert {f"textmetric/losses/{name}.py" for name in ("triplet", "mining", "distances")} <= found
    assert "textmetric/losses/cross_entropy.py" not in found


def test_a_missing_module_and_a_slip_in_the_code_are_named(tmp_path: Path) -> None:
    write(tmp_path, __init__="", a="def f(:\n")
    with pytest.raises(UserError, match=r"no module textmetric\.none"):
        code_of(["textmetric.none"], tmp_path)
    with pytest.raises(UserError, match=r"textmetric/a\.py, line 1"):
        code_of(["textmetric.a"], tmp_path)

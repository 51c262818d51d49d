from __future__ import annotations

import ast
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from textmetric.corpora import docstrings
from textmetric.errors import UserError

LONG = "one two three four five six seven eight nine ten"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    def put(name: str, source: str | bytes) -> None:
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())

    put("__init__.py", f'"""Package {LONG}"""\nraise RuntimeError("imported")\n')
    put("core.py", f'def f():\n    """Only seven words are in this one."""\n\nx = """{LONG}"""\n')
    put(
        "sub/deep.py",
        f'''
if True:
    class A:
        r"""Class \\d {LONG}"""
        try:
            async def g(self):
                """Nested

                {LONG}
                """
                def h():
                    """Inner {LONG}"""
        except ValueError:
            def i():
                """Handler {LONG}"""
def j():
    """After {LONG} \\d"""
''',
    )
    put("latin.py", f'# -*- coding: latin-1 -*-\n"""Caf\xe9 {LONG}"""\n'.encode("latin-1"))
    put("odd.py", f'"""Lone \\ud800 surrogate {LONG}"""\n')
    put("python2.py", f'"""Old {LONG}"""\nprint "x"\n')
    put("long.py", f'"""{"word " * 500}"""\n')
    put("tests/test_core.py", f'"""Test {LONG}"""\n')
    put("sub/conftest.py", f'"""Fixture {LONG}"""\n')
    put("site-packages/other.py", f'"""Other {LONG}"""\n')
    put("notes.txt", f'"""Notes {LONG}"""\n')
    (tmp_path / "toy" / "link.py").symlink_to(tmp_path / "nowhere.py")
    return tmp_path / "toy"


def test_texts_come_in_order_without_tests_and_short_ones(package: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame, counts = docstrings.collect({"toy": package}, by_module=False, progress=False)
    assert frame["text"].tolist() == [
        f"Package {LONG}",
        f"Café {LONG}",
        ("word " * docstrings.MAX_WORDS).strip(),
        f"Lone surrogate {LONG}",
        f"Class \\d {LONG}",
        f"Nested {LONG}",
        f"Inner {LONG}",
        f"Handler {LONG}",
        f"After {LONG} \\d",
    ]
    assert set(frame["label"]) == {"toy"}
    assert set(frame["split"]) == {"train"}
    assert counts == {"short_rows": 1}


def test_modules_are_the_top_of_the_package(package: Path) -> None:
    frame, _ = docstrings.collect({"toy": package}, by_module=True, progress=False)
    assert frame["label"].unique().tolist() == [
        "toy",
        "toy.latin",
        "toy.long",
        "toy.odd",
        "toy.sub",
    ]


def test_many_files_go_to_processes_and_come_back_in_order(tmp_path: Path) -> None:
    for number in range(4 * docstrings._BATCH):
        (tmp_path / f"m{number:03}.py").write_text(f'"""Module {number} {LONG}"""\n')
    frame, _ = docstrings.collect({"toy": tmp_path}, by_module=False, progress=False)
    assert [int(text.split()[1]) for text in frame["text"]] == list(range(4 * docstrings._BATCH))


def test_files_are_parsed_once_in_a_process(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, counts = docstrings.collect({"toy": package}, by_module=False, progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(docstrings, "_texts", None)  # would fail if called
        again, same_counts = docstrings.collect({"toy": package}, by_module=True, progress=False)
    assert again["text"].tolist() == first["text"].tolist()
    assert same_counts == counts
    (package / "late.py").write_text(f'"""Late {LONG}"""')
    more, _ = docstrings.collect({"toy": package}, by_module=False, progress=False)
    assert set(more["text"]) - set(first["text"]) == {f"Late {LONG}"}


def test_statements_hold_every_docstring_that_a_full_walk_finds() -> None:
    folder = Path(json.__file__).parent
    for path in sorted(folder.glob("*.py")):
        wanted = {
            " ".join(text.split()[: docstrings.MAX_WORDS])
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and len((text := ast.get_docstring(node) or "").split()) >= docstrings.MIN_WORDS
        }
        assert set(docstrings._texts(path.read_bytes())[0]) == wanted


def test_a_package_that_is_missing_or_has_no_sources_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="need the package Nothing, which is not installed"):
        docstrings.folders({"Nothing": "no_such_package_anywhere"})
    with pytest.raises(UserError, match="holds no Python sources of toy"):
        docstrings.collect({"toy": tmp_path}, by_module=False, progress=False)


def test_finding_the_packages_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from textmetric.corpora import docstrings\n"
        "folders = docstrings.folders(docstrings.PACKAGES)\n"
        "assert all(folder.is_dir() for folder in folders.values())\n"
        "assert len(folders) == 7\n"
        "print([m for m in ('torch', 'pandas', 'scipy', 'sklearn') if m in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.py cannot be read for the docstring corpora \(No "):
        docstrings._parse([tmp_path / "gone.py"], lambda: None)

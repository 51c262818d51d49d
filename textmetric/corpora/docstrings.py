"""Docstrings of the installed packages: real English on every machine, with natural classes.

The sources are parsed with ``ast``, never imported. A text is the start of the docstring of a
module, class or function; its class is the package (``docstrings``) or the package and its top
module (``docstring_modules``). The packages' tests are left out: their docstrings are titles of
test cases.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.util
import json
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.errors import UserError
from textmetric.files import read_json, replacing_file

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = {
    "stdlib": None,
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "scikit-learn": "sklearn",
}
"""Class name to import name; the standard library has no one import name."""

MIN_WORDS = 8
MAX_WORDS = 60
"""Words kept of a docstring. Whole ones run from 8 words to thousands, most of them tables of
parameters; the start is what tells the purpose."""

_TESTS = re.compile(r"(^|/)(tests?|testing|idle_test)/|(^|/)(test_[^/]*|conftest)\.py$")
_BATCH = 40  # files a worker parses at a time
_CACHED = "docstrings.json"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# What holds statements, and in which fields. Most statements hold none and are not looked at.
_HOLDERS: tuple[type[ast.AST], ...] = (
    ast.Module,
    ast.ExceptHandler,
    ast.match_case,
    *ast.stmt.__subclasses__(),
)
_BODIES = {
    kind: fields
    for kind in _HOLDERS
    if (
        fields := [
            name
            for name in ("body", "orelse", "finalbody", "handlers", "cases")
            if name in kind._fields
        ]
    )
}


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """One class a package: ``text``, ``label``, ``split`` (all train), and the short rows.

    Raises:
        UserError: a package is not installed, or a ``level`` is given.
    """
    if level is not None:
        raise UserError("corpus docstrings has no levels: remove the key level from its mapping")
    return collect(folders(PACKAGES), by_module=False, cache=cache, progress=progress)


def folders(packages: Mapping[str, str | None]) -> dict[str, Path]:
    """Where the sources of each package lie; none is imported.

    Raises:
        UserError: a package is not installed.
    """
    found = {}
    for label, name in packages.items():
        if name is None:
            found[label] = Path(sysconfig.get_paths()["stdlib"])
            continue
        # For a top-level name this looks along the path only, and runs none of its code.
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.submodule_search_locations:
            raise UserError(
                f"the docstring corpora need the package {label}, which is not installed: install"
                " it, or choose another corpus"
            )
        found[label] = Path(spec.origin).parent
    return found


def collect(
    sources: Mapping[str, Path], *, by_module: bool, progress: bool, cache: Path | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The docstrings under some folders.

    Args:
        sources: class name to folder.
        by_module: the class is ``package.module`` instead, where module is the folder or file
            at the top of the package.
        progress: show a progress bar.
        cache: a folder that keeps what was found; as long as no source file is added, gone or
            changed in size or time, it is read from there, by either class. Nothing is kept in a
            folder that cannot be written.

    Returns:
        ``text``, ``label`` and ``split`` (all train) in the order of sources, paths and lines,
        whatever the number of processes; and the count of texts under eight words, which are
        left out.

    Raises:
        UserError: a folder holds no Python source.
    """
    import pandas as pd

    labels, paths, states = [], [], []
    for label, folder in sources.items():
        files = _files(folder)
        if not files:
            raise UserError(
                f"{folder} holds no Python sources of {label} for the docstring corpora: install"
                " the package with its sources, or choose another corpus"
            )
        for file, state in files:
            top = file.split("/")[0].removesuffix(".py")
            module = "" if top == "__init__" or not by_module else f".{top}"
            labels.append(label + module)
            paths.append(folder / file)
            states.append(state)
    texts = _kept(cache, paths, states)
    if texts is None:
        texts = _parse_all(paths, progress)
        _keep(cache, paths, states, texts)
    rows = [(text, label) for label, (file, _) in zip(labels, texts, strict=True) for text in file]
    frame = pd.DataFrame(rows, columns=["text", "label"]).assign(split="train")
    return frame, {"short_rows": sum(short for _, short in texts)}


def _files(folder: Path) -> list[tuple[str, tuple[int, int]]]:
    """Python files below a folder but for tests and other people's packages, in stable order.

    Each with its size and the time of its last change.
    """
    found = []
    for name, entry in _walk(os.fspath(folder), ""):
        if not _TESTS.search(name):
            about = entry.stat()
            found.append((name, (about.st_size, about.st_mtime_ns)))
    return sorted(found)


def _walk(folder: str, above: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            name = above + entry.name
            if entry.is_dir(follow_symlinks=False):
                if name not in ("site-packages", "dist-packages"):
                    yield from _walk(entry.path, f"{name}/")
            elif name.endswith(".py") and entry.is_file():  # not a link to nowhere
                yield name, entry


def _key(paths: Sequence[Path], states: Sequence[tuple[int, int]]) -> str:
    """Of the files, and of all else that their texts depend on."""
    known = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode())
    for path, state in zip(paths, states, strict=True):
        known.update(f"{path}\0{state}\0".encode("utf-8", "surrogateescape"))
    return known.hexdigest()


def _kept(
    cache: Path | None, paths: Sequence[Path], states: Sequence[tuple[int, int]]
) -> list[tuple[list[str], int]] | None:
    """What was found of the same files before, None if that is not there."""
    with suppress(UserError, KeyError, TypeError):
        kept = read_json(cache / _CACHED) if cache is not None else {}
        if kept["key"] == _key(paths, states):
            return [(texts, short) for texts, short in kept["files"]]
    return None


def _keep(
    cache: Path | None,
    paths: Sequence[Path],
    states: Sequence[tuple[int, int]],
    texts: Sequence[tuple[list[str], int]],
) -> None:
    if cache is not None:
        # A folder that cannot be written costs the next run some seconds, and nothing else.
        with suppress(UserError, OSError), replacing_file(cache / _CACHED) as temporary:
            kept = {"key": _key(paths, states), "files": texts}
            temporary.write_text(json.dumps(kept), encoding="utf-8")


def _parse_all(paths: Sequence[Path], progress: bool) -> list[tuple[list[str], int]]:
    from textmetric import parallel

    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    found = parallel.run(
        _parse,
        batches,
        workers=1 if len(batches) < 4 else None,  # a few files are parsed before a process starts
        label="docstrings",
        unit=f" × {_BATCH} files",
        progress=progress,
    )
    return [file for batch in found for file in batch]


def _parse(paths: Sequence[Path], tick: Callable[[], None]) -> list[tuple[list[str], int]]:
    """The texts of each file, and how many were too short."""
    # A syntax tree is a million small objects and no cycle: the collector only costs time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's sources
            return [_texts(path.read_bytes()) for path in paths]
    finally:
        tick()
        if collecting:
            gc.enable()


def _texts(source: bytes) -> tuple[list[str], int]:
    """The texts of one source file in the order of lines, and how many were too short."""
    if b'"""' not in source and b"'''" not in source:
        return [], 0
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):  # such as samples of Python 2
        return [], 0
    texts, short = [], 0
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, _DOCUMENTED):
            docstring = ast.get_docstring(node, clean=False) or ""
            # A lone surrogate, which a literal may hold, cannot be written as UTF-8.
            words = docstring.encode("utf-8", "ignore").decode("utf-8").split()[:MAX_WORDS]
            if len(words) >= MIN_WORDS:
                texts.append(" ".join(words))
            else:
                short += bool(words)
        # Only statements hold definitions: walking expressions as well would take twice as long.
        below = [
            child
            for field in _BODIES[type(node)]
            for child in getattr(node, field)
            if type(child) in _BODIES
        ]
        stack.extend(reversed(below))
    return texts, short

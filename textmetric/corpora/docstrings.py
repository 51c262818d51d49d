"""Docstrings of the installed packages: real English on every machine, with natural classes.

The sources are parsed with ``ast``, never imported. A text is the start of the docstring of a
module, class or function; its class is the package (``docstrings``) or the package and its top
module (``docstring_modules``). The packages' tests are left out: their docstrings are titles of
test cases.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import sysconfig
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.errors import UserError

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
"""Class name to import name; the standard library has no single import name."""

MIN_WORDS = 8
MAX_WORDS = 60
"""Words kept of a docstring. Whole ones have up to thousands of words, most of them tables of
parameters; the start says what the object is for."""

_TESTS = re.compile(r"(^|/)(tests?|testing|idle_test)/|(^|/)(test_[^/]*|conftest)\.py$")
_INSTALLED = ("site-packages", "dist-packages")  # in the folder of the standard library
_BATCH = 40  # files that a worker parses at a time
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # fields that hold statements


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """One class per package: ``text``, ``label``, ``split`` (all train), and the short rows.

    Raises:
        UserError: a package is not installed.
    """
    return collect(folders(PACKAGES), by_module=False, progress=progress)


def folders(packages: Mapping[str, str | None]) -> dict[str, Path]:
    """Find the folder with the sources of each package; none is imported.

    Raises:
        UserError: a package is not installed.
    """
    found = {}
    for label, name in packages.items():
        if name is None:
            found[label] = Path(sysconfig.get_paths()["stdlib"])
            continue
        # For a top-level name this only searches the path; it runs no code of the package.
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.submodule_search_locations:
            raise UserError(
                f"the docstring corpora need the package {label}, which is not installed: install"
                " it, or choose another corpus"
            )
        found[label] = Path(spec.origin).parent
    return found


def collect(
    sources: Mapping[str, Path], *, by_module: bool, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Collect the docstrings under some folders.

    Files are parsed once in a process, so another call for the same files takes no time.

    Args:
        sources: class name to folder.
        by_module: the class is ``package.module`` instead, where module is the folder or file
            at the top of the package.
        progress: show a progress bar.

    Returns:
        ``text``, ``label`` and ``split`` (all train) in the order of sources, paths and lines,
        for any number of processes; and the count of texts under eight words, which are left
        out.

    Raises:
        UserError: a folder holds no Python source.
    """
    import pandas as pd

    labels, paths = [], []
    for label, folder in sources.items():
        files = _files(folder)
        if not files:
            raise UserError(
                f"{folder} holds no Python sources of {label} for the docstring corpora: install"
                " the package with its sources, or choose another corpus"
            )
        for file in files:
            top = file.split("/")[0].removesuffix(".py")
            module = "" if top == "__init__" or not by_module else f".{top}"
            labels.append(label + module)
            paths.append(folder / file)
    texts = _parse_all(tuple(paths), progress)
    rows = [(text, label) for label, (file, _) in zip(labels, texts, strict=True) for text in file]
    frame = pd.DataFrame(rows, columns=["text", "label"]).assign(split="train")
    return frame, {"short_rows": sum(short for _, short in texts)}


def _files(folder: Path) -> list[str]:
    """Sorted paths of the Python files below a folder, without tests and installed packages."""
    found = []
    for above, folders, names in os.walk(folder):
        if above == os.fspath(folder):
            folders[:] = [name for name in folders if name not in _INSTALLED]
        for path in (Path(above, name) for name in names if name.endswith(".py")):
            relative = path.relative_to(folder).as_posix()
            if not _TESTS.search(relative) and path.is_file():  # not a link to a missing file
                found.append(relative)
    return sorted(found)


@functools.lru_cache(maxsize=1)
def _parse_all(paths: tuple[Path, ...], progress: bool) -> list[tuple[list[str], int]]:
    from textmetric import parallel

    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    found = parallel.run(
        _parse,
        batches,
        workers=1 if len(batches) < 4 else None,  # starting a process takes longer than few files
        label="docstrings",
        unit=f" × {_BATCH} files",
        progress=progress,
    )
    return [file for batch in found for file in batch]


def _parse(paths: Sequence[Path], tick: Callable[[], None]) -> list[tuple[list[str], int]]:
    """The texts of each file, and how many were too short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's sources
        found = [_texts(_source(path)) for path in paths]
    tick()
    return found


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read for the docstring corpora ({error.strerror}): check its"
            " permissions, or install its package again"
        ) from None


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
        # Only statements hold definitions; walking expressions as well takes twice as long.
        below = [child for field in _BLOCKS for child in getattr(node, field, ())]
        stack.extend(reversed(below))
    return texts, short

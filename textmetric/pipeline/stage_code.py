"""Which code a result comes from: the files that a module imports, and their hashes.

DVC runs a stage again when a file that it depends on changes. Listing dozens of code files for
each stage would make dvc.lock several times as large, and DVC reads and writes all of it after
every stage; so a stage depends on one small file made from this instead.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from textmetric.errors import UserError
from textmetric.yaml12 import read_yaml

PACKAGES = ("textmetric", "stages")


def commands_of(path: str | os.PathLike[str] = "dvc.yaml") -> dict[str, list[str]]:
    """The words of each stage's command after ``python -m``, by the stage's name in dvc.yaml.

    Raises:
        UserError: the file cannot be read, or a command is not ``python -m stages.<module> ...``.
    """
    pipeline = read_yaml(path, "restore it")
    try:
        stages = pipeline["stages"]
        commands = {
            name: (stage.get("do") or stage)["cmd"].split() for name, stage in stages.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a DVC pipeline ({error}): restore it") from None
    for name, words in commands.items():
        if words[:2] != ["python", "-m"] or len(words) < 3:
            raise UserError(
                f"{path}: the command of stage {name} is {' '.join(words)!r}, expected python -m "
                "stages.<module> and its options"
            )
    return {name: words[2:] for name, words in commands.items()}


def code_of(modules: Iterable[str], root: str | os.PathLike[str] = ".") -> dict[str, str]:
    """The sha256 of every file that ``modules`` run, by path, in the order of the paths.

    Imports are followed wherever they are in a file, except those for type checking only,
    and inside ``textmetric`` and ``stages``; other packages are pinned by the lock file. What is
    imported by a name made at run time must be among ``modules``.

    Args:
        modules: dotted names, such as ``stages.embed``.
        root: the folder that holds the packages.

    Raises:
        UserError: a module is not there, or has a syntax error.
    """
    root = Path(root)
    waiting, found = list(modules), dict[str, str]()
    while waiting:
        module = waiting.pop()
        file = _file_of(module, root)
        if file is None:
            raise UserError(f"there is no module {module} in {root.resolve()}: check its name")
        path = file.relative_to(root).as_posix()
        # The packages' own __init__ give names lazily; following those would join everything.
        if path in found or module in PACKAGES:
            continue
        source = file.read_bytes()
        found[path] = hashlib.sha256(source).hexdigest()
        waiting += _imports(source, path, root)
    return dict(sorted(found.items()))


def _file_of(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def _imports(source: bytes, path: str, root: Path) -> set[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}: correct it") from None
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from a.b import c` may mean the module a.b.c
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {name for name in names if name.partition(".")[0] in PACKAGES and _file_of(name, root)}
    # importing a.b.c runs a/b/__init__.py too
    return ours | {name.rpartition(".")[0] for name in ours if name.count(".") > 1}

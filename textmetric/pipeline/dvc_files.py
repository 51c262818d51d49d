"""Remove files of DVC that a kill has cut in the middle of a write, so that DVC works again.

DVC writes .dvc/tmp/rwlock and dvc.lock in place. Killed while it does, by SIGKILL, a power cut or a
full disk, it leaves an empty or cut file, and fails on it from then on. DVC makes both again: the
first by any command, dvc.lock by dvc repro, which takes finished stages from its cache. Nothing is
removed that DVC can read, or that a running DVC may be writing.

Example: python -m textmetric.pipeline.dvc_files
"""

from __future__ import annotations

import argparse
import fcntl
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from textmetric.errors import needing

with needing("the pipeline", "study"):
    import voluptuous
    from ruamel.yaml.error import YAMLError

from textmetric import command


def main(arguments: argparse.Namespace) -> None:
    """Look at the files below ``--root``."""
    for path in remove_cut(arguments.root):
        print(f"{path} was cut when DVC was killed: removed it, DVC writes it again")


def remove_cut(root: Path) -> list[Path]:
    """Remove what DVC cannot read any more; see the module.

    Args:
        root: the folder that holds ``.dvc``.

    Returns:
        The removed files.
    """
    locks = root / ".dvc" / "tmp"
    return [
        path
        for path, guard, read in (
            (locks / "rwlock", locks / "rwlock.lock", json.loads),
            (root / "dvc.lock", locks / "lock", _read_dvc_lock),
        )
        if path.is_file() and _remove_if_cut(path, guard, read)
    ]


def _remove_if_cut(path: Path, guard: Path, read: Callable[[str], Any]) -> bool:
    guard.parent.mkdir(parents=True, exist_ok=True)
    with guard.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as DVC does to write
        except OSError:
            return False
        with suppress(ValueError, YAMLError, voluptuous.Invalid):
            read(path.read_text(encoding="utf-8"))
            return False
        path.unlink()
    return True


def _read_dvc_lock(text: str) -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # slow
    from dvc.utils.serialize import loads_yaml

    COMPILED_LOCKFILE_SCHEMA(loads_yaml(text))


if __name__ == "__main__":
    parser = command.parser("textmetric.pipeline.dvc_files", __doc__)
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="FOLDER", help="with .dvc (%(default)s)"
    )
    command.run(main, parser)

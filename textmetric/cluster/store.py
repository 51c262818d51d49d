"""The files of jobs for workers that do not see the folder: each by its content, through fsspec."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from textmetric.errors import UserError, needing
from textmetric.files import replacing_file, replacing_folder

with needing("a store of files", "cluster"):
    import fsspec

STORE = "TEXTMETRIC_STORE"
"""The environment variable with the URL of the store, which workers reach, too."""
CACHE = "TEXTMETRIC_CACHE"
"""The environment variable with the folder where a worker keeps files."""
_BLOCK = 1 << 20


class Entry(NamedTuple):
    """A file: its path, relative to the folder of the run, and the sha256 of its content."""

    path: str
    sha256: str


class Store:
    """Files by their content, at a URL.

    Args:
        url: what fsspec takes, such as ``s3://bucket/folder`` or ``file:///mnt/folder``.

    Raises:
        UserError: fsspec does not know it, or needs a package for it.
    """

    def __init__(self, url: str) -> None:
        try:
            self._system, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UserError(f"{STORE} is {url}, but {error}") from None

    def put(self, paths: Iterable[Path]) -> list[Entry]:
        """Put files, and what is in folders, where they are missing; a path may not exist.

        Raises:
            UserError: a path is outside of the folder of this process.
        """
        found = []
        for path in paths:
            for file in _files(inside(path)):
                entry = Entry(file.as_posix(), _sum(file))
                place = self._place(entry.sha256)
                if not self._system.exists(place):
                    self._system.makedirs(PurePath(place).parent.as_posix(), exist_ok=True)
                    half = f"{place}.{uuid.uuid4().hex}"
                    self._system.put_file(str(file), half)
                    self._system.mv(half, place)
                found.append(entry)
        return found

    def get(self, entries: Iterable[Entry], folder: Path) -> None:
        """Lay files into a folder, as links to those of the cache; a worker's way.

        Raises:
            UserError: a file is not in the store, or is damaged there.
        """
        for entry in entries:
            kept = cache() / "files" / entry.sha256
            if not kept.exists():
                self._fetch(entry, kept)
            target = folder / entry.path
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(kept, target)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                shutil.copyfile(kept, target)

    def bring(self, entries: Iterable[Entry], paths: Iterable[Path]) -> None:
        """Write what a job wrote to the paths that it named, each as a whole.

        Raises:
            UserError: see :meth:`get`.
        """
        found = list(entries)
        for path in paths:
            for entry in found:
                if PurePath(entry.path) == path:
                    self._fetch(entry, path)
            below = [entry for entry in found if path in PurePath(entry.path).parents]
            if below:
                with replacing_folder(path) as temporary:
                    for entry in below:
                        self._fetch(entry, temporary / PurePath(entry.path).relative_to(path))

    def _fetch(self, entry: Entry, target: Path) -> None:
        place = self._place(entry.sha256)
        with replacing_file(target) as temporary:
            try:
                self._system.get_file(place, str(temporary))
            except FileNotFoundError:
                raise UserError(f"{place}, which is {entry.path}, is not in the store") from None
            if _sum(temporary) != entry.sha256:
                raise UserError(f"{place} is damaged: remove it, and run the same command again")

    def _place(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def cache() -> Path:
    """Where this machine keeps files of stores, by their content; what is there may be removed."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(home, "textmetric", "cluster"))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(each for each in path.rglob("*") if each.is_file())


def inside(path: Path) -> Path:
    """A path that is below the folder of this process, and relative to it.

    Raises:
        UserError: it is not.
    """
    if path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{path} is not below the folder {Path.cwd()}, in which workers without that folder "
            "do jobs: give a path that is, relative to it"
        )
    return path


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

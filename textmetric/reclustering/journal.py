"""The journal of a turn: every action of a person, on the disk before it counts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.files import as_json, damaged, reading, write_error
from textmetric.reclustering.actions import KINDS, Action, Said
from textmetric.reclustering.corrections import Corrections
from textmetric.reclustering.turns import JOURNAL, Turns, fingerprint, refuse_other
from textmetric.types import PathLike

FORMAT = 1


class Journal:
    """What was said in the turn that comes next, in a file of the folder of turns.

    A line of JSON an action, after a line about the turn. A line is on the disk when
    :meth:`add` returns, so that a killed process loses nothing; a last line that is half-written is
    dropped. One process at a time may hold a journal.

    Attributes:
        path: of the file.
        said: the actions so far.
    """

    def __init__(
        self,
        folder: PathLike,
        texts: Sequence[str],
        clusters: Sequence[Any] | npt.NDArray[Any],
        *,
        before: Turns | None = None,
        numbers: Any = None,
    ) -> None:
        """Begin the journal of the next turn, or go on with it.

        Args:
            folder: of the turns; it is made if it is missing.
            texts: (n,) that are clustered.
            clusters: (n,) where each text is when the turn begins.
            before: the turns in the folder; None if there is none yet.
            numbers: (n,) what the texts are called in messages; by default 0 … n − 1.

        Raises:
            UserError: the folder holds something else, another process has the journal, or the
                journal is damaged or about other texts or clusters.
        """
        refuse_other(folder)
        turn = _next(before)
        self.path = Path(folder, JOURNAL.format(turn))
        self.said = Said(clusters, before=before, numbers=numbers)
        about = {
            "format": FORMAT,
            "turn": turn,
            "sha256": fingerprint([*texts, *self.said.clusters]),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise write_error(self.path, error) from None
        try:
            self._take()
            self._read(about)
        except BaseException:
            self.close()
            raise

    def add(self, *actions: Action) -> list[Action]:
        """Check actions and write those that say something new, all or none.

        Raises:
            UserError: see :meth:`.Said.add`; or the disk is full.
        """
        before, state = self.said.actions, self.said.state
        news = self.said.add(*actions)
        try:
            self._write([action._asdict() for action in news])
        except BaseException:
            self.said.actions, self.said.state = before, state
            raise
        return news

    def close(self) -> None:
        """Let another process have the journal; after that nothing can be added."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process works on {self.path.parent}: end it first") from None
        except OSError:  # a file system without locks
            pass

    def _read(self, about: dict[str, Any]) -> None:
        with reading(self.path, "a journal of corrections"):
            content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        lines = whole.split(b"\n")[:-1]
        if not lines:
            self._write([about])
            _sync(self.path.parent)
            _sync(self.path.parent.parent)
            return
        found = self._parsed(lines[0], 1)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise damaged(self.path, f"is no journal of the format {FORMAT}")
        if found != about:
            raise UserError(
                f"{self.path} has corrections of other texts or clusters: give those, or another "
                "folder"
            )
        actions = [
            self._action(self._parsed(line, number), number)
            for number, line in enumerate(lines[1:], start=2)
        ]
        try:
            self.said.add(*actions)
        except UserError as error:
            raise UserError(f"{self.path} cannot be read again: {error}") from None

    def _parsed(self, line: bytes, number: int) -> Any:
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise self._wrong(number) from None

    def _action(self, found: Any, number: int) -> Action:
        fields = set(Action._fields)
        if isinstance(found, dict) and set(found) == fields and found["kind"] in KINDS:
            rows, names = found["rows"], found["names"]
            if _each(rows, int) and _each(names, str):
                return Action(found["kind"], tuple(rows), tuple(names))
        raise self._wrong(number)

    def _wrong(self, number: int) -> UserError:
        return UserError(
            f"line {number} of {self.path} is no correction: remove the line, or start again "
            "without the file"
        )

    def _write(self, lines: Sequence[Any]) -> None:
        if not lines:
            return
        data = b"".join(as_json(line, indent=None) for line in lines)
        size = os.fstat(self._file).st_size
        try:
            if not os.path.samestat(os.stat(self.path), os.fstat(self._file)):
                raise FileNotFoundError
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(f"{len(data)} requested and {written} written")
            os.fsync(self._file)
        except FileNotFoundError:
            raise UserError(
                f"another process has replaced {self.path.parent}: start again to go on from there"
            ) from None
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
            raise write_error(self.path, error) from None


def noted(
    folder: PathLike,
    texts: Sequence[str],
    clusters: Sequence[Any] | npt.NDArray[Any],
    *,
    before: Turns | None = None,
    numbers: Any = None,
) -> Corrections:
    """What the journal of the next turn says, if there is one.

    Raises:
        UserError: see :class:`Journal`.
    """
    if not Path(folder, JOURNAL.format(_next(before))).exists():
        return Corrections()
    journal = Journal(folder, texts, clusters, before=before, numbers=numbers)
    journal.close()
    return journal.said.corrections


def _next(before: Turns | None) -> int:
    return 1 if before is None else len(before.history) + 1


def _each(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    with contextlib.suppress(OSError):
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)

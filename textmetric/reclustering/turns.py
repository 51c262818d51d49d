"""The folder of turns: the rows, what was said of them, where they are, and the history."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.files import (
    read_arrays,
    read_json,
    replacing_folder,
    write_arrays,
    write_json,
)
from textmetric.reclustering.corrections import Corrections, as_text
from textmetric.types import Float32, Float64, Int64, PathLike

if TYPE_CHECKING:
    from textmetric.embedder import TextEmbedder

FORMAT = 1
JOURNAL = "corrections-{}.jsonl"
"""The name of the journal of a turn, by its number."""
_ABOUT, _ARRAYS, _MODEL = "turns.json", "turns.npz", "model"
_KEYS = {"format", "sha256", "names", "history"}
_NAMES = ("rows", "clusters", "first", "corrected", "must", "cannot", "banned", "mapping")


@dataclass(frozen=True, eq=False)
class Turns:
    """All turns so far, of n rows.

    Attributes:
        names: of clusters.
        clusters: (n,) where each row is after the last turn; -1 for none.
        first: (n,) where each row was before the first turn; -1 for none.
        corrected: (n,) where rows belong, by all that was said; -1 if nothing was.
        must: (p, 2) rows that belong together.
        cannot: (q, 2) rows that belong apart.
        banned: (b, 2) a row, and the id of a cluster in which it must not be.
        rows: (n, d) float32, the vectors that are clustered.
        mapping: (d, d) to the space of the last turn.
        history: a mapping a turn.
        sha256: of the texts or vectors that the rows are of.
        model: what an objective has trained; None if there is none.
    """

    names: list[str]
    clusters: Int64
    first: Int64
    corrected: Int64
    must: Int64
    cannot: Int64
    banned: Int64
    rows: Float32
    mapping: Float64
    history: list[dict[str, Any]]
    sha256: str
    model: TextEmbedder | None = None

    @property
    def current(self) -> list[str]:
        """(n,) names of the clusters after the last turn, "" for none."""
        called = [*self.names, ""]
        return [called[each] for each in self.clusters.tolist()]

    @property
    def bans(self) -> list[tuple[int, str]]:
        """Rows, and the names of clusters in which they must not be."""
        return [(row, self.names[name]) for row, name in self.banned.tolist()]

    def joined(self, more: Corrections) -> Corrections:
        """What was said in all turns and now; where both name a cluster for a row, the later.

        Raises:
            UserError: ``more`` is of another number of rows.
        """
        called = [*(more.renamed.get(name, name) for name in self.names), ""]
        labels = [called[each] for each in self.corrected.tolist()]
        said = Corrections(labels, self.must, self.cannot).joined(more)
        # a cluster that is gone cannot be named again, unless a correction brings it back; a row
        # may come back to a cluster, too
        where = as_text(labels if said.labels is None else said.labels)
        there = {*where, *(called[each] for each in self.clusters.tolist())}
        bans = [(row, called[name]) for row, name in self.banned.tolist()]
        bans = [(row, name) for row, name in bans if name in there and where[row] != name]
        return replace(said, not_here=[*bans, *more.not_here])

    def write(self, folder: PathLike) -> None:
        """Write the folder, replacing it as a whole; same turns, same bytes.

        Raises:
            UserError: ``folder`` holds something else, or cannot be written.
        """
        refuse_other(folder)
        with replacing_folder(folder) as temporary:
            for journal in journals(folder):
                shutil.copyfile(journal, temporary / journal.name)
            write_arrays(temporary / _ARRAYS, **{name: getattr(self, name) for name in _NAMES})
            about = {
                "format": FORMAT,
                "sha256": self.sha256,
                "names": self.names,
                "history": self.history,
            }
            if self.model is not None:
                self.model.save(temporary / _MODEL)
            write_json(temporary / _ABOUT, about)

    @classmethod
    def read(cls, folder: PathLike) -> Turns:
        """Read what :meth:`write` wrote.

        Raises:
            UserError: a file is missing or damaged, or of a newer format.
        """
        path = Path(folder, _ABOUT)
        about = read_json(path)
        if not isinstance(about, dict) or not about.keys() >= _KEYS:
            raise _damaged(path)
        if about["format"] != FORMAT:
            raise UserError(
                f"{path} has the format {about['format']}, but this version reads {FORMAT}: "
                "install the version that wrote it"
            )
        if not _described(about):
            raise _damaged(path)
        arrays = read_arrays(Path(folder, _ARRAYS))
        if set(arrays) != set(_NAMES) or not _fit(arrays, len(about["names"])):
            raise _damaged(Path(folder, _ARRAYS))
        if any(not 0 <= row < len(arrays["rows"]) for row, *_ in about["history"][-1]["ask"]):
            raise _damaged(path)
        model = None
        if Path(folder, _MODEL).exists():
            from textmetric.embedder import TextEmbedder  # with torch, slow to import

            model = TextEmbedder.load(Path(folder, _MODEL))
        return cls(
            about["names"],
            **arrays,
            history=about["history"],
            sha256=about["sha256"],
            model=model,
        )


def begun(folder: PathLike) -> bool:
    """Whether there are turns in a folder."""
    return Path(folder, _ABOUT).is_file()


def journals(folder: PathLike) -> list[Path]:
    """The journals of corrections in a folder, see :class:`.Journal`."""
    return sorted(Path(folder).glob(JOURNAL.format("*")))


def refuse_other(folder: PathLike) -> None:
    """Raise for a folder that holds something else than turns.

    Raises:
        UserError: it does.
    """
    place = Path(folder)
    if not place.exists() or begun(place):
        return
    if not place.is_dir() or {*place.iterdir()} - {*journals(place)}:
        raise UserError(f"{place} holds something else than turns: name another folder")


def fingerprint(content: Sequence[str] | npt.NDArray[Any]) -> str:
    """The sha256 of texts, or of an array of vectors."""
    if isinstance(content, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(content).tobytes()).hexdigest()
    digest = hashlib.sha256()
    for text in content:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} does not hold what a turn wrote: restore the folder, or begin the turns in another"
    )


def _described(about: dict[str, Any]) -> bool:
    """Whether the values of the JSON document are those of turns."""
    names, history = about["names"], about["history"]
    return (
        isinstance(about["sha256"], str)
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
        and isinstance(history, list)
        and bool(history)
        and all(isinstance(entry, dict) for entry in history)
        and _questions(history[-1].get("ask"))
        and isinstance(history[-1].get("objective", 0), str | None)
        and isinstance(history[-1].get("tune"), bool)
        and isinstance(history[-1].get("vectors", 0), str | None)
    )


def _questions(found: Any) -> bool:
    """Whether a value is a list of questions: a row, and three words."""
    return isinstance(found, list) and all(
        isinstance(each, list) and [type(value) for value in each] == [int, str, str, str]
        for each in found
    )


def _fit(arrays: dict[str, npt.NDArray[Any]], names: int) -> bool:
    """Whether arrays have the types, shapes and ranges of :class:`Turns` with ``names`` names."""
    rows, mapping = arrays["rows"], arrays["mapping"]
    if rows.dtype != np.float32 or mapping.dtype != np.float64 or rows.ndim != 2:
        return False
    count, width = rows.shape
    in_clusters = [arrays[name] for name in ("clusters", "first", "corrected")]
    pairs = [arrays[name] for name in ("must", "cannot", "banned")]
    if (
        mapping.shape != (width, width)
        or any(array.shape != (count,) for array in in_clusters)
        or any(array.ndim != 2 or array.shape[1] != 2 for array in pairs)
        or any(array.dtype != np.int64 for array in [*in_clusters, *pairs])
    ):
        return False
    if not (np.isfinite(rows).all() and np.isfinite(mapping).all()):
        return False
    of_rows = [arrays["must"], arrays["cannot"], arrays["banned"][:, 0]]
    return (
        all(_within(array, -1, names) for array in in_clusters)
        and all(_within(array, 0, count) for array in of_rows)
        and _within(arrays["banned"][:, 1], 0, names)
    )


def _within(values: npt.NDArray[Any], least: int, end: int) -> bool:
    return bool(((values >= least) & (values < end)).all())

"""Tokenising a file by parts, in parallel processes, with the arrays on the disk.

Each part numbers its own tokens and counts them. The counts of parts are summed in a tree, and the
sum gives the vocabulary, which orders tokens by frequency and spelling: so neither it nor the ids
depend on how the file was parted. Then each part renames its numbers to ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from textmetric import parallel
from textmetric.files import map_array, release, replacing_file, write_array
from textmetric.text.numbering import TokenNumbers, renumber
from textmetric.text.ragged import RaggedTokens
from textmetric.text.tokenizer import END, Tokenizer, chunks
from textmetric.text.vocabulary import UNKNOWN, Vocabulary
from textmetric.types import Bools, Int32, Int64

_Job = TypeVar("_Job")

PART_ROWS = 1 << 18
"""A part ends with the row group in which it has this many texts."""
FAN = 8
"""Tables of counts that are summed at a time."""
MANY = 1 << 18
"""Of fewer texts than this the processes would cost more time than they save."""

_ROWS_AT_ONCE = 1 << 13


class Wanted(NamedTuple):
    """Some texts of a file.

    Attributes:
        name: of them, in the file's column ``split``.
        rows: (n,) which rows of the file they are, as a mask.
        before: how many texts come before them, for messages.
    """

    name: str
    rows: Bools
    before: int = 0


@dataclass(frozen=True)
class Counted:
    """Tokens and how often each occurs, in files; pickled.

    Attributes:
        prefix: what the names of the files start with.
    """

    prefix: Path

    def save(self, table: TokenNumbers, counts: Int64) -> None:
        """Write the tokens and their counts, in the order of their numbers."""
        with replacing_file(self._letters) as temporary:
            temporary.write_bytes(table.letters())
        write_array(self._counts, counts)

    def load(self) -> tuple[bytes, Int64]:
        """The tokens in UTF-8, with a line feed after each, and their counts."""
        return self._letters.read_bytes(), map_array(self._counts, np.int64)

    @property
    def files(self) -> list[Path]:
        """What :meth:`save` writes."""
        return [self._letters, self._counts]

    @property
    def _letters(self) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.tokens.txt")

    @property
    def _counts(self) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.counts.npy")


class _Part(NamedTuple):
    """Row groups of a file, of which the texts with one value in ``split`` are tokenised."""

    path: Path
    prefix: Path
    name: str
    first: int
    end: int
    before: int
    tokenizer: Tokenizer


class Numbered:
    """The texts of a file as numbers of tokens, part by part, in a folder.

    Args:
        path: the parquet file, with the columns ``text`` and ``split``.
        folder: an empty folder for the arrays.
        wanted: which texts; each row of the file is in one of them at most.
        tokenizer: splits the texts.
        progress: show a progress bar.

    Raises:
        UserError: a text is missing.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        wanted: Sequence[Wanted],
        *,
        tokenizer: Tokenizer,
        progress: bool,
    ) -> None:
        self._folder, self._progress = folder, progress
        total = sum(int(np.count_nonzero(texts.rows)) for texts in wanted)
        self._workers = None if total >= MANY else 1
        self._parts = list(_parts(path, folder, wanted, tokenizer))
        self._run(
            _number, self._parts, "tokenize", lambda part: parallel.Files([path], _written(part))
        )

    def counted(self, names: Sequence[str]) -> tuple[TokenNumbers, Int64]:
        """All tokens of the texts with these names, and how often each occurs."""
        tables = [Counted(part.prefix) for part in self._parts if part.name in names]
        level = 0
        while len(tables) > FAN:
            jobs = [
                (tables[start : start + FAN], Counted(self._folder / f"sum-{level}-{start}"))
                for start in range(0, len(tables), FAN)
            ]
            self._run(_sum_counts, jobs, "count", _read_and_written)
            tables, level = [made for _, made in jobs], level + 1
        return _summed(tables)

    def tokens(self, vocabulary: Vocabulary) -> dict[str, RaggedTokens]:
        """The ids of the known tokens of the texts by name, in the file's order, mapped."""
        table = TokenNumbers(vocabulary.tokens)
        for part in self._parts:
            letters, _ = Counted(part.prefix).load()
            write_array(_renaming(part.prefix), _numbers(table, letters, grow=False))
        prefixes = [part.prefix for part in self._parts]
        self._run(_rename, prefixes, "number", _renamed_files)
        names = dict.fromkeys(part.name for part in self._parts)
        return {
            name: _joined(
                [_final(part.prefix) for part in self._parts if part.name == name],
                self._folder / f"all-{name}",
            )
            for name in names
        }

    def _run(
        self,
        function: Callable[[_Job, Callable[[], None]], None],
        jobs: Sequence[_Job],
        label: str,
        files: Callable[[_Job], parallel.Files],
    ) -> None:
        parallel.run(
            function,
            jobs,
            workers=self._workers,
            files=files,
            label=label,
            unit=" parts",
            progress=self._progress,
        )


def _parts(
    path: Path, folder: Path, wanted: Sequence[Wanted], tokenizer: Tokenizer
) -> Iterator[_Part]:
    """Cut the texts at row groups; each name has one part at least."""
    import pyarrow.parquet

    about = pyarrow.parquet.read_metadata(path)
    sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
    ends = np.cumsum([0, *sizes])
    number = 0
    for texts in wanted:
        done = np.concatenate([[0], np.cumsum(texts.rows)])[ends]  # texts before each row group
        first, before = 0, 0
        for end in range(1, len(ends)):
            whole = end == len(sizes)
            if done[end] - before < PART_ROWS and not whole:
                continue
            if done[end] > before or (whole and before == 0):
                # row groups without any of the texts need not be read
                start = int(np.searchsorted(done, before, "right")) - 1
                yield _Part(
                    path,
                    folder / f"part-{number}",
                    texts.name,
                    max(first, start),
                    end,
                    texts.before + before,
                    tokenizer,
                )
                number += 1
            first, before = end, int(done[end])


def _number(part: _Part, tick: Callable[[], None]) -> None:
    table = TokenNumbers([UNKNOWN])
    texts = chunks(_texts(part), part.before)
    rows = RaggedTokens.joined(
        table.rows(part.tokenizer.separated(chunk), grow=True) for chunk in texts
    )
    rows.save(part.prefix)
    Counted(part.prefix).save(table, table.counts)
    tick()


def _texts(part: _Part) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet

    groups, columns = list(range(part.first, part.end)), ["text", "split"]
    with pyarrow.parquet.ParquetFile(part.path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, groups, columns, use_threads=False):
            mask = pc.equal(batch.column("split").cast(pa.large_string()), part.name)
            yield from batch.column("text").filter(mask).to_numpy(zero_copy_only=False)


def _written(part: _Part) -> list[Path]:
    return [*_arrays(part.prefix), *Counted(part.prefix).files]


def _arrays(prefix: Path) -> list[Path]:
    """What a :class:`RaggedTokens` writes."""
    return [prefix.with_name(f"{prefix.name}.{kind}.npy") for kind in ("ids", "offsets")]


def _numbers(table: TokenNumbers, letters: bytes, *, grow: bool) -> Int32:
    """The number in ``table`` of each token, 0 where it is unknown."""
    ids, offsets = table.rows(letters.replace(b"\n", END), grow=grow)
    numbers = np.zeros(len(offsets) - 1, np.int32)
    numbers[np.diff(offsets) > 0] = ids
    return numbers


def _summed(tables: Sequence[Counted]) -> tuple[TokenNumbers, Int64]:
    table, counts = TokenNumbers([UNKNOWN]), np.zeros(1, np.int64)
    for each in tables:
        letters, more = each.load()
        numbers = _numbers(table, letters, grow=True)
        counts = np.concatenate([counts, np.zeros(len(table) - len(counts), np.int64)])
        counts[numbers] += more  # the tokens of a table differ
    return table, counts


def _sum_counts(job: tuple[Sequence[Counted], Counted], tick: Callable[[], None]) -> None:
    tables, made = job
    made.save(*_summed(tables))
    tick()


def _read_and_written(job: tuple[Sequence[Counted], Counted]) -> parallel.Files:
    tables, made = job
    return parallel.Files([file for table in tables for file in table.files], made.files)


def _renaming(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.new_ids.npy")


def _final(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.final")


def _rename(prefix: Path, tick: Callable[[], None]) -> None:
    rows = RaggedTokens.load(prefix)
    ids, offsets = np.array(rows.ids), np.array(rows.offsets)
    kept = renumber(ids, offsets, np.array(map_array(_renaming(prefix), np.int32)))
    RaggedTokens(ids[:kept], offsets).save(_final(prefix))
    tick()


def _renamed_files(prefix: Path) -> parallel.Files:
    return parallel.Files([*_arrays(prefix), _renaming(prefix)], _arrays(_final(prefix)))


def _joined(prefixes: Sequence[Path], prefix: Path) -> RaggedTokens:
    """The rows of several parts one after another, by a file of them all."""
    parts = [RaggedTokens.load(each) for each in prefixes]
    if len(parts) == 1:
        return parts[0]
    path = _arrays(prefix)[0]
    about = {"descr": "<i4", "fortran_order": False, "shape": (sum(len(p.ids) for p in parts),)}
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for part in parts:
            file.write(part.ids.data)
            release(part.ids)
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = [part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True)]
    return RaggedTokens(map_array(path, np.int32), np.concatenate([[0], *offsets]))

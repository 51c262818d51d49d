"""Where text comes from: the built-in corpora by name, and the user's own tables by path.

Reading goes one way: a corpus file gives the rows as published, by blocks. Their texts go into a
temporary file; a hash, a class and a part of each stay in memory, by which :mod:`.parts` cleans the
rows, cuts what is missing and applies a limit. :func:`load` returns one frame with its counts.
:func:`load_roles` does so for two corpora, and no text crosses from what one of them trains or
validates on to what the other is validated or tested on. :func:`write` and :func:`write_roles`
write the same to files, and need no memory for the texts.
"""

from __future__ import annotations

import importlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from textmetric.corpora.spec import BUILT_IN, Spec, checked, located, reading, table_of
from textmetric.errors import UserError, needing, printable, unknown_name
from textmetric.files import replacing_file
from textmetric.types import PARTS, UNLABELLED, Int64, PathLike

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from textmetric.corpora.parts import Parted
    from textmetric.corpora.spooled import SpooledTexts
    from textmetric.types import Floats

__all__ = [
    "BUILT_IN",
    "Corpus",
    "Spec",
    "Summary",
    "load",
    "load_roles",
    "table_of",
    "text_vectors",
    "write",
    "write_roles",
]

Summary = dict[str, int | str | None]

GROUP_ROWS = 1 << 16
"""The rows of a row group of a corpus in a file, which is what a reader has in memory at once."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """A labelled corpus in three parts.

    Attributes:
        frame: the columns ``text``, ``label`` and ``split``, all strings. ``split`` holds the part
            (``train``, ``validation``, ``test``); this name is fixed by the files of the pipeline,
            elsewhere a split is a training set made from the train part. Train rows come first,
            then validation, then test, each in the corpus's order. Then come the texts without a
            label, if the corpus keeps them: their ``split`` is ``unlabelled``, their label None.
            If the corpus brings vectors, ``row`` holds the number of each text's vector.
        summary: ``name``, ``sample_of`` (the published corpus that the rows are from, as the user
            says, or None), ``classes``, the rows of each part (``train_rows``, ...), the rows that
            were left out by reason (``leaked_rows``, ``conflicting_rows``, ``duplicate_rows``,
            ``short_rows``, ``small_class_rows``, ``crossing_rows``), ``small_classes``, and
            ``limit``; if a row has no label also ``unlabelled_rows``,
            ``unlabelled_leaked_rows`` and ``unlabelled_duplicate_rows``; of a table also ``rows``,
            maybe ``lines`` and ``empty_rows`` (see :func:`.readers.blocks`).
    """

    frame: pd.DataFrame
    summary: Summary


def load(
    spec: Spec,
    *,
    limit: int | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    mirror: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> Corpus:
    """Load a corpus, clean it, and cut the parts that it does not have.

    Args:
        spec: a built-in name, a path of a table or folder, or a mapping ``{name, level,
            min_rows}`` or ``{path, text, label, unlabelled, empty, delimiter, encoding, vectors,
            min_rows, sample_of}`` (see docs/corpora.md).
        limit: at most this many train rows, stratified; validation and test, and the texts without
            a label, shrink in proportion.
        validation: the fraction of the train rows to cut for validation, in [0, 1), where the
            corpus has no validation part.
        test: the fraction of all rows to cut for test, in (0, 1), where it has no test part.
        seed: of the cuts and the limit. Same corpus and seed, same rows.
        mirror: a folder or URL to take downloads from instead of the public addresses.
        cache: the folder for downloads; by default pooch's cache for ``textmetric``.
        progress: show progress bars.

    Raises:
        UserError: any mistake in the spec or in the data; a download that fails.
    """
    read, corpus, summary = _one(
        spec,
        io.BytesIO(),
        _Options(limit, validation, test, seed, mirror, cache, progress),
    )
    return Corpus(_frame(read, corpus), summary)


def write(
    spec: Spec,
    path: PathLike,
    *,
    limit: int | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    mirror: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> Summary:
    """Write what :func:`load` gives to a file, without the texts in memory.

    Next to what reading a block takes, memory holds about 60 bytes a text. The texts are in a
    temporary file next to ``path`` until they are written.

    Args:
        spec: see :func:`load`.
        path: the parquet file to write, with the columns of the frame of a :class:`Corpus`.
        limit: see :func:`load`.
        validation: see :func:`load`.
        test: see :func:`load`.
        seed: see :func:`load`.
        mirror: see :func:`load`.
        cache: see :func:`load`.
        progress: show progress bars.

    Returns:
        The summary, see :class:`Corpus`.

    Raises:
        UserError: as :func:`load`; the file cannot be written.
    """
    with replacing_file(path) as temporary, _spool_next_to(temporary) as file:
        read, corpus, summary = _one(
            spec,
            file,
            _Options(limit, validation, test, seed, mirror, cache, progress),
        )
        _write(temporary, read, corpus)
    return summary


def load_roles(
    target: Spec,
    source: Spec,
    *,
    limit: int | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    mirror: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> tuple[Corpus, Corpus]:
    """Load two corpora of which one is a test of the other: no text crosses between their parts.

    A text that both have is in the train part of both or in the test part of both. Other rows of
    shared texts are left out (``crossing_rows`` of each summary). A test part that a corpus brings
    is never changed. No text without a label is in the validation or test part of either
    (``unlabelled_leaked_rows``).

    Args:
        target: the corpus of the target, as in :func:`load`.
        source: the corpus of the source. It may be the same.
        limit: of the train rows of each role; applied last.
        validation: see :func:`load`.
        test: see :func:`load`.
        seed: see :func:`load`.
        mirror: see :func:`load`.
        cache: see :func:`load`.
        progress: show progress bars.

    Returns:
        The target and the source.

    Raises:
        UserError: as :func:`load`; a class that has fewer than two train rows then.
    """
    files = (io.BytesIO(), io.BytesIO())
    roles = _roles(
        (target, source),
        files,
        _Options(limit, validation, test, seed, mirror, cache, progress),
    )
    first, second = (Corpus(_frame(read, corpus), summary) for read, corpus, summary in roles)
    return first, second


def write_roles(
    target: Spec,
    source: Spec,
    paths: tuple[PathLike, PathLike],
    *,
    limit: int | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    mirror: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> tuple[Summary, Summary]:
    """Write what :func:`load_roles` gives to two files, without the texts in memory.

    See :func:`write` for what is in memory.

    Args:
        target: see :func:`load_roles`.
        source: see :func:`load_roles`.
        paths: the parquet files to write, with the columns of the frame of a :class:`Corpus`.
        limit: see :func:`load_roles`.
        validation: see :func:`load`.
        test: see :func:`load`.
        seed: see :func:`load`.
        mirror: see :func:`load`.
        cache: see :func:`load`.
        progress: show progress bars.

    Returns:
        The summaries of both, see :class:`Corpus`.

    Raises:
        UserError: as :func:`load_roles`; a file cannot be written.
    """
    summaries = []
    with ExitStack() as stack:
        written = [stack.enter_context(replacing_file(path)) for path in paths]
        files = [stack.enter_context(_spool_next_to(path)) for path in written]
        roles = _roles(
            (target, source),
            files,
            _Options(limit, validation, test, seed, mirror, cache, progress),
        )
        for path, (read, corpus, summary) in zip(written, roles, strict=True):
            _write(path, read, corpus)
            summaries.append(summary)
    return summaries[0], summaries[1]


def text_vectors(spec: Spec) -> Floats | None:
    """The vectors (n, width) that a corpus brings, one for each row of its table; None if none.

    Column ``row`` of the frame that :func:`load` gives says which is whose.

    Raises:
        UserError: a mistake in the spec; the vectors are missing or damaged.
    """
    from textmetric.corpora import given_vectors

    options = checked(spec)
    if "vectors" not in options:
        return None
    with needing("vectors of a corpus", "study"):
        import pyarrow  # noqa: F401
    return given_vectors.read(located(options["path"]), options["vectors"])


class _Options(NamedTuple):
    """How a corpus is read; see :func:`load`."""

    limit: int | None
    validation: float
    test: float
    seed: int
    mirror: str | None
    cache: Path | None
    progress: bool


@dataclass(frozen=True)
class _Read:
    """A corpus that was read, cleaned and cut.

    Attributes:
        corpus: the rows that are left.
        texts: those of all rows.
        numbers: the number of each row's vector; None if the corpus brings none.
        about: what reading adds to the summary.
    """

    corpus: Parted
    texts: SpooledTexts
    numbers: Int64 | None
    about: Summary


def _spool_next_to(path: Path) -> IO[bytes]:
    """A file without a name, which is gone when it is closed, or its process killed."""
    return tempfile.TemporaryFile(dir=path.parent)


def _one(
    spec: Spec,
    file: IO[bytes],
    options: _Options,
) -> tuple[_Read, Parted, Summary]:
    """What was read of a corpus, the rows that are kept, and the summary; see :func:`load`."""
    read = _read(
        spec,
        file,
        options,
    )
    from textmetric.corpora.parts import with_unlabelled

    return read, *_limited(with_unlabelled(read.corpus), read, options)


def _roles(
    specs: tuple[Spec, Spec],
    files: Sequence[IO[bytes]],
    options: _Options,
) -> list[tuple[_Read, Parted, Summary]]:
    """What was read of each role, the rows that are kept, and its summary; :func:`load_roles`."""
    from textmetric.corpora.parts import uncrossed, with_unlabelled

    read = [
        _read(
            spec,
            file,
            options,
            reverse=reverse,
        )
        for spec, file, reverse in zip(specs, files, (False, True), strict=True)
    ]
    first, second = uncrossed(read[0].corpus, read[1].corpus)
    both = with_unlabelled(first, [second]), with_unlabelled(second, [first])
    return [(one, *_limited(corpus, one, options)) for one, corpus in zip(read, both, strict=True)]


def _read(
    spec: Spec,
    file: IO[bytes],
    options: _Options,
    *,
    reverse: bool = False,
) -> _Read:
    """Read, clean and cut a corpus; see :func:`load` and :func:`.parts.clean_and_cut`.

    Its texts are written to ``file``.
    """
    with needing("reading a corpus", "study"):
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401

    from textmetric.corpora import given_vectors, readers
    from textmetric.corpora.parts import Keys, clean_and_cut
    from textmetric.corpora.spooled import SpooledTexts

    given = checked(spec)
    name, min_rows = str(given.get("name", given.get("path"))), given.get("min_rows")
    if "name" in given:
        cache = options.cache
        if cache is None:
            with needing("a built-in corpus", "study"):
                import pooch

            cache = Path(pooch.os_cache("textmetric"))
        module = importlib.import_module(f"textmetric.corpora.{name}")
        level, levels = given.get("level"), getattr(module, "LEVELS", ())
        if level is not None and not levels:
            raise UserError(f"corpus {name} has no levels: remove the key level from its mapping")
        if level is not None and level not in levels:
            raise unknown_name(f"level of {name}", str(level), levels)
        frame, found = module.read(
            level=level, cache=Path(cache), mirror=options.mirror, progress=options.progress
        )
        blocks = readers.of_frame(frame, found)
        del frame
        min_rows = min_rows or getattr(module, "MIN_ROWS", None)
    else:
        blocks = readers.blocks(located(name), reading(given))
    keys, texts = Keys(options.seed), SpooledTexts(file)
    counts, numbers = dict[str, int](), list[Int64]()
    for block in blocks:
        keys.add(block.texts, block.labels, block.parts)
        texts.add(block.texts)
        if "vectors" in given:
            numbers.append(block.rows)
        counts = {
            key: counts.get(key, 0) + block.counts.get(key, 0) for key in counts | block.counts
        }
    texts.done()
    if "vectors" in given:
        given_vectors.check_rows(located(name), given["vectors"], rows=counts["rows"])
    corpus = clean_and_cut(
        keys.done(),
        name=name,
        test=options.test,
        validation=options.validation,
        min_rows=min_rows,
        reverse=reverse,
    )
    about = {"name": name, "sample_of": given.get("sample_of"), "short_rows": 0, **counts}
    return _Read(corpus, texts, np.concatenate(numbers) if numbers else None, about)


def _limited(corpus: Parted, read: _Read, options: _Options) -> tuple[Parted, Summary]:
    from textmetric.corpora.parts import finished

    corpus, counts = finished(corpus, options.limit, options.seed)
    summary = {**read.about, **counts}
    shown = ", ".join(f"{key} {value}" for key, value in summary.items())
    _log.info("%s", printable(f"{corpus.name}: {shown}"))
    return corpus, summary


def _frame(read: _Read, corpus: Parted) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(_frames(read, corpus), ignore_index=True)


def _write(path: Path, read: _Read, corpus: Parted) -> None:
    """Write a corpus; the file is the one that pandas writes of its whole frame."""
    import pyarrow as pa
    import pyarrow.parquet

    writer = None
    try:
        for frame in _frames(read, corpus):
            table = pa.Table.from_pandas(frame, preserve_index=False)
            writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _frames(read: _Read, corpus: Parted) -> Iterator[pd.DataFrame]:
    """The frame of a :class:`Corpus` by blocks of ``GROUP_ROWS`` rows."""
    import pyarrow as pa

    held, rows = list[pa.Table](), 0
    for table in _tables(read, corpus):
        while rows + len(table) >= GROUP_ROWS:
            cut = GROUP_ROWS - rows
            yield pa.concat_tables([*held, table[:cut]]).combine_chunks().to_pandas()
            held, rows, table = [], 0, table[cut:]
        held.append(table)
        rows += len(table)
    if rows:
        yield pa.concat_tables(held).combine_chunks().to_pandas()


def _tables(read: _Read, corpus: Parted) -> Iterator[pa.Table]:
    """The rows that are kept, by blocks of any size."""
    import pyarrow as pa

    from textmetric.corpora.parts import in_order

    names = pa.array([*corpus.names, None], pa.large_string())  # -1 is no label
    splits = pa.array([*PARTS, UNLABELLED], pa.large_string())
    for rows, labels, part in in_order(corpus):
        first = 0
        for texts in read.texts.take(rows):
            some = slice(first, first + len(texts))
            columns = {"text": texts, "label": names.take(pa.array(labels[some] % len(names)))}
            if read.numbers is not None:
                columns["row"] = pa.array(read.numbers[rows[some]])
            columns["split"] = splits.take(pa.array(np.full(len(texts), part)))
            yield pa.table(columns)
            first += len(texts)

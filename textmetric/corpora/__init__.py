"""Where text comes from: the built-in corpora by name, and the user's own tables by path.

Reading goes one way: a corpus file gives the rows as published, :mod:`.parts` cleans them, cuts
what is missing and applies a limit, and :func:`load` returns one frame with its counts.
:func:`load_roles` does so for two corpora, and no text crosses from what one of them trains or
validates on to what the other is validated or tested on.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora.spec import BUILT_IN, Spec, checked, located, reading, table_of
from textmetric.errors import UserError, needing, printable, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from textmetric.corpora.parts import Parted
    from textmetric.types import Floats

__all__ = ["BUILT_IN", "Corpus", "Spec", "load", "load_roles", "table_of", "text_vectors"]

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
            maybe ``lines`` and ``empty_rows`` (see :func:`.readers.read`).
    """

    frame: pd.DataFrame
    summary: dict[str, int | str | None]


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
    corpus, about = _cut(
        spec,
        validation=validation,
        test=test,
        seed=seed,
        mirror=mirror,
        cache=cache,
        progress=progress,
    )
    from textmetric.corpora.parts import with_unlabelled

    return _limited(with_unlabelled(corpus), about, limit, seed)


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
    from textmetric.corpora.parts import uncrossed, with_unlabelled

    (first, about_first), (second, about_second) = (
        _cut(
            spec,
            validation=validation,
            test=test,
            seed=seed,
            mirror=mirror,
            cache=cache,
            progress=progress,
            reverse=reverse,
        )
        for spec, reverse in ((target, False), (source, True))
    )
    first, second = uncrossed(first, second)
    first, second = with_unlabelled(first, [second]), with_unlabelled(second, [first])
    return _limited(first, about_first, limit, seed), _limited(second, about_second, limit, seed)


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


def _cut(
    spec: Spec,
    *,
    validation: float,
    test: float,
    seed: int,
    mirror: str | None,
    cache: Path | None,
    progress: bool,
    reverse: bool = False,
) -> tuple[Parted, dict[str, int | str | None]]:
    """Read, clean and cut a corpus; see :func:`load` and :func:`.parts.clean_and_cut`.

    Returns:
        The corpus, and what reading adds to the summary.
    """
    with needing("reading a corpus", "study"):
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401

    from textmetric.corpora import given_vectors, parts, readers

    options = checked(spec)
    name, min_rows = str(options.get("name", options.get("path"))), options.get("min_rows")
    counts: dict[str, int] = {}
    if "name" in options:
        if cache is None:
            with needing("a built-in corpus", "study"):
                import pooch

            cache = Path(pooch.os_cache("textmetric"))
        module = importlib.import_module(f"textmetric.corpora.{name}")
        level, levels = options.get("level"), getattr(module, "LEVELS", ())
        if level is not None and not levels:
            raise UserError(f"corpus {name} has no levels: remove the key level from its mapping")
        if level is not None and level not in levels:
            raise unknown_name(f"level of {name}", str(level), levels)
        frame, counts = module.read(
            level=level, cache=Path(cache), mirror=mirror, progress=progress
        )
        min_rows = min_rows or getattr(module, "MIN_ROWS", None)
    else:
        frame, counts = readers.read(located(name), reading(options))
        if "vectors" in options:
            frame = given_vectors.numbered(
                frame, located(name), options["vectors"], rows=counts["rows"]
            )
    corpus = parts.clean_and_cut(
        frame,
        name=name,
        test=test,
        validation=validation,
        min_rows=min_rows,
        seed=seed,
        reverse=reverse,
    )
    return corpus, {"name": name, "sample_of": options.get("sample_of"), "short_rows": 0, **counts}


def _limited(
    corpus: Parted, about: Mapping[str, int | str | None], limit: int | None, seed: int
) -> Corpus:
    from textmetric.corpora.parts import finished

    frame, counts = finished(corpus, limit, seed)
    summary = {**about, **counts}
    shown = ", ".join(f"{key} {value}" for key, value in summary.items())
    _log.info("%s", printable(f"{corpus.name}: {shown}"))
    return Corpus(frame, summary)

"""How a user names a corpus: a built-in name, a path, or a mapping with options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from textmetric.corpora import encodings, readers
from textmetric.errors import UserError, shown, unknown_name

Spec = str | Mapping[str, Any]
"""A corpus as the user names it, see docs/corpora.md."""

BUILT_IN = ("ag_news", "dbpedia14", "dbpedia_classes", "docstring_modules", "docstrings")
"""The names of the built-in corpora. Each is a module of this package with ``read(...)``."""
PUBLISHED = ("ag_news", "dbpedia14", "dbpedia_classes")
"""The published ones. A table may be a sample of one of them."""

_WORDS = {  # options with one word, and what is so without it
    "unlabelled": ("keep", "an empty label is an error"),
    "empty": ("drop", "an empty text or label is an error"),
}
_READING = tuple(field.name for field in fields(readers.Options))


def checked(spec: Spec) -> dict[str, Any]:
    """A corpus as a mapping with either ``name`` or ``path``, and other keys that belong to it.

    Raises:
        UserError: any mistake in it, except a wrong level.
    """
    if isinstance(spec, str):
        if spec in BUILT_IN:
            return {"name": spec}
        path = located(spec)
        if path.name == spec and not path.suffix and not os.path.exists(path):
            raise _unknown(spec)
        return {"path": spec}
    if not isinstance(spec, Mapping):
        raise UserError(
            f"a corpus must be a built-in name, a path or a mapping, not {spec!r}: see"
            " docs/corpora.md"
        )
    if "name" in spec and "path" in spec:
        raise UserError(
            f"the corpus mapping has both name ({spec['name']}) and path ({spec['path']}): keep one"
        )
    if "name" not in spec and "path" not in spec:
        raise UserError(
            "a corpus mapping needs the key name (a built-in corpus) or path (a table), but has "
            + (", ".join(map(str, spec)) or "no key")
        )
    of_a_table = ("path", *_READING, "vectors", "min_rows", "sample_of")
    known = of_a_table if "path" in spec else ("name", "level", "min_rows")
    for key in spec:
        if key not in known:
            raise unknown_name("corpus key", str(key), known)
    if "name" in spec and spec["name"] not in BUILT_IN:
        raise _unknown(str(spec["name"]))
    if "path" in spec:
        located(spec["path"])
        _check_reading(spec)
    min_rows, sample_of = spec.get("min_rows"), spec.get("sample_of")
    whole = isinstance(min_rows, int) and not isinstance(min_rows, bool)
    if min_rows is not None and (not whole or min_rows < 2):
        raise UserError(
            f"min_rows of a corpus must be a whole number from 2, not {min_rows!r}: classes with"
            " fewer rows are dropped, and no class can be learnt from fewer than 2"
        )
    if sample_of is not None and sample_of not in PUBLISHED:
        raise unknown_name("sample_of of a corpus", str(sample_of), PUBLISHED)
    return dict(spec)


def reading(spec: Mapping[str, Any]) -> readers.Options:
    """How the table of a checked mapping is read."""
    return readers.Options(**{key: spec[key] for key in _READING if key in spec})


def table_of(spec: Spec) -> Path | None:
    """The table or folder of tables of a corpus; None if it is built in.

    Raises:
        UserError: see :func:`checked`.
    """
    options = checked(spec)
    return located(options["path"]) if "path" in options else None


def located(path: object, what: str = "path of a corpus") -> Path:
    """The path that a user names, with ``~`` as the home folder.

    Args:
        path: as the user wrote it.
        what: the key, for the message.

    Raises:
        UserError: it can be no path.
    """
    try:
        if isinstance(path, str) and path:
            os.fsencode(path)
            if not set(path) & set("\0\r\n"):
                return Path(path).expanduser()
    except (RuntimeError, UnicodeError):  # there is no such home folder; half a character
        pass
    raise UserError(f"{what} is {shown(path)}: give the path of a file or folder")


def _check_reading(spec: Mapping[str, Any]) -> None:
    """Raise for a wrong value of a key that says how a table is read."""
    for key in ("text", "label"):
        column = spec.get(key, key)
        if not isinstance(column, str) or not column:
            raise UserError(f"the corpus key {key} must be the name of a column, not {column!r}")
    if spec.get("text", "text") == spec.get("label", "label"):
        raise UserError(
            f"text and label of corpus {spec['path']} name the same column"
            f" {spec.get('text', 'text')!r}: name another"
        )
    for key, (word, otherwise) in _WORDS.items():
        if key in spec and spec[key] != word:
            raise UserError(
                f"{key} of a corpus is {spec[key]!r}, expected {word}: write {key}: {word}, or"
                f" leave the key out, and {otherwise}"
            )
    delimiter, encoding = spec.get("delimiter", ","), spec.get("encoding", "utf-8")
    one = isinstance(delimiter, str) and len(delimiter) == 1 and delimiter.isascii()
    if not one or delimiter in '"\r\n\0':
        raise UserError(
            f"delimiter of a corpus is {delimiter!r}, expected one character between fields:"
            " write delimiter: ';', or \"\\t\" for a tab"
        )
    if not encodings.known(encoding):
        raise UserError(
            f"encoding of a corpus is {encoding!r}, which Python does not know: write utf-8,"
            " utf-16, cp1252 or another name of a text encoding"
        )
    vectors = spec.get("vectors", "")
    if "vectors" in spec and (not isinstance(vectors, str) or not vectors):
        raise UserError(
            f"vectors of a corpus must be the name of a column or of an .npy file, not {vectors!r}"
        )
    if vectors.endswith(".npy") and (Path(vectors).name != vectors or "\0" in vectors):
        raise UserError(
            f"vectors of the corpus {spec['path']} is {vectors!r}, expected the name of a file next"
            " to the table, without folders: move it there"
        )


def _unknown(name: str) -> UserError:
    return UserError(
        f"{unknown_name('corpus', name, BUILT_IN)}, or give the path of a csv, tsv, jsonl or"
        " parquet file or of a folder with train* and test* files"
    )

"""Texts as users give them, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from textmetric.errors import UserError, shown


def checked_texts(texts: Iterable[str], empty_allowed: bool = False) -> list[str]:
    """The texts as a list.

    Raises:
        UserError: one is no string, or empty unless ``empty_allowed``.
    """
    texts = _listed(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"text {row} is {shown(text)}, expected a string: convert or drop it")
        if not empty_allowed and not text.strip():
            raise UserError(f"text {row} is empty: drop it or fill it in")
    return texts


def _listed(texts: Any) -> list[Any]:
    """One text an item.

    Raises:
        UserError: ``texts`` is one string, or what cannot be a column of texts, such as a table or
            a dict, whose items would be its names.
    """
    if isinstance(texts, str | bytes):
        raise UserError("texts is one string: pass a list of texts")
    if (
        not isinstance(texts, Iterable)
        or isinstance(texts, Mapping | Set)
        or hasattr(texts, "columns")
        or getattr(texts, "ndim", 1) != 1
    ):
        raise UserError(
            f"texts is a {type(texts).__name__}, expected a list of texts: pass the list or the "
            "column that holds them"
        )
    return list(texts)

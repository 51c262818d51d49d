"""The exception for mistakes that a user can make and correct."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in the input, in one sentence.

    The message names the file, row, key or value, says what was expected and what to do.
    A stage prints the message and exits with status 2; the library raises it like any
    ``ValueError``. What it quotes from the input is :func:`printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def shown(value: object) -> str:
    """A value for a message: its repr in one line, cut if it is long.

    >>> shown(range(3)), len(shown([0] * 99))
    ('range(0, 3)', 60)
    """
    return cut(repr(value))


def cut(text: str, most: int = 60) -> str:
    """A text for a message: one line, cut to ``most`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    r"""A text for people, with the characters that act instead of being seen as escapes.

    These are control characters (a terminal obeys them), line and paragraph ends, marks that change
    the direction of writing or have no width, and half surrogate pairs. The joiners stay: the
    spelling of some languages needs them.

    >>> printable("a\x1b[2J b\u202ec é")
    'a\\x1b[2J b\\u202ec é'
    """
    return "".join(
        sign.encode("unicode_escape").decode("ascii")
        if unicodedata.category(sign) in _ACTING and sign not in _JOINERS
        else sign
        for sign in text
    )


_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not in ``known``: lists these and suggests the closest.

    >>> str(unknown_name("loss", "tripplet", ["contrastive", "triplet"]))
    "unknown loss 'tripplet'; did you mean 'triplet'? Known: contrastive, triplet"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UserError(f"unknown {kind} {shown(name)}{hint} Known: {', '.join(names)}")


def missing_package(name: str, purpose: str) -> UserError:
    """The error for an optional package that is not installed.

    >>> str(missing_package("tokenizers", "given vectors"))
    'given vectors needs the package tokenizers: install it with pip install tokenizers'
    """
    return UserError(f"{purpose} needs the package {name}: install it with pip install {name}")

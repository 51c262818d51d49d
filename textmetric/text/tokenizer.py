"""The tokens of torchtext 0.6.0's ``basic_english``, without importing torchtext (and torch)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textmetric.errors import UserError


def basic_english(text: str) -> list[str]:
    """Split ``text`` into the tokens that torchtext 0.6.0's ``basic_english`` gives.

    Lower case; ``' . , ( ) ! ?`` become tokens of their own; ``"`` vanishes, so that it joins
    what stood around it; ``; :`` and ``<br />`` become white space; the rest is split at white
    space.

    Args:
        text: any string; it may be empty.

    Returns:
        The tokens. None is empty or holds white space in the sense of ``str.split``.
    """
    # torchtext runs these substitutions as regular expressions, all of them literals: str.replace
    # in the same order gives the same string. The order matters: a quote vanishes before <br />
    # is looked for (so <"br /> is a break), a dot is set apart before (so <br./> is none).
    # torchtext's last step, \s+ to one space, changes nothing for str.split: both know the same
    # white space.
    return (
        text.lower()
        .replace("'", " '  ")
        .replace('"', "")
        .replace(".", " . ")
        .replace("<br />", " ")
        .replace(",", " , ")
        .replace("(", " ( ")
        .replace(")", " ) ")
        .replace("!", " ! ")
        .replace("?", " ? ")
        .replace(";", " ")
        .replace(":", " ")
        .split()
    )


def tokenize(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the :func:`basic_english` tokens of each text, one text at a time.

    Raises:
        UserError: ``texts`` is a single string, or an item is no string (a missing value, say).
    """
    if isinstance(texts, str):
        raise UserError("texts is one string, expected a list of strings: write [text]")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(
                f"text {row} (counted from 0) is {text!r} of type {type(text).__name__}, "
                "expected a string: drop or fill rows without text"
            )
        yield basic_english(text)

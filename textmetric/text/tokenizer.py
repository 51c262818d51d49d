"""The tokens of torchtext 0.6.0's ``basic_english``, without importing torchtext (and torch)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from textmetric.errors import UserError, unknown_name

BETWEEN = "A"
"""Separates texts in lower case: a capital is in none of them, and no rule reaches across."""

# A replacement costs less for a chunk than for each of its texts, and what a chunk becomes should
# stay in the processor's cache until it has its ids.
_CHARACTERS_AT_ONCE = 1 << 14


def basic_english(text: str) -> list[str]:
    """Split ``text`` into the tokens that torchtext 0.6.0's ``basic_english`` gives.

    Lower case; ``' . , ( ) ! ?`` become tokens of their own; ``"`` vanishes, so that it joins
    what is around it; ``; :`` and ``<br />`` become white space; the rest is split at white
    space.

    Args:
        text: any string; it may be empty.

    Returns:
        The tokens. None is empty or holds white space in the sense of ``str.split``.
    """
    return spaced(text.lower()).split()


def split_chunk(lowered: list[str]) -> Iterator[list[str]]:
    """The tokens of each text of a chunk; there is at least one text."""
    return map(str.split, spaced(BETWEEN.join(lowered)).split(BETWEEN))


def lowered_chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lower case, in chunks of some ten thousand characters.

    Raises:
        UserError: ``texts`` is a single string, or an item is no string.
    """
    if isinstance(texts, str):
        raise UserError("texts is one string, expected a list of strings: write [text]")
    chunk: list[str] = []
    characters = 0
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(
                f"text {row} (counted from 0) is {text!r} of type {type(text).__name__}, "
                "expected a string: drop or fill rows without text"
            )
        chunk.append(text.lower())
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def spaced(lowered: str) -> str:
    """Set the tokens of a text in lower case apart, so that ``str.split`` finds them."""
    # torchtext runs these substitutions as regular expressions, all of them literals: str.replace
    # in the same order gives the same string. The order matters: a quote vanishes before <br />
    # is looked for (so <"br /> is a break), a dot is set apart before (so <br./> is none).
    # torchtext's last step, \s+ to one space, changes nothing for str.split: both know the same
    # white space.
    return (
        lowered.replace("'", " '  ")
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
    )


@dataclass(frozen=True)
class Tokenizer:
    """How texts become tokens. A vocabulary has one, and a saved model names it.

    Attributes:
        name: in ``model.json``.
    """

    name: str

    def chunks(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the texts in lower case, some at a time.

        Raises:
            UserError: ``texts`` is a single string, or an item is no string.
        """
        return lowered_chunks(texts)

    def split(self, chunk: list[str]) -> Iterator[list[str]]:
        """The tokens of each text of a chunk."""
        return split_chunk(chunk)


BASIC_ENGLISH = Tokenizer("basic_english")
TOKENIZERS = {BASIC_ENGLISH.name: BASIC_ENGLISH}


def tokenizer_named(name: str) -> Tokenizer:
    """The tokenizer with this name.

    Raises:
        UserError: there is none.
    """
    if name not in TOKENIZERS:
        raise unknown_name("tokenizer", str(name), TOKENIZERS)
    return TOKENIZERS[name]

"""Tokenizers: torchtext 0.6.0's ``basic_english``, without torchtext, words, and given ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import numpy as np

from textmetric.errors import UserError, needing, unknown_name

END = b"\xff"
"""Ends each text in what :attr:`Tokenizer.separated` returns: UTF-8 never has this byte."""

# One call for a chunk costs less than one for each text, and a chunk should stay in the processor's
# cache until it has its ids.
_CHARACTERS_AT_ONCE = 1 << 14
_WORDS_KEPT = 1 << 18


@dataclass(frozen=True)
class Tokenizer:
    """How texts become tokens. A vocabulary has a tokenizer, and a saved model names it.

    Attributes:
        name: the name in ``model.json``.
        definition: the file ``tokenizer.json`` of a :func:`given_tokenizer`; "" for one that has
            only a name.
        separated: takes n texts and returns one string of bytes: the tokens in UTF-8 (half a
            surrogate pair is allowed) with ASCII white space between, and :data:`END` after each
            text. No token holds white space in the sense of ``str.split``.
    """

    name: str
    separated: Callable[[Sequence[str]], bytes] = field(compare=False, repr=False)
    definition: str = field(default="", repr=False)

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """The tokens of each text.

        >>> BASIC_ENGLISH.split(["Don't panic!", ""])
        [['don', "'", 't', 'panic', '!'], []]
        """
        rows = self.separated(texts).split(END)[:-1]
        return [row.decode("utf-8", "surrogatepass").split() for row in rows]


def chunks(texts: Iterable[str], before: int = 0) -> Iterator[list[str]]:
    """Yield the texts in lists of some ten thousand characters.

    Args:
        texts: any texts.
        before: how many come before them, for messages.

    Raises:
        UserError: ``texts`` is a single string, or an item is not a string.
    """
    if isinstance(texts, str):
        raise UserError("texts is one string, expected a list of strings: write [text]")
    chunk: list[str] = []
    characters = 0
    for row, text in enumerate(texts, before):
        if not isinstance(text, str):
            raise UserError(
                f"text {row} (counted from 0) is {text!r} of type {type(text).__name__}, "
                "expected a string: drop or fill rows without text"
            )
        chunk.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


# torchtext runs these substitutions as regular expressions, all of them literals; bytes.replace in
# the same order gives the same text. The order matters: quotes are removed before <br /> is
# replaced (so <"br /> is a break), and dots are separated before it (so <br./> is not). torchtext's
# last step, \s+ to one space, changes nothing here: \s and str.split agree on white space.
_SUBSTITUTIONS = (
    (b"'", b" '  "),
    (b'"', b""),
    (b".", b" . "),
    (b"<br />", b" "),
    (b",", b" , "),
    (b"(", b" ( "),
    (b")", b" ) "),
    (b"!", b" ! "),
    (b"?", b" ? "),
    (b";", b" "),
    (b":", b" "),
    (b"A", END),  # a capital cannot occur in lower case
)
# White space for str.split that is not ASCII.
_WIDE_SPACE = (
    "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


def _basic_english(texts: Sequence[str]) -> bytes:
    joined = "A".join([*map(str.lower, texts), ""])
    if not joined.isascii():
        for character in _WIDE_SPACE:
            joined = joined.replace(character, "\n")  # with a space it could become a <br />
    separated = joined.encode("utf-8", "surrogatepass")
    for old, new in _SUBSTITUTIONS:
        separated = separated.replace(old, new)
    return separated


BASIC_ENGLISH = Tokenizer("basic_english", _basic_english)
"""The tokens of torchtext 0.6.0's ``basic_english``.

Lower case; ``' . , ( ) ! ?`` become tokens of their own; ``"`` is removed, so that it joins what is
around it; ``; :`` and ``<br />`` become white space; the rest is split at white space.
"""

_WORD = re.compile(r"\w\w+")


def _words(texts: Sequence[str]) -> bytes:
    return b"".join(" ".join(_WORD.findall(text.lower())).encode() + END for text in texts)


WORDS = Tokenizer("words", _words)
"""Lower-case words of two characters or more, without punctuation.

These are the tokens of scikit-learn's ``TfidfVectorizer``. ``half-way`` is two of them.
"""

_LENGTHS = (3, 4)
_MARK = "·"  # no n-gram is spelt like a word


def _with_ngrams(texts: Sequence[str]) -> bytes:
    rows = (" ".join(map(_ngrams, row)) for row in BASIC_ENGLISH.split(texts))
    return b"".join(row.encode("utf-8", "surrogatepass") + END for row in rows)


@lru_cache(maxsize=_WORDS_KEPT)
def _ngrams(word: str) -> str:
    """The word and its n-grams, with spaces between."""
    ends = f"<{word}>"
    starts = ((length, range(len(ends) - length + 1)) for length in _LENGTHS if length < len(ends))
    found = [ends[start : start + length] for length, places in starts for start in places]
    return " ".join([word, *(_MARK + each for each in found)])


NGRAMS = Tokenizer("basic_english_ngrams", _with_ngrams)
"""The tokens of :data:`BASIC_ENGLISH`, each followed by its character n-grams (Bojanowski et al.
2017, fastText).

They are the 3- and 4-grams of ``<word>`` that are shorter than it, each with a ``·`` before it. An
unknown word has n-grams of known words, so it is not lost. Unlike in fastText they are tokens of
the vocabulary and not hashed: an n-gram that no train text has is unknown.

>>> NGRAMS.split(["wine"])
[['wine', '·<wi', '·win', '·ine', '·ne>', '·<win', '·wine', '·ine>']]
"""

_TOKENIZERS = (BASIC_ENGLISH, WORDS, NGRAMS)
GIVEN = "given"
"""The name of every tokenizer that is a file ``tokenizer.json``."""


def given_tokenizer(definition: str) -> Tokenizer:
    """The tokenizer that a ``tokenizer.json`` of the library ``tokenizers`` defines.

    Special tokens are not added, and texts are neither cut nor padded.

    Args:
        definition: the content of the file.

    Raises:
        UserError: when it is used: ``tokenizers`` is not installed, or cannot read the file.
    """
    return Tokenizer(GIVEN, partial(_given, definition), definition)


def _given(definition: str, texts: Sequence[str]) -> bytes:
    # Half a surrogate pair has no UTF-8, which the library needs.
    whole = [text.encode("utf-8", "replace").decode() for text in texts]
    machine, known = read_tokenizer(definition), _known_words(definition)
    if known is None:
        encoded = machine.encode_batch(whole, add_special_tokens=False)
        return b"".join(" ".join(row.tokens).encode() + END for row in encoded)
    rows = [text.split(" ") for text in whole]
    words = {word for row in rows for word in row}
    found = {word: known[word] for word in words if word in known}
    new = [word for word in words if word not in known]
    # Each new word once, all of them as one text: a call costs more than a word.
    encoded = machine.encode(" ".join(new), add_special_tokens=False)
    starts = np.cumsum([0, *(len(word) + 1 for word in new)])
    places = np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2)[:, 0]
    counts = np.bincount(np.searchsorted(starts, places, "right") - 1, minlength=len(new))
    tokens = iter(encoded.tokens)
    found |= {
        word: " ".join(islice(tokens, count))
        for word, count in zip(new, counts.tolist(), strict=True)
    }
    if len(known) < _WORDS_KEPT:
        known.update(found)
    return b"".join(" ".join([found[word] for word in row]).encode() + END for row in rows)


@lru_cache(maxsize=2)
def _known_words(definition: str) -> dict[str, str] | None:
    """The tokens of words that texts had so far; None if tokens may depend on other words.

    BERT's rules look at no word but the one at hand, and a space always ends one.
    """
    about = json.loads(definition)
    split, normal = ((about[part] or {}).get("type") for part in ("pre_tokenizer", "normalizer"))
    alone = split == "BertPreTokenizer" and normal in ("BertNormalizer", None)
    spaced = any(" " in token["content"] for token in about["added_tokens"])
    return {} if alone and not spaced else None


@lru_cache(maxsize=2)
def read_tokenizer(definition: str) -> Any:
    """The ``tokenizers.Tokenizer`` of a ``tokenizer.json``, without cutting and padding.

    Raises:
        UserError: see :func:`given_tokenizer`.
    """
    with needing("the tokenizer that comes with given vectors"):
        import tokenizers
    try:
        machine = tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises nothing more special
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            f"tokenizer.json cannot be read by the library tokenizers ({problem}): copy it again "
            "from the folder of the vectors"
        ) from None
    machine.no_truncation()
    machine.no_padding()
    return machine


def tokenizer_named(name: str, definition: str = "") -> Tokenizer:
    """The tokenizer with this name.

    Args:
        name: of a model or a corpus.
        definition: see :class:`Tokenizer`.

    Raises:
        UserError: there is none.
    """
    if name == GIVEN:
        if not definition:
            raise UserError("its tokenizer.json is missing")
        return given_tokenizer(definition)
    for tokenizer in _TOKENIZERS:
        if tokenizer.name == name:
            return tokenizer
    raise unknown_name("tokenizer", name, [tokenizer.name for tokenizer in _TOKENIZERS])

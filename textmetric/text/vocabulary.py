"""Which tokens are known, and the id of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import accumulate, chain, islice
from pathlib import Path

import numpy as np

from textmetric.errors import UserError
from textmetric.files import reading, replacing_file
from textmetric.text.ragged import RaggedTokens
from textmetric.text.tokenizer import (
    BASIC_ENGLISH,
    Tokenizer,
    chunks,
    given_tokenizer,
    tokenizer_named,
)
from textmetric.types import Int32, Int64, PathLike

UNKNOWN = "<unk>"

# From this many chunks on, the compiled table saves more than its set-up cost, and its import.
_FEW_CHUNKS, _FEW_WITH_IMPORT = 64, 512


class Vocabulary:
    """Tokens and their ids: ``tokens[i]`` has id ``i``, and ``tokens[0]`` is ``<unk>``.

    Attributes:
        tokens: the tokens by id.
        tokenizer: splits the texts that :meth:`encode` gets.

    Raises:
        ValueError: ``<unk>`` is not first, a token occurs twice, is empty or holds white space.
    """

    def __init__(self, tokens: Iterable[str], tokenizer: Tokenizer = BASIC_ENGLISH) -> None:
        self.tokens = list(tokens)
        self.tokenizer = tokenizer
        if not self.tokens or self.tokens[0] != UNKNOWN:
            raise ValueError(f"the first token is not {UNKNOWN}")
        if len(set(self.tokens)) != len(self.tokens):
            twice = next(
                token for place, token in enumerate(self.tokens) if self.ids[token] != place
            )
            raise ValueError(f"the token {twice!r} occurs twice")
        # The file has one token a line, so str.split must leave a token whole.
        if "\n".join(self.tokens).split() != self.tokens:
            wrong = next(token for token in self.tokens if token.split() != [token])
            raise ValueError(f"the token {wrong!r} is empty or holds white space")

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token; made on first use, since many callers never use it."""
        return {token: place for place, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and self.tokens == other.tokens
            and self.tokenizer == other.tokenizer
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self) - 1} tokens and {UNKNOWN})"

    @classmethod
    def ranked(
        cls,
        tokens: Sequence[str],
        counts: Int64,
        *,
        min_freq: int = 1,
        max_size: int | None = None,
        tokenizer: Tokenizer = BASIC_ENGLISH,
    ) -> tuple[Vocabulary, Int32]:
        """Order tokens as torchtext 0.6.0's ``Vocab`` does with ``specials=["<unk>"]``.

        ``<unk>`` is first, then tokens follow by falling frequency, ties by code point. A token
        of the text that is spelt ``<unk>`` is unknown.

        Args:
            tokens: n different tokens.
            counts: (n,) how often each occurs, 0 or more.
            min_freq: tokens that occur less often are left out, >= 1.
            max_size: how many tokens to keep at most, without ``<unk>``, >= 1; None for all.
            tokenizer: gave the tokens.

        Returns:
            The vocabulary; (n,) the id in it of each of ``tokens``, 0 for unknown, for
            :meth:`RaggedTokens.remap`.

        Raises:
            UserError: an argument is out of range, or no token is left.
        """
        if min_freq < 1:
            raise UserError(f"min_freq is {min_freq}, expected 1 or more: 1 keeps all tokens")
        if max_size is not None and max_size < 1:
            raise UserError(
                f"max_size is {max_size}, expected 1 or more: leave it out to keep all tokens"
            )
        alphabet = np.array(sorted(range(len(tokens)), key=tokens.__getitem__), np.int64)
        known = alphabet[counts[alphabet] >= min_freq]
        known = known[np.argsort(-counts[known], kind="stable")]
        ordered = [tokens[place] for place in known.tolist()]
        if UNKNOWN in ordered:
            known = np.delete(known, ordered.index(UNKNOWN))
            ordered.remove(UNKNOWN)
        if not ordered:
            most = int(counts.max(initial=0))
            if most == 0:
                raise UserError("the train texts hold no token: give texts with words")
            raise UserError(
                f"min_freq is {min_freq}, but no token occurs more than {most} times in the "
                "train texts: lower it"
            )
        new_ids = np.zeros(len(tokens), np.int32)
        new_ids[known[:max_size]] = np.arange(1, len(known[:max_size]) + 1)
        return cls([UNKNOWN, *ordered[:max_size]], tokenizer), new_ids

    def encode(self, texts: Iterable[str]) -> RaggedTokens:
        """The ids of the known tokens of texts; unknown tokens are dropped.

        A text without a known token becomes an empty row.

        Raises:
            UserError: ``texts`` is a single string, or an item is not a string.
        """
        remaining = chunks(texts)
        few = _FEW_CHUNKS if "numba" in sys.modules else _FEW_WITH_IMPORT
        first = list(islice(remaining, few))
        if len(first) < few or not find_spec("numba"):
            return RaggedTokens.joined(map(self._encoded, chain(first, remaining)))
        # Imported here: a few texts need no compiler.
        from textmetric.text.numbering import TokenNumbers

        table = TokenNumbers(self.tokens)
        return RaggedTokens.joined(
            table.rows(self.tokenizer.separated(chunk), grow=False)
            for chunk in chain(first, remaining)
        )

    def _encoded(self, chunk: list[str]) -> tuple[Int32, Int64]:
        """The same as ``TokenNumbers.rows``, by the dictionary."""
        # filter(None, ...) drops None, an unknown token, and 0, a literal "<unk>".
        rows = [list(filter(None, map(self.ids.get, row))) for row in self.tokenizer.split(chunk)]
        offsets = np.fromiter(accumulate(map(len, rows), initial=0), np.int64)
        return np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1]), offsets

    def extended(self, tokens: Iterable[str]) -> Vocabulary:
        """This vocabulary and, after its tokens, those of ``tokens`` that it lacks."""
        new = [token for token in tokens if token not in self.ids]
        return Vocabulary([*self.tokens, *new], self.tokenizer)

    def save(self, path: PathLike) -> None:
        """Write one token a line, UTF-8, in the order of the ids.

        A given tokenizer is written next to it, as ``tokenizer.json``; of another one than
        ``basic_english`` the name, as ``tokenizer.txt``.
        """
        # A docstring may hold half of a surrogate pair, which strict UTF-8 cannot write.
        text = "".join(f"{token}\n" for token in self.tokens)
        with replacing_file(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "surrogatepass"))
        if self.tokenizer.definition:
            with replacing_file(_next_to(path)) as temporary:
                temporary.write_text(self.tokenizer.definition, encoding="utf-8")
        elif self.tokenizer != BASIC_ENGLISH:
            with replacing_file(_next_to(path, ".txt")) as temporary:
                temporary.write_text(self.tokenizer.name, encoding="utf-8")

    @classmethod
    def load(cls, path: PathLike) -> Vocabulary:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: the file is missing or damaged.
        """
        tokenizer = BASIC_ENGLISH
        beside, named = _next_to(path), _next_to(path, ".txt")
        if named.exists():
            tokenizer = tokenizer_named(named.read_text(encoding="utf-8"))
        if beside.exists():
            with reading(beside, "a tokenizer"):
                tokenizer = given_tokenizer(beside.read_text(encoding="utf-8"))
        with reading(path, "a vocabulary"):
            text = Path(path).read_bytes().decode("utf-8", "surrogatepass")
            if not text.endswith("\n"):
                raise ValueError("its last line is cut off")
            return cls(text[:-1].split("\n"), tokenizer)


def _next_to(path: PathLike, suffix: str = ".json") -> Path:
    return Path(path).with_name(f"tokenizer{suffix}")

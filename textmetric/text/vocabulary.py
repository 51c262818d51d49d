"""Which tokens are known, and the id of each."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.text.ragged import RaggedTokens
from textmetric.text.tokenizer import tokenize

UNKNOWN = "<unk>"


class Vocabulary:
    """Tokens and their ids: ``tokens[i]`` has id ``i``, and ``tokens[0]`` is ``<unk>``.

    Attributes:
        tokens: the tokens by id.
        ids: the id of each token.

    Raises:
        ValueError: ``<unk>`` is not first, a token stands twice, is empty or holds white space.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = list(tokens)
        self.ids = {token: place for place, token in enumerate(self.tokens)}
        if not self.tokens or self.tokens[0] != UNKNOWN:
            raise ValueError(f"the first token is not {UNKNOWN}")
        if len(self.ids) != len(self.tokens):
            twice = next(
                token for place, token in enumerate(self.tokens) if self.ids[token] != place
            )
            raise ValueError(f"the token {twice!r} stands in it twice")
        # One token a line is the file format, so a token must be what str.split leaves whole.
        if "\n".join(self.tokens).split() != self.tokens:
            wrong = next(token for token in self.tokens if token.split() != [token])
            raise ValueError(f"the token {wrong!r} is empty or holds white space")

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self) - 1} tokens and {UNKNOWN})"

    @classmethod
    def build(
        cls, counts: Mapping[str, int], *, min_freq: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """Order tokens as torchtext 0.6.0's ``Vocab`` does with ``specials=["<unk>"]``.

        ``<unk>`` first, then by falling frequency, ties alphabetical (by code point). A token of
        the text that is itself spelled ``<unk>`` is not counted: it is unknown.

        Args:
            counts: how often each token occurs, 0 or more.
            min_freq: tokens that occur less often are left out, >= 1.
            max_size: how many tokens to keep at most, without ``<unk>``, >= 1; None for all.

        Raises:
            UserError: an argument out of range, or no token is left.
        """
        if min_freq < 1:
            raise UserError(f"data.min_freq is {min_freq}, expected 1 or more: 1 keeps all tokens")
        if max_size is not None and max_size < 1:
            raise UserError(
                f"data.max_size is {max_size}, expected 1 or more: null keeps all tokens"
            )
        known = [token for token, count in counts.items() if count >= min_freq and token != UNKNOWN]
        if not known:
            most = max(counts.values(), default=0)
            if most == 0:
                raise UserError("the train texts hold no token: give texts with words")
            raise UserError(
                f"data.min_freq is {min_freq}, but no token occurs more than {most} times in the "
                "train texts: lower it"
            )
        known.sort(key=lambda token: (-counts[token], token))
        return cls([UNKNOWN, *islice(known, max_size)])

    def encode(self, texts: Iterable[str]) -> RaggedTokens:
        """Tokenise texts and give the ids of their known tokens; unknown ones are dropped.

        A text without a known token becomes an empty row.

        Raises:
            UserError: ``texts`` is a single string, or an item is no string.
        """
        get = self.ids.get
        ids, offsets = array("i"), array("q", [0])
        for tokens in tokenize(texts):
            # filter(None, ...) drops None, an unknown token, and 0, a literal "<unk>".
            ids.extend(filter(None, map(get, tokens)))
            offsets.append(len(ids))
        return RaggedTokens(np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one token a line, UTF-8, in the order of the ids."""
        # A docstring may hold half of a surrogate pair, which strict UTF-8 cannot write.
        text = "".join(f"{token}\n" for token in self.tokens)
        with replacing_file(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "surrogatepass"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: the file is missing, is not UTF-8, or is no vocabulary.
        """
        try:
            text = Path(path).read_bytes().decode("utf-8", "surrogatepass")
        except FileNotFoundError:
            raise UserError(
                f"{path} is missing: run the stage that writes it (dvc repro)"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} cannot be read as UTF-8 ({error}): write it again (dvc repro)"
            ) from None
        try:
            if not text.endswith("\n"):
                raise ValueError("its last line is cut off")
            return cls(text[:-1].split("\n"))
        except ValueError as error:
            raise UserError(
                f"{path} is no vocabulary ({error}): write it again (dvc repro)"
            ) from None

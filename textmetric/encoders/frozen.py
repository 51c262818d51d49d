"""The encoder that trains a projection of text vectors, such as those of a sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from textmetric.encoders.bag import BagEncoder
from textmetric.encoders.pretrained import find, sentence_transformer
from textmetric.errors import UserError
from textmetric.files import damaged, read_json, reading
from textmetric.inference import Layer, checked_vectors, embed_vectors
from textmetric.text.ragged import Tokens
from textmetric.types import Float32, PathLike

_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class TextVectors:
    """The vectors of n texts, one a row.

    Attributes:
        values: (n, width) float32.
        source: the sentence encoder that gave them, a folder or hub name; None if they were given.
        sha256: of the weights of the sentence encoder; "" if there is no sum.
    """

    values: Float32
    source: str | None = None
    sha256: str = ""

    @classmethod
    def load(cls, path: PathLike) -> TextVectors:
        """Map what stage encode wrote into memory; what is changed there stays in this process.

        Args:
            path: the vectors; ``about.json`` next to them says where they are from.

        Raises:
            UserError: a file is missing or damaged.
        """
        about_path = Path(path).with_name("about.json")
        about = read_json(about_path)
        if not isinstance(about, dict) or "sha256" not in about:
            raise damaged(about_path, "does not say where the vectors next to it are from")
        with reading(path, "float32 vectors, one a text"):
            values = np.load(path, mmap_mode="c")
            if values.dtype != np.float32 or values.ndim != 2:
                raise ValueError(f"it holds {values.dtype} of shape {values.shape}")
        return cls(np.asarray(values), about["vectors"], about["sha256"])


class FrozenEncoder(BagEncoder):
    """A projection of text vectors that stay as they are.

    To this encoder a text is one token, its row in a table of vectors that is attached for training
    and for embedding, and is no part of a saved model.

    Args:
        dim: width of the embedding.
        layer: the projection; ``bag``, which has none, leaves nothing to train.
        width: of the text vectors.
        source: the sentence encoder that gives the vectors of a text, a folder or hub name; None
            if the vectors are given.
        sha256: of its weights; "" if there is no sum.

    The random state is torch's own: call ``torch.manual_seed`` first.
    """

    def __init__(
        self, dim: int, layer: Layer, *, width: int, source: str | None = None, sha256: str = ""
    ) -> None:
        super().__init__(0, dim, layer, width=width)
        self.width = width
        self.source = source
        self.sha256 = sha256
        self.detach()

    def attach(self, values: Float32) -> None:
        """Let token i be the text vector ``values[i]``, (n, width); it is not copied.

        Raises:
            UserError: the vectors have another width.
        """
        self._check_width(values)
        writeable = values if values.flags.writeable else np.array(values)  # torch wants it so
        self.weight = nn.Parameter(torch.from_numpy(writeable), requires_grad=False)

    def detach(self) -> None:
        """Forget the table of :meth:`attach`."""
        self.attach(np.empty((0, self.width), dtype=np.float32))

    def embed(self, tokens: Tokens) -> Float32:
        """The embeddings (n, dim) of n texts, each one token: its row in the attached table.

        Raises:
            UserError: no table is attached.
        """
        if len(tokens) and not len(self.weight):
            raise UserError(
                f"this model embeds {self._what()}, not tokens: give it texts or their vectors"
            )
        return super().embed(tokens)

    def embed_vectors(self, values: Float32) -> Float32:
        """The embeddings (n, dim) of n text vectors (n, width), see :func:`.embed_vectors`.

        Raises:
            UserError: the vectors have another width.
        """
        self._check_width(values)
        return embed_vectors(values, self.layer, self.arrays())

    def vectors(self, texts: Sequence[str], *, progress: bool = False) -> Float32:
        """The vectors (n, width) that the sentence encoder gives to n texts.

        Raises:
            UserError: the vectors were given, so texts cannot be encoded; or there is no such
                sentence encoder here, or one with other weights.
        """
        if self.source is None:
            raise UserError(
                f"this model embeds {self._what()}, not texts: give it an array of shape "
                f"(n, {self.width})"
            )
        if not len(texts):
            return np.empty((0, self.width), dtype=np.float32)
        try:
            return sentence_vectors(
                texts, self.source, sha256=self.sha256, progress=progress
            ).values
        except UserError as error:
            raise UserError(f"this model embeds {self._what()}: {error}") from None

    def arrays(self) -> dict[str, Float32]:
        """See :meth:`.Encoder.arrays`: the projection alone."""
        found = super().arrays()
        del found["weight"]
        return found

    def _check_width(self, values: Float32) -> None:
        if values.ndim != 2 or values.shape[1] != self.width:
            raise UserError(
                f"the text vectors have the shape {values.shape}, but the encoder was made for "
                f"(n, {self.width}): give vectors of that width, or train again"
            )

    def _what(self) -> str:
        if self.source is None:
            return f"given vectors of width {self.width}"
        return f"the vectors of the sentence encoder {self.source}"


def sentence_vectors(
    texts: Sequence[str], name: str, *, sha256: str = "", progress: bool = True
) -> TextVectors:
    """The vectors that a sentence encoder gives to n texts; it encodes equal texts once.

    Args:
        texts: at least one. The sentence encoder cuts texts that are too long for it.
        name: the folder or hub name of a sentence-transformers model, see :func:`.find`.
        sha256: what the sum of its weights must be; "" for any.
        progress: show a progress bar.

    Raises:
        UserError: there is no such model, it cannot be used, or the sum of its weights differs.
    """
    model, found = _opened(name)
    if sha256 and found != sha256:
        raise UserError(
            f"the weights of {name} have the sha256 {found[:12]}…, but {sha256[:12]}… when the "
            "model was trained: put those weights there, or train again"
        )
    places: dict[str, int] = {}
    rows = np.array([places.setdefault(text, len(places)) for text in texts])
    # Half a surrogate pair has no UTF-8, which the tokenizer needs.
    whole = [text.encode("utf-8", "replace").decode() for text in places]
    values = model.encode(  # the longest texts first, so that batches hold texts of like length
        whole, batch_size=_TEXTS_AT_ONCE, show_progress_bar=progress, convert_to_numpy=True
    )
    checked = checked_vectors(values, f"the vectors of {name}")
    return TextVectors(checked if len(whole) == len(rows) else checked[rows], name, found)


@lru_cache(maxsize=1)
def _opened(name: str) -> tuple[Any, str]:
    """The sentence encoder and the sum of its weights."""
    found = find(name)
    return sentence_transformer(found), found.sha256


def inputs_of(tokens: Tokens, vectors: Float32 | TextVectors | None) -> Tokens | Float32:
    """What a model embeds of n texts of a corpus: their tokens, or their rows of text vectors.

    Args:
        tokens: of the texts; each has one token, its row, if there are text vectors.
        vectors: those that the model was given.
    """
    if isinstance(vectors, TextVectors):
        rows: Float32 = vectors.values[np.asarray(tokens.whole().ids)]
        return rows
    return tokens

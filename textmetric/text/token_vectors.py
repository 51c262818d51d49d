"""Given token vectors, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmetric.files import reading, replacing_folder, write_array
from textmetric.text.vocabulary import Vocabulary
from textmetric.types import Float32, PathLike


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """Tokens and their vectors.

    Attributes:
        vocabulary: V tokens with their tokenizer.
        values: (V, width) float32; the first row, of ``<unk>``, is zero.
    """

    vocabulary: Vocabulary
    values: Float32

    def save(self, folder: PathLike) -> None:
        """Write ``vocabulary.txt``, ``vectors.npy`` and, if it is a given one, the tokenizer."""
        with replacing_folder(folder) as temporary:
            self.vocabulary.save(temporary / "vocabulary.txt")
            write_array(temporary / "vectors.npy", self.values)

    @classmethod
    def load(cls, folder: PathLike) -> TokenVectors:
        """Read what :meth:`save` wrote; the values are mapped into memory, read only.

        Raises:
            UserError: a file is missing or damaged, or the two do not match.
        """
        folder = Path(folder)
        vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        path = folder / "vectors.npy"
        with reading(path, "float32 vectors, one for each token of vocabulary.txt"):
            values = np.lib.format.open_memmap(path, mode="r")
            if values.dtype != np.float32 or values.ndim != 2 or len(values) != len(vocabulary):
                raise ValueError(f"it holds {values.dtype} of shape {values.shape}")
        return cls(vocabulary, np.asarray(values))

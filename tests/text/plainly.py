"""A vocabulary from counts, in one call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textmetric.text import Vocabulary


def vocabulary_of(counts: Mapping[str, int], **limits: int | None) -> Vocabulary:
    """The vocabulary of tokens that occur this often."""
    return Vocabulary.ranked(list(counts), np.fromiter(counts.values(), np.int64), **limits)[0]

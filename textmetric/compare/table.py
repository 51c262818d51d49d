"""A user's labelled texts, cleaned and tokenised: no two of them are the same to the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from textmetric.corpora.parts import clean
from textmetric.errors import UserError
from textmetric.labels import check_labels, is_missing
from textmetric.text import (
    LabelledTokens,
    RaggedTokens,
    TokenizedCorpus,
    checked_texts,
    tokenize_train,
    tokenizer_named,
)
from textmetric.types import Int64

TOKENIZER = "words"
"""That of :class:`.TextEmbedder`."""
FEWEST_ROWS = 10
"""Of a class: with a fifth of them for test, two are, so that one can find the other."""
_NAMED = 3


class Table(NamedTuple):
    """The rows that are compared on.

    Attributes:
        corpus: all of them are its train part; no two have the same tokens.
        given: how many rows there were.
        left_out: how many rows were left out and why, a phrase each.
    """

    corpus: TokenizedCorpus
    given: int
    left_out: list[str]


def read_table(texts: Iterable[str], labels: Sequence[Any]) -> Table:
    """Clean and tokenise labelled texts.

    A row is left out if it has no label (None, NaN, the number -1 or an empty string) or no token,
    if another row has its tokens and another label, or if an earlier row has its tokens. Then
    classes with fewer than :data:`FEWEST_ROWS` rows are left out.

    Args:
        texts: n texts.
        labels: n labels: strings, numbers or truth values.

    Raises:
        UserError: the lengths differ, a text is no string, labels are of two types, or fewer than
            two classes are left.
    """
    listed = checked_texts(texts, empty_allowed=True)
    each = list(labels)
    if len(each) != len(listed):
        raise UserError(f"{len(listed)} texts came with {len(each)} labels: give one label a text")
    labelled = [row for row, label in enumerate(each) if not _is_none(label)]
    if not labelled:
        raise UserError(
            f"none of the {len(each)} rows has a label: name the column that holds the labels"
        )
    check_labels((row, each[row]) for row in labelled)
    vocabulary, tokens = tokenize_train(
        (listed[row] for row in labelled), tokenizer=tokenizer_named(TOKENIZER)
    )
    classes, codes = np.unique([each[row] for row in labelled], return_inverse=True)
    names = [str(name) for name in classes]
    keep = tokens.lengths > 0
    left_out = {"without a label": len(each) - len(labelled), "without a word": int((~keep).sum())}
    rows = np.flatnonzero(keep)
    alone, found = clean(
        _numbered(tokens.take(rows)).astype(np.uint64), codes[rows], np.zeros_like(rows)
    )
    left_out["whose words have another label in another row"] = found["conflicting_rows"]
    left_out["whose words an earlier row has"] = found["duplicate_rows"]
    rows = rows[alone]
    counts = np.bincount(codes[rows], minlength=len(names))
    large = np.flatnonzero(counts >= FEWEST_ROWS)
    small = np.setdiff1d(np.arange(len(names)), large)
    if len(large) < 2:
        raise UserError(
            f"{len(large) or 'no'} {'class has' if len(large) < 2 else 'classes have'} "
            f"{FEWEST_ROWS} different texts or more, expected at least two classes: add rows, or "
            f"check the column of the labels, which has {len(names):,} different values"
        )
    left_out[_of_small_classes([names[label] for label in small])] = int(counts[small].sum())
    rows = rows[np.isin(codes[rows], large)]
    new_label = np.zeros(len(names), dtype=np.int32)
    new_label[large] = np.arange(len(large))
    train = LabelledTokens(tokens.take(rows), new_label[codes[rows]])
    nothing = train.take([])
    return Table(
        TokenizedCorpus(
            vocabulary,
            [names[label] for label in large],
            train=train,
            validation=nothing,
            test=nothing,
        ),
        len(each),
        [f"{count:,} {why}" for why, count in left_out.items() if count],
    )


def _is_none(label: Any) -> bool:
    """Whether a row has no label, as :class:`.TextEmbedder` and pandas mark it."""
    if isinstance(label, str) and not label.strip():
        return True
    if label is None or is_missing(label):
        return True
    return isinstance(label, int | float | np.number) and label == -1


def _numbered(tokens: RaggedTokens) -> Int64:
    """(n,) equal numbers for texts with the same tokens."""
    numbers: dict[bytes, int] = {}
    ends = tokens.offsets.tolist()
    return np.array(
        [
            numbers.setdefault(tokens.ids[start:end].tobytes(), len(numbers))
            for start, end in pairwise(ends)
        ],
        dtype=np.int64,
    )


def _of_small_classes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
    kind = "class" if len(names) == 1 else "classes"
    return f"of {len(names):,} {kind} with fewer than {FEWEST_ROWS} such texts ({shown})"

"""Texts for the parts, from the docstrings of the standard library or from a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.rounds import Options
from textmetric.corpora.docstrings import collect, folders
from textmetric.errors import UserError

Labelled = tuple[list[str], npt.NDArray[np.int32]]

FOLDERS = ("asyncio", "email", "importlib", "logging", "multiprocessing", "unittest", "xml")
"""Of the standard library; each is a class. Every Python has them, and some hundred docstrings."""
NEW_WORDS = 2  # a text


def texts(options: Options, rows: int | None = None) -> Labelled:
    """Texts and their class ids, in an order that mixes the classes.

    Args:
        options: where from.
        rows: how many; more than there are grow out of them, see :func:`grown`. None for all.

    Returns:
        The texts; (n,) class ids from 0.

    Raises:
        UserError: the table cannot be read or lacks a column.
    """
    frame = _docstrings() if options.texts is None else _table(options.texts)
    order = np.random.default_rng(0).permutation(len(frame))
    some = frame["text"].to_numpy(dtype=object)[order].tolist()
    codes, _ = pd.factorize(frame["label"], sort=True)
    labels = codes.astype(np.int32)[order]
    if rows is None:
        return some, labels
    if rows > len(some):
        return grown(some, labels, rows)
    return some[:rows], labels[:rows]


def _docstrings() -> pd.DataFrame:
    library = folders({"stdlib": None})["stdlib"]
    frame, _ = collect({name: library / name for name in FOLDERS}, by_module=False, progress=False)
    return frame


def _table(path: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--texts {path} cannot be read as csv ({error}): name a table") from None
    if missing := {"text", "label"} - set(frame.columns):
        raise UserError(
            f"--texts {path} has no column {min(missing)}: give a csv with the columns text and "
            "label"
        )
    return frame


def grown(texts: list[str], labels: npt.NDArray[np.int32], rows: int, seed: int = 0) -> Labelled:
    """More texts like the ones there are, whose vocabulary goes on growing.

    The first ones are the texts themselves. Each further one is the first half of one of them and
    the second half of another of its class, with two words that are drawn from an endless Zipf
    law, so that new words keep coming as they do in real text (some 0.8th power of the rows).

    Args:
        texts: n ≥ 1 of them.
        labels: (n,) class ids from 0.
        rows: how many are wanted, more than n.
        seed: of what is drawn. The first rows of a larger number are those of a smaller one.

    Returns:
        ``rows`` texts; (rows,) class ids.
    """
    known = len(texts)
    words = [text.split() for text in texts]
    starts = [" ".join(text[: len(text) // 2]) for text in words]
    ends = [" ".join(text[len(text) // 2 :]) for text in words]
    # Three generators: what one draws for a row does not depend on how many rows are wanted.
    first, second, third = np.random.default_rng(seed).spawn(3)
    more = rows - known
    one = first.integers(known, size=more)
    of_class = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    sizes = np.array([len(found) for found in of_class])[labels[one]]
    place = (second.random(more) * sizes).astype(np.int64)
    other = np.concatenate(of_class)[np.cumsum([0, *map(len, of_class)])[labels[one]] + place]
    new = np.minimum(third.zipf(1.2, size=(more, NEW_WORDS)), 10**12).tolist()
    made = [
        f"{starts[left]} {' '.join(f'w{word}' for word in drawn)} {ends[right]}"
        for left, right, drawn in zip(one.tolist(), other.tolist(), new, strict=True)
    ]
    return [*texts, *made], np.concatenate([labels, labels[one]])

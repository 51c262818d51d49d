"""Variants of a corpus: fewer classes or rows, unequal classes, wrong labels. All deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from studies.label_noise import along_confusion, uniform
from textmetric import splits
from textmetric.errors import UserError
from textmetric.sampling.draws import first_of_each
from textmetric.text import LabelledTokens, RaggedView, TokenizedCorpus
from textmetric.types import PARTS, Int64, Integers

TEST_ROWS = 15
"""Of each class, in the test part of a sweep."""
VALIDATION_ROWS = 10
"""Of each class at most, in its validation part."""
CLASSES = 20
ROWS = 40
FEWEST = 12
"""Rows of the smallest class of a table for the rule: a comparison leaves out those below 10."""
_TRIES = 10_000


class Draw(IntEnum):
    """What is drawn, each from a stream of its own; the streams of a training end below 100."""

    CLASSES = 100
    ROWS = 101
    NOISE = 102
    DESIGN = 103


def generator(seed: int, draw: Draw, place: int = 0) -> np.random.Generator:
    """A generator at the start of a stream."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(draw, place)))


@dataclass(frozen=True)
class Point:
    """One setting of a sweep.

    Attributes:
        classes: how many.
        rows: of a class, the mean.
        ratio: of the largest class to the smallest, at the same total.
        noise: the share of train labels that is swapped.
        confused: swap along the confusion, not uniformly.
        width: of the embedding.
        temperature: of two objectives that have one, which are then trained; None for the default
            objectives.
        in_batch: classes in a batch; None for the sampler's.
    """

    classes: int = CLASSES
    rows: int = ROWS
    ratio: float = 1.0
    noise: float = 0.0
    confused: bool = False
    width: int = 32
    temperature: float | None = None
    in_batch: int | None = None


class Sweep(NamedTuple):
    """One factor, all else equal.

    Attributes:
        title: what is asked, after "Does it depend on".
        factor: the attribute of a point that changes.
        label: of the factor, on an axis.
        levels: its values, rising.
        base: what does not change.
        needed: train rows that each class must have.
        log: whether slopes are per doubling, not per unit of the factor.
    """

    title: str
    factor: str
    label: str
    levels: Sequence[float]
    base: Point = Point()
    needed: int = 90
    log: bool = True

    def points(self) -> list[Point]:
        """The point of each level."""
        changes: list[dict[str, Any]] = [{self.factor: level} for level in self.levels]
        return [replace(self.base, **change) for change in changes]


SHARES = (0.0, 0.1, 0.2, 0.4)
SWEEPS = {
    "classes": Sweep("the number of classes", "classes", "classes", (4, 8, 16, 32, 64, 128),
                     Point(rows=20), needed=20),
    "rows": Sweep("the rows a class", "rows", "train rows a class", (5, 10, 20, 40, 80)),
    "imbalance": Sweep("the imbalance", "ratio", "largest : smallest class", (1, 3, 10, 30),
                       Point(rows=25)),
    "noise": Sweep("wrong train labels, drawn uniformly", "noise", "share of wrong labels", SHARES,
                   log=False),
    "confusion": Sweep("wrong train labels along the confusion", "noise",
                       "share of wrong labels (confused)", SHARES, Point(confused=True), log=False),
    "temperature": Sweep("the temperature", "temperature", "temperature",
                         (0.02, 0.05, 0.1, 0.2, 0.5, 1)),
    "batch": Sweep("the classes in a batch, where classes are unequal (10 : 1)", "in_batch",
                   "classes in a batch", (2, 5, 10, 20), Point(rows=25, ratio=10)),
    "width": Sweep("the width", "width", "width of the embedding", (8, 16, 32, 64, 128, 256)),
}  # fmt: skip


def unequal(classes: int, rows: float, ratio: float) -> Int64:
    """How many rows each class has: a geometric series, the largest first.

    Args:
        classes: C.
        rows: their mean; the sum is ``round(C · rows)``.
        ratio: of the largest to the smallest, at least 1, up to rounding.

    Returns:
        (C,) falling, at least 1 each.
    """
    shape = ratio ** -np.linspace(0, 1, classes)
    exact = round(classes * rows) * shape / shape.sum()
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    missing = round(classes * rows) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[: max(missing, 0)]] += 1
    return np.sort(counts)[::-1].copy()


def fitting(corpus: TokenizedCorpus, needed: int) -> Int64:
    """The classes with as many train rows, and enough test rows: their ids."""
    tested = np.bincount(corpus.test.labels, minlength=len(corpus.label_names))
    return np.flatnonzero((corpus.train_counts >= needed) & (tested >= TEST_ROWS))


def thinned(corpus: TokenizedCorpus, needed: int, point: Point, seed: int) -> TokenizedCorpus:
    """A corpus as a point of a sweep has it; a larger point contains a smaller one.

    Classes and rows are drawn by the seed. The validation and test parts are equal for all points
    with the same classes: their labels are right, and the test part has as many rows of each class.

    Args:
        corpus: the whole corpus.
        needed: see :func:`fitting`; the classes are drawn from these.
        point: with at most as many classes as fit.
        seed: of what is drawn.
    """
    able = fitting(corpus, needed)
    chosen = generator(seed, Draw.CLASSES).permutation(able)[: point.classes]
    parts = [getattr(corpus, part) for part in PARTS]
    names = len(corpus.label_names)

    def share(counts: Integers) -> Int64:
        made = np.zeros(names, dtype=np.int64)
        made[chosen] = counts
        return made

    shares = [
        share(unequal(len(chosen), point.rows, point.ratio)),
        share(np.full(len(chosen), VALIDATION_ROWS)),
        share(np.full(len(chosen), TEST_ROWS)),
    ]
    starts = np.cumsum([0, *map(len, parts)])
    rows = []
    for place, (part, wanted) in enumerate(zip(parts, shares, strict=True)):
        shuffled = generator(seed, Draw.ROWS, place).permutation(len(part))
        rows.append(starts[place] + first_of_each(shuffled, part.labels, wanted))
    # ids in the order of the old ones, so that a class keeps its place
    new_ids = np.full(names, -1, dtype=np.int32)
    order = np.sort(chosen)
    new_ids[order] = np.arange(len(order))
    pool = LabelledTokens(
        RaggedView.over([part.tokens for part in parts]),
        new_ids[np.concatenate([part.labels for part in parts])],
    )
    kept = [corpus.label_names[label] for label in order.tolist()]
    made = splits.of_rows(replace(corpus, label_names=kept, train=pool), *rows)
    if point.noise:
        made = replace(made, train=_noisy(made, point, seed))
    return made


def _noisy(corpus: TokenizedCorpus, point: Point, seed: int) -> LabelledTokens:
    labels = np.asarray(corpus.train.labels, dtype=np.int64)
    rng = generator(seed, Draw.NOISE)
    if point.confused:
        wrong = along_confusion(texts_of(corpus), labels, point.noise, rng)
    else:
        wrong = uniform(labels, point.noise, rng)
    return replace(corpus.train, labels=wrong.astype(np.int32))


def texts_of(corpus: TokenizedCorpus) -> list[str]:
    """The words of each train text, with spaces between."""
    tokens, names = corpus.train.tokens.whole(), np.array(corpus.vocabulary.tokens, dtype=object)
    bounds = tokens.offsets.tolist()
    return [" ".join(names[tokens.ids[start:end]]) for start, end in pairwise(bounds)]


class Design(NamedTuple):
    """A table for the rule.

    Attributes:
        classes: how many.
        rows: of a class, the mean.
        ratio: of the largest class to the smallest.
        noise: the share of labels that is swapped.
        confused: swap along the confusion, not uniformly.
    """

    classes: int
    rows: float
    ratio: float
    noise: float
    confused: bool


def designs(counts: Int64, many: int, most: int, seed: int) -> list[Design]:
    """Draw what the tables of a corpus have.

    Classes from 2 on and rows a class are drawn log-uniformly, as far as the corpus has them. Half
    of the tables have classes of one size, and two thirds have the labels as they are.

    Args:
        counts: (C,) rows of each class of the corpus.
        many: how many tables.
        most: rows of a table.
        seed: of the draws.

    Raises:
        UserError: the corpus is too small.
    """
    rng = generator(seed, Draw.DESIGN)
    largest = np.sort(counts)[::-1]
    able = min(int((largest >= FEWEST).sum()), most // FEWEST)
    found: list[Design] = []
    for _ in range(_TRIES):
        if len(found) == many or able < 2:
            break
        classes = round(float(np.exp(rng.uniform(np.log(2), np.log(able)))))
        rows = float(np.exp(rng.uniform(np.log(FEWEST), np.log(most / classes))))
        ratio = float(rng.choice([1, 1, 1, 3, 10, 30]))
        noise = float(rng.choice([0, 0, 0, 0, 0.15, 0.3]))
        design = Design(classes, rows, ratio, noise, bool(rng.integers(2)))
        made = unequal(classes, rows, ratio)
        if (
            made.min() >= FEWEST
            and made.sum() >= most / 8
            and largest[classes - 1] >= made.max()  # any class can be the largest
        ):
            found.append(design)
    if len(found) < many:
        raise UserError(
            f"a corpus of {len(counts)} classes, {able} of them with {FEWEST} rows or more, is too "
            f"small for {many} tables of up to {most} rows: give another one, or fewer --tables"
        )
    return found


def table_of(frame: pd.DataFrame, design: Design, seed: int) -> tuple[list[str], list[str]]:
    """The texts and labels of a table, drawn from all parts of a corpus.

    Args:
        frame: columns text and label.
        design: what the table has.
        seed: of what is drawn.
    """
    names, labels = np.unique(frame["label"].astype(str), return_inverse=True)
    counts = np.bincount(labels)
    made = unequal(design.classes, design.rows, design.ratio)
    able = np.flatnonzero(counts >= made.max())
    chosen = generator(seed, Draw.CLASSES).permutation(able)[: design.classes]
    share = np.zeros(len(names), dtype=np.int64)
    share[chosen] = made
    shuffled = generator(seed, Draw.ROWS).permutation(len(labels))
    rows = first_of_each(shuffled, labels, share)
    texts = frame["text"].to_numpy()[rows].tolist()
    classes, codes = np.unique(labels[rows], return_inverse=True)
    if design.noise:
        rng = generator(seed, Draw.NOISE)
        codes = (
            along_confusion(texts, codes, design.noise, rng)
            if design.confused
            else uniform(codes, design.noise, rng)
        )
    return texts, names[classes[codes]].tolist()

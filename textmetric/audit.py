"""Labels that look wrong, by what models say that were not trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing
from textmetric.measures import fit_temperature, softmax
from textmetric.types import Float64, Int64, Integers

with needing("an audit of labels", "train"):
    from sklearn.model_selection import StratifiedKFold
    from tqdm.auto import tqdm

from textmetric.embedder import TextEmbedder, checked_labels
from textmetric.text import checked_texts

FOLDS = 5
FEWEST = 3
"""Different texts of a class: with one in a fold of its own, two are left to train on."""


class Audit(NamedTuple):
    """What :func:`audit` found, for the m rows that it could judge.

    Attributes:
        rows: (m,) places of the rows, counted from 0.
        given: (m,) their labels.
        proposed: (m,) for each the likeliest other label.
        scores: (m,) how many times likelier the proposed label is than the given one; above 1 the
            models disagree with the label. 0 for a text without a word that the others have.
        classes: (C,) the labels that were compared, sorted.
        probabilities: (m, C) of them, by models that did not see the row.
        left_out: rows with a label that could not be judged, since their class has too few texts.
    """

    rows: Int64
    given: npt.NDArray[Any]
    proposed: npt.NDArray[Any]
    scores: Float64
    classes: npt.NDArray[Any]
    probabilities: Float64
    left_out: int

    def suspects(self) -> Int64:
        """Places in ``rows`` of the labels that models disagree with, the worst first."""
        order = np.argsort(-self.scores, kind="stable")
        return order[self.scores[order] > 1]


def audit(
    texts: Sequence[str],
    labels: Sequence[Any],
    *,
    seed: int = 0,
    progress: bool = False,
    **parameters: Any,
) -> Audit:
    """Find labels that look wrong.

    The texts are divided into five folds. Of each fold, a :class:`.TextEmbedder` that was trained
    on the others gives the probability of every label. A label is as suspicious as the likeliest
    other one is likelier: the ratio of their probabilities. Equal texts are in one fold, so that no
    copy of a text vouches for its label.

    Args:
        texts: n texts.
        labels: n labels. The number -1, None and an empty string mark a text without one.
        seed: of the folds and the trainings.
        progress: show a progress bar.
        parameters: of :class:`.TextEmbedder`. Where ``lr`` is not given, the first fold chooses it.

    Raises:
        UserError: see :meth:`.TextEmbedder.fit`; fewer than two classes have three different texts.

    >>> texts = [f"{fruit} {number}" for fruit in ("apple", "pear") for number in "abcdefgh"]
    >>> labels = ["apple"] * 8 + ["pear"] * 7 + ["apple"]
    >>> found = audit(texts, labels, lr=0.1, epochs=20)
    >>> worst = found.suspects()[0]
    >>> int(found.rows[worst]), str(found.proposed[worst])
    (15, 'pear')
    """
    listed = checked_texts(texts)
    classes, codes = checked_labels(labels, len(listed), fewest=1)
    unlabelled = [listed[row] for row in np.flatnonzero(codes < 0)]
    rows, part = _folds(listed, codes, seed)
    present, given = np.unique(codes[rows], return_inverse=True)
    names = classes[present]
    scores = np.empty((len(rows), len(names)))
    known = np.empty(len(rows), dtype=bool)
    parameters = {"seed": seed, "calibrate": False} | parameters
    for fold in tqdm(range(part.max() + 1), unit="fold", disable=not progress):
        asked, rest = np.flatnonzero(part == fold), np.flatnonzero(part != fold)
        embedder = TextEmbedder(**parameters).fit(
            [listed[row] for row in rows[rest]] + unlabelled,
            [*names[given[rest]].tolist(), *[None] * len(unlabelled)],
        )
        parameters["lr"] = embedder.lr_
        scores[asked], known[asked] = embedder.scores([listed[row] for row in rows[asked]])
    temperature = fit_temperature(scores[known], given[known]) if known.any() else 1.0
    probabilities = softmax(scores / temperature)
    proposed, odds = suspicion(probabilities, given)
    return Audit(
        rows,
        names[given],
        names[proposed],
        np.where(known, odds, 0.0),
        names,
        probabilities,
        int((codes >= 0).sum()) - len(rows),
    )


def suspicion(probabilities: Float64, labels: Integers) -> tuple[Int64, Float64]:
    """The likeliest other class of each row, and how many times likelier it is than the label.

    Args:
        probabilities: (n, C) of the classes, by models that did not see the row.
        labels: (n,) class ids.

    Returns:
        (n,) class ids and (n,) ratios, 0 or more; infinite where the label has no probability.

    >>> suspicion(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([0, 0]))[1].round(2).tolist()
    [4.0, 0.11]
    """
    rows = np.arange(len(labels))
    others = np.array(probabilities, dtype=np.float64)
    own = others[rows, labels]
    others[rows, labels] = -1
    best = others.argmax(axis=1)
    with np.errstate(divide="ignore"):
        return best, others[rows, best] / own


def _folds(texts: list[str], codes: Integers, seed: int) -> tuple[Int64, Int64]:
    """The rows that can be judged, and the fold of each; equal texts are in one fold.

    Raises:
        UserError: fewer than two classes have :data:`FEWEST` different texts.
    """
    labelled = np.flatnonzero(codes >= 0)
    numbers: dict[str, int] = {}
    number = np.array([numbers.setdefault(texts[row], len(numbers)) for row in labelled])
    _, first = np.unique(number, return_index=True)
    label = codes[labelled[first]]  # of each different text
    counts = np.bincount(label, minlength=codes.max() + 1)
    large = counts >= FEWEST
    if large.sum() < 2:
        raise UserError(
            f"{'no class has' if not large.any() else 'one class has'} {FEWEST} different texts or "
            "more, expected at least two classes: add texts"
        )
    kept = large[label]
    fold = np.full(len(label), -1)
    count = int(min(FOLDS, counts[large].min()))
    split = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    places = np.flatnonzero(kept)
    for each, (_, asked) in enumerate(split.split(places, label[places])):
        fold[places[asked]] = each
    of_row = fold[number]
    of_row[~large[codes[labelled]]] = -1
    judged = of_row >= 0
    return labelled[judged], of_row[judged]

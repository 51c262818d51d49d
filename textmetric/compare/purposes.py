"""What embeddings are for: how the rows are divided for it, and what is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError, needing, unknown_name

with needing("a comparison", "train"):
    from scipy.sparse import csr_array, issparse

from textmetric import splits
from textmetric.corpora.parts import cut
from textmetric.measures import clustering, few_shot, retrieval, verification
from textmetric.measures.clustering import clustering_of
from textmetric.measures.evaluation import CLUSTERED, PAIRS, STARTS
from textmetric.measures.sparse import retrieval_sparse, verification_sparse
from textmetric.report.names import BY_KEY, TEST_ACCURACY, Measure
from textmetric.sampling.draws import rows_of_each
from textmetric.sampling.streams import Stream, generator_of
from textmetric.text import TokenizedCorpus
from textmetric.types import Floats, Int64, Integers

TEST = 0.2
"""Of the rows."""
VALIDATION = 0.15
"""Of the other rows."""
PAIR = 2
"""Rows of a class that a part has at least: one finds the other."""
NEW = 0.25
"""Of the classes, those that are never trained on and tested."""
FEWEST_CLASSES = 6
"""Where new classes are tested: two to learn from, two to choose by, two to test."""
LABELS = 10
"""Of a class, where labels are few; of these, :data:`CHOOSING` choose the learning rate."""
CHOOSING = 0.2
SHOTS, WAYS = 5, 5


class Purpose(NamedTuple):
    """What embeddings are for.

    Attributes:
        name: as the user writes it.
        title: in words, after "embeddings for".
        measures: what is measured; the first decides.
        parts: from all rows (as the train part) and a seed to a corpus with three parts.
        by_class: whether classes are drawn for test, not rows.
        about: how the parts are made, a sentence.
    """

    name: str
    title: str
    measures: tuple[Measure, ...]
    parts: Callable[[TokenizedCorpus, int], TokenizedCorpus]
    about: str
    by_class: bool = False

    @property
    def predicts(self) -> bool:
        """Whether it is measured by predictions, not by the space."""
        return self.measures[0] == TEST_ACCURACY

    def test_to_train(self, classes: int) -> float:
        """n_test / n_train of a resampled split, in rows or classes.

        Where labels are few, it is that of the rows that they are drawn from: two splits share as
        many test rows whatever the share of the others that has labels.
        """
        if not self.by_class:
            return TEST / (1 - TEST)
        seen = round((1 - NEW) * classes)
        return (classes - seen) / seen

    def check(self, corpus: TokenizedCorpus) -> None:
        """Check that there are classes enough.

        Raises:
            UserError: there are not.
        """
        classes = len(corpus.label_names)
        if self.by_class and classes < FEWEST_CLASSES:
            raise UserError(
                f"{self.name} needs {FEWEST_CLASSES} classes or more, two to learn from, two to "
                f"choose by and two to test, but there are {classes}: compare for another purpose"
            )

    def measured(
        self, vectors: Floats | csr_array, labels: Integers, predicted: Integers | None = None
    ) -> dict[str, float]:
        """The measures by key.

        Args:
            vectors: (n, d) dense, or sparse unit or zero rows.
            labels: (n,) class ids from 0.
            predicted: (n,) class ids, if :attr:`predicts`.
        """
        if self.predicts:
            assert predicted is not None
            return {TEST_ACCURACY.key: float((predicted == labels).mean())}
        return {measure.key: _MEASURED[measure.key](vectors, labels) for measure in self.measures}


def by_name(name: str) -> Purpose:
    """The purpose with this name.

    Raises:
        UserError: there is none.
    """
    for purpose in PURPOSES:
        if purpose.name == name:
            return purpose
    raise unknown_name("purpose", name, [purpose.name for purpose in PURPOSES])


# ---------------------------------------------------------------- parts


def rows_apart(corpus: TokenizedCorpus, seed: int) -> tuple[Int64, Int64, Int64]:
    """The rows of train, validation and test: drawn at random, stratified, none in two parts."""
    labels = np.asarray(corpus.train.labels, dtype=np.int64)
    order = generator_of(seed, Stream.RESAMPLES).permutation(len(labels)).astype(np.uint64)
    rows = np.arange(len(labels))
    test = cut(labels, rows, TEST, PAIR, order)
    rest = np.setdiff1d(rows, test)
    validation = cut(labels, rest, VALIDATION, PAIR, order)
    return np.setdiff1d(rest, validation), validation, test


def _all_labels(corpus: TokenizedCorpus, seed: int) -> TokenizedCorpus:
    return splits.of_rows(corpus, *rows_apart(corpus, seed))


def _few_labels(corpus: TokenizedCorpus, seed: int) -> TokenizedCorpus:
    train, validation, test = rows_apart(corpus, seed)
    labels = np.asarray(corpus.train.labels, dtype=np.int64)
    rest = np.union1d(train, validation)
    few = rest[rows_of_each(labels[rest], LABELS, seed)]
    order = generator_of(seed, Stream.RESAMPLES).permutation(len(labels)).astype(np.uint64)
    choosing = cut(labels, few, CHOOSING, PAIR, order)
    return splits.of_rows(corpus, np.setdiff1d(few, choosing), choosing, test)


def _new_classes(corpus: TokenizedCorpus, seed: int) -> TokenizedCorpus:
    return splits.open_classes(corpus, 1 - NEW, seed)


# ---------------------------------------------------------------- measures


def _map_at_r(vectors: Floats | csr_array, labels: Integers) -> float:
    found = retrieval_sparse if issparse(vectors) else retrieval
    return found(vectors, labels, (1,)).means()["map_at_r"]


def _ami(vectors: Floats | csr_array, labels: Integers) -> float:
    most = max(CLUSTERED, int(labels.max()) + 1)
    if issparse(vectors):
        return clustering_of(vectors, labels, STARTS, most=most).ami
    return clustering(vectors, labels, starts=STARTS, most=most).ami


def _auc(vectors: Floats | csr_array, labels: Integers) -> float:
    if issparse(vectors):
        return verification_sparse(vectors, labels).auc
    return verification(vectors, labels, most=PAIRS).auc


def _few_shot(vectors: Floats | csr_array, labels: Integers) -> float:
    if issparse(vectors):  # as dense rows they could need gigabytes
        return math.nan
    ways = min(WAYS, len(np.unique(labels)))
    return few_shot(vectors, labels, ways=ways, shots=SHOTS).accuracy if ways > 1 else math.nan


FIVE_SHOT = Measure("five_shot", f"{SHOTS}-shot accuracy")
_MEASURED: Mapping[str, Callable[[Floats | csr_array, Integers], float]] = {
    "map_at_r": _map_at_r,
    "kmeans_ami": _ami,
    "verification_auc": _auc,
    FIVE_SHOT.key: _few_shot,
}

_ROWS = (
    f"{TEST:.0%} of the rows are for test, and {VALIDATION:.0%} of the others choose learning "
    "rates and arms"
)
PURPOSES = (
    Purpose("classify", "classifying", (TEST_ACCURACY,), _all_labels, _ROWS),
    Purpose("retrieval", "retrieval", (BY_KEY["map_at_r"],), _all_labels, _ROWS),
    Purpose("cluster", "clusters", (BY_KEY["kmeans_ami"],), _all_labels, _ROWS),
    Purpose(
        "new-classes",
        "classes never trained on",
        (BY_KEY["map_at_r"], BY_KEY["verification_auc"], FIVE_SHOT),
        _new_classes,
        f"{NEW:.0%} of the classes, drawn at random, are for test alone, and "
        f"{splits.HELD_OUT:.0%} of the others, at least 2, choose learning rates and arms",
        by_class=True,
    ),
    Purpose(
        "few-labels",
        "classifying from few labels",
        (TEST_ACCURACY,),
        _few_labels,
        f"{TEST:.0%} of the rows are for test; of the others {LABELS} of each class have a label, "
        f"and {CHOOSING:.0%} of these choose learning rates and arms",
    ),
)

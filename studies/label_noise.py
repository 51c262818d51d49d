"""Wrong labels, made by chance or along the confusion of a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from textmetric.types import Int64


def along_confusion(
    texts: Sequence[str], labels: Int64, share: float, rng: np.random.Generator
) -> Int64:
    """The labels with a share of them swapped along the confusion.

    A class is swapped for one that TF-IDF with logistic regression takes it for, as often as it
    does, on folds that it was not trained on.

    Args:
        texts: n texts.
        labels: (n,) class ids 0 … C − 1, three rows of a class or more.
        share: of the labels that are swapped, in [0, 1].
        rng: for the folds and for what is swapped.
    """
    classes = int(labels.max()) + 1
    folds = StratifiedKFold(3, shuffle=True, random_state=int(rng.integers(1 << 31)))
    learner = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=1000))
    found = cross_val_predict(learner, texts, labels, cv=folds, method="predict_proba")
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, labels, found)
    np.fill_diagonal(confusion, 0)
    confusion /= confusion.sum(axis=1, keepdims=True)
    noisy = labels.copy()
    for row in rng.choice(len(labels), round(share * len(labels)), replace=False):
        noisy[row] = rng.choice(classes, p=confusion[labels[row]])
    return noisy


def uniform(labels: Int64, share: float, rng: np.random.Generator) -> Int64:
    """The labels with a share of them swapped for any other class, all as likely.

    Args:
        labels: (n,) class ids 0 … C − 1, of two classes or more.
        share: of the labels that are swapped, in [0, 1].
        rng: for what is swapped.
    """
    classes = int(labels.max()) + 1
    noisy = labels.copy()
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    noisy[rows] = (noisy[rows] + rng.integers(1, classes, size=len(rows))) % classes
    return noisy

"""What to expect of a comparison before anything is trained, from facts of the table.

A linear rule that ``python -m studies.deciding`` fitted to small tables of other corpora, and ships
as ``rule.json``. docs/deciding.md says how well it does on corpora that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textmetric.errors import UserError, needing
from textmetric.files import read_json

with needing("a comparison", "train"):
    from scipy.special import stdtrit

from textmetric.compare.purposes import rows_apart
from textmetric.sampling.streams import Stream, generator_of
from textmetric.text import TokenizedCorpus
from textmetric.tfidf import Tfidf, logistic_regression
from textmetric.types import Float64, Int64, Integers

RULE = Path(__file__).with_name("rule.json")
SCHEMA = 1
FOLDS = 3
Interval = tuple[float, float, float]
"""Mean, low and high."""


class Facts(NamedTuple):
    """What a rule reads of a table.

    Attributes:
        log_rows: natural logarithm of the mean number of rows a class.
        log_classes: natural logarithm of the number of classes.
        imbalance: log(classes) − entropy of the classes' shares, in nats, at least 0; 0 if all
            classes are as large.
        tfidf: accuracy of TF-IDF with logistic regression, in [0, 1].
    """

    log_rows: float
    log_classes: float
    imbalance: float
    tfidf: float

    @property
    def shown(self) -> dict[str, str]:
        """Each in words, with its value as a reader expects it."""
        return {
            name: said(value) for (name, said), value in zip(_WORDS.values(), self, strict=True)
        }


_WORDS: dict[str, tuple[str, Callable[[float], str]]] = {
    "log_rows": ("rows a class", lambda value: f"{np.exp(value):,.0f}"),
    "log_classes": ("classes", lambda value: f"{np.exp(value):,.0f}"),
    "imbalance": ("imbalance", lambda value: f"{value:.2f}"),
    "tfidf": ("TF-IDF's accuracy", lambda value: f"{value:.2f}"),
}


def facts_of(corpus: TokenizedCorpus, seed: int) -> Facts:
    """The facts of a table.

    The accuracy of TF-IDF is measured by cross-validation over the rows that the split with this
    seed does not test on.

    Args:
        corpus: all rows, as the train part, of two classes or more.
        seed: of the first split of a comparison.
    """
    labels = np.asarray(corpus.train.labels, dtype=np.int64)
    counts = np.bincount(labels)
    shares = counts / len(labels)
    train, validation, _ = rows_apart(corpus, seed)
    return Facts(
        float(np.log(counts.mean())),
        float(np.log(len(counts))),
        max(float(np.log(len(counts)) + (shares * np.log(shares)).sum()), 0.0),
        _tfidf_accuracy(corpus, labels, np.union1d(train, validation), seed),
    )


def _tfidf_accuracy(corpus: TokenizedCorpus, labels: Int64, rows: Int64, seed: int) -> float:
    """The share of the rows that are right, each by a fit without its fold."""
    shuffled = generator_of(seed, Stream.RESAMPLES).permutation(rows)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    folds = np.arange(len(by_class)) % FOLDS  # neighbours of a class are in different folds
    right = 0
    for fold in range(FOLDS):
        learnt, held_out = by_class[folds != fold], by_class[folds == fold]
        tokens = corpus.train.tokens.take(learnt)
        tfidf = Tfidf(tokens, len(corpus.vocabulary))
        model = logistic_regression(tfidf.vectors(tokens), labels[learnt])
        predicted: Integers = model.predict(tfidf.vectors(corpus.train.tokens.take(held_out)))
        right += int((predicted == labels[held_out]).sum())
    return right / len(rows)


class Line(NamedTuple):
    """A linear rule: ``intercept + Σ coefficient · (fact − centre) / scale``.

    Attributes:
        centre: (4,) of each of :class:`Facts`.
        scale: (4,) above 0.
        coefficients: (4,)
        intercept: the difference where every fact is at its centre.
    """

    centre: Float64
    scale: Float64
    coefficients: Float64
    intercept: float

    def expected(self, facts: Sequence[float] | Float64) -> Float64:
        """The difference metric − classification for facts (..., 4)."""
        made: Float64 = self.intercept + (np.asarray(facts) - self.centre) / self.scale @ (
            self.coefficients
        )
        return made


def interval_of(mean: float, residual_sd: float, corpora: int) -> Interval:
    """The 95 % interval of a difference that a rule expects.

    The residuals of a corpus are alike, so that there are as many independent ones as corpora.

    Args:
        mean: what the rule expects.
        residual_sd: root of the mean squared residual on corpora that were left out of the fit.
        corpora: how many these are, at least 2.
    """
    half = float(stdtrit(corpora - 1, 0.975)) * residual_sd
    return mean, mean - half, mean + half


def combined(one: Interval, other: Interval) -> Interval:
    """Two independent estimates of a difference as one, each weighed by its precision.

    Each interval is taken for the 95 % interval of a normal distribution: the precision is that of
    ``half / 1.96``, and the posterior of a normal prior and a normal measurement is
    ``Σ precision · mean / Σ precision``.

    >>> [round(value, 3) for value in combined((0.0, -0.1, 0.1), (0.1, 0.0, 0.2))]
    [0.05, -0.021, 0.121]
    """
    halves = np.array([(high - low) / 2 for _, low, high in (one, other)])
    if not halves.all():  # equal values without spread: this one is certain
        return one if not halves[0] else other
    weights = 1 / halves**2
    mean = float(weights @ [one[0], other[0]] / weights.sum())
    half = float(weights.sum() ** -0.5)
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Prior:
    """What a rule expects of a table.

    Attributes:
        facts: of the table; None if there is no rule for the purpose.
        expected: metric − classification with its 95 % interval; None as well.
        outside: the facts outside of the range that the rule was fitted on, a phrase each.
        corpora: what the rule was fitted on.
    """

    facts: Facts | None
    expected: Interval | None
    outside: Sequence[str]
    corpora: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "facts": None if self.facts is None else self.facts._asdict(),
            "expected": None if self.expected is None else list(self.expected),
            "outside": list(self.outside),
            "corpora": list(self.corpora),
        }


def prior_of(corpus: TokenizedCorpus, purpose: str, seed: int) -> Prior:
    """What the shipped rule expects of a table for a purpose.

    Args:
        corpus: all rows, as the train part.
        purpose: its name.
        seed: of the first split.

    Raises:
        UserError: the file of the rule is damaged.
    """
    rule = _read_rule()
    about = rule["purposes"].get(purpose)
    if about is None:
        return Prior(None, None, (), rule["corpora"])
    facts = facts_of(corpus, seed)
    mean = float(line_of(about).expected(facts))
    outside = [
        f"{words} {said(value)} (fitted on {said(low)} to {said(high)})"
        for (words, said), value, (low, high) in zip(
            _WORDS.values(), facts, (rule["ranges"][name] for name in Facts._fields), strict=True
        )
        if not low <= value <= high
    ]
    return Prior(
        facts,
        interval_of(mean, about["residual_sd"], len(rule["corpora"])),
        outside,
        rule["corpora"],
    )


def line_of(about: Mapping[str, Any]) -> Line:
    """The line of a purpose, from what :data:`RULE` says about it."""
    centre, scale, coefficients = (np.array(about[name], float) for name in Line._fields[:3])
    return Line(centre, scale, coefficients, float(about["intercept"]))


@lru_cache
def _read_rule() -> Any:
    rule = read_json(RULE)
    if rule.get("schema") != SCHEMA:
        raise UserError(
            f"{RULE} has the schema {rule.get('schema')}, expected {SCHEMA}: install textmetric "
            "again"
        )
    return rule

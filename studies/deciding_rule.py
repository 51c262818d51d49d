"""A small linear rule from facts of a table to the difference of the families, and its test."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from textmetric.compare.prior import SCHEMA, Facts, Line, interval_of
from textmetric.types import Bools, Float64, Integers

PENALTIES = (0.1, 1.0, 10.0, 100.0)
CLEAR = 0.01
"""A table has a winner if the difference is at least as large."""


def fit(facts: Float64, differences: Float64, corpora: Integers, penalty: float) -> Line:
    """Ridge regression on standardised facts; every corpus weighs the same.

    Args:
        facts: (n, 4).
        differences: (n,) metric − classification.
        corpora: (n,) a number for each corpus.
        penalty: on the squared coefficients, where the weights of all tables sum to their number.
    """
    _, of, counts = np.unique(corpora, return_inverse=True, return_counts=True)
    weights = 1 / counts[of]
    weights *= len(weights) / weights.sum()
    centre = np.average(facts, axis=0, weights=weights)
    spread = np.sqrt(np.average((facts - centre) ** 2, axis=0, weights=weights))
    scale = np.where(spread > 1e-9, spread, 1.0)
    rows = (facts - centre) / scale
    intercept = float(np.average(differences, weights=weights))
    square = (rows.T * weights) @ rows + penalty * np.eye(rows.shape[1])
    coefficients = np.linalg.solve(square, (rows.T * weights) @ (differences - intercept))
    return Line(centre, scale, np.asarray(coefficients, np.float64), intercept)


class Fitted(NamedTuple):
    """A rule, and how far it is off on corpora that it was not fitted to.

    Attributes:
        line: fitted to all corpora.
        penalty: with the smallest error on corpora that were left out.
        residual_sd: root of the mean squared error on those; each corpus counts the same.
    """

    line: Line
    penalty: float
    residual_sd: float


def fitted(facts: Float64, differences: Float64, corpora: Integers) -> Fitted:
    """The rule of some tables; see :func:`fit`. It needs three corpora or more."""
    errors = {
        penalty: float(
            np.mean(
                [
                    np.square(
                        differences[out] - _without(facts, differences, corpora, out, penalty)
                    ).mean()
                    for out in _each(corpora)
                ]
            )
        )
        for penalty in PENALTIES
    }
    penalty = min(PENALTIES, key=lambda each: errors[each])
    line = fit(facts, differences, corpora, penalty)
    return Fitted(line, penalty, float(np.sqrt(errors[penalty])))


def _each(corpora: Integers) -> list[Bools]:
    return [corpora == corpus for corpus in np.unique(corpora)]


def _without(
    facts: Float64, differences: Float64, corpora: Integers, out: Bools, penalty: float
) -> Float64:
    return fit(facts[~out], differences[~out], corpora[~out], penalty).expected(facts[out])


def left_out(tables: pd.DataFrame, purpose: str) -> pd.DataFrame:
    """What a rule of the other corpora expects of the tables of each corpus.

    The penalty and the width of the interval come from the other corpora, too.

    Args:
        tables: corpus, the facts, and by purpose the measured difference.
        purpose: a column.

    Returns:
        The rows of ``tables`` with ``measured``, ``expected``, ``low`` and ``high``; ``mean``, the
        mean difference of the other corpora; and ``usual``, which is the sign of the family that is
        better on more of the others' clear tables.
    """
    facts = tables[list(Facts._fields)].to_numpy(np.float64)
    differences = tables[purpose].to_numpy(np.float64)
    corpora = tables["corpus"].astype("category").cat.codes.to_numpy()
    columns = np.empty((len(tables), 5))
    for out in _each(corpora):
        rule = fitted(facts[~out], differences[~out], corpora[~out])
        others = len(np.unique(corpora[~out]))
        expected = rule.line.expected(facts[out])
        columns[out, :3] = [interval_of(float(each), rule.residual_sd, others) for each in expected]
        means = [differences[rows].mean() for rows in _each(corpora) if not (rows & out).any()]
        clear = differences[~out][np.abs(differences[~out]) >= CLEAR]
        columns[out, 3:] = np.mean(means), 1 if np.sign(clear).sum() >= 0 else -1
    names = ["expected", "low", "high", "mean", "usual"]
    return tables.assign(measured=differences, **dict(zip(names, columns.T, strict=True)))


class Score(NamedTuple):
    """How well the rule does on corpora that it was not fitted to.

    Attributes:
        clear: tables with a winner.
        right: of these, those whose winner the rule names.
        usual: those whose winner is the one of most tables of the other corpora.
        error: mean absolute error of the rule; every table counts.
        mean_error: the same of the mean of the other corpora.
        covered: share of the tables whose difference is in the rule's interval.
        by_corpus: for each corpus, how often the rule is right minus how often the usual winner is.
    """

    clear: int
    right: int
    usual: int
    error: float
    mean_error: float
    covered: float
    by_corpus: Float64


def score(found: pd.DataFrame) -> Score:
    """The score of what :func:`left_out` found."""
    clear = found[found["measured"].abs() >= CLEAR]
    winner = np.sign(clear["measured"])
    right, usual = np.sign(clear["expected"]) == winner, clear["usual"] == winner
    gained = (right.astype(float) - usual.astype(float)).groupby(clear["corpus"]).mean()
    inside = (found["low"] <= found["measured"]) & (found["measured"] <= found["high"])
    return Score(
        len(clear),
        int(right.sum()),
        int(usual.sum()),
        float((found["expected"] - found["measured"]).abs().mean()),
        float((found["mean"] - found["measured"]).abs().mean()),
        float(inside.mean()),
        gained.to_numpy(np.float64),
    )


def written(tables: pd.DataFrame, purposes: list[str]) -> dict[str, Any]:
    """The rule as JSON has it, for :mod:`textmetric.compare.prior`."""
    facts = tables[list(Facts._fields)]
    corpora = tables["corpus"].astype("category").cat.codes.to_numpy()
    rules = {
        purpose: fitted(facts.to_numpy(np.float64), tables[purpose].to_numpy(np.float64), corpora)
        for purpose in purposes
    }
    return {
        "schema": SCHEMA,
        "corpora": list(dict.fromkeys(tables["corpus"])),
        "tables": len(tables),
        "ranges": {name: [float(facts[name].min()), float(facts[name].max())] for name in facts},
        "purposes": {
            purpose: {
                "centre": rule.line.centre.tolist(),
                "scale": rule.line.scale.tolist(),
                "coefficients": rule.line.coefficients.tolist(),
                "intercept": rule.line.intercept,
                "penalty": rule.penalty,
                "residual_sd": rule.residual_sd,
            }
            for purpose, rule in rules.items()
        },
    }

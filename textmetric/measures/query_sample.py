"""A stratified sample of the queries of a large test set, and what it says of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.rows import mean
from textmetric.sampling.draws import apportion, first_of_each
from textmetric.types import Bools, Float64, Int64, Integers

MEASURED_WHOLE = 1 << 16
"""Up to this many rows, every row is a query; of more rows, a sample is."""
QUERIES = 10_000
"""Queries of a sample."""
NEIGHBOURS = 1 << 28
"""That the queries of a sample need together: a measure that looks at as many as a class has rows
has fewer queries where classes are large."""
FEWEST = 100
"""Queries of such a measure at least, however large the classes."""
_NOT_ASKED = -1
_LEAST = 10  # queries of a stratum
_EACH = 20  # queries for each stratum, on average, at least
_SEED = 0  # the same queries for every model, so that two models are compared on equal terms


@dataclass(frozen=True)
class QuerySample:
    """Queries drawn for all, by strata: the classes, or ranges of class ids if there are too many.

    Attributes:
        rows: (q,) numbers of the rows that are queries, rising.
        strata: (q,) the stratum of each, from 0.
        sizes: (S,) how many rows each stratum has that could be queries.
    """

    rows: Int64
    strata: Int64
    sizes: Int64

    def among(self, rows: int) -> Bools:
        """(n,) which of n rows are queries."""
        found = np.zeros(rows, dtype=bool)
        found[self.rows] = True
        return found

    @property
    def weights(self) -> Float64:
        """(q,) how many rows each query stands for."""
        counts = np.bincount(self.strata, minlength=len(self.sizes))
        return self.sizes[self.strata] / counts[self.strata].astype(np.float64)

    def mean(self, values: Float64, among: Bools | None = None) -> float:
        """The estimate of the mean over all rows (Cochran 1977, "Sampling Techniques", 5.3).

        Args:
            values: (n,) by row; those of rows that are no queries do not count.
            among: (n,) the rows whose mean is asked for; None for all.

        Returns:
            NaN if no query is among them.
        """
        weights = self._weights(among)
        if not weights.sum():
            return float("nan")
        return float((weights * values[self.rows]).sum() / weights.sum())

    def margin(self, values: Float64, among: Bools | None = None, level: float = 0.95) -> float:
        """Half the width of the interval mean ± z · √V, which covers the mean over all rows.

        With n_h queries of the N_h rows of stratum h, and s_h the standard deviation of the
        residuals y − mean of its queries (0 for rows that are not ``among``),

            V = Σ_h N_h² · (1 − n_h / N_h) · s_h² / n_h / N²,

        N being the number of rows among (Cochran 1977, 5.4 and 5.14). It is the error of sampling
        queries alone: it covers neither other trainings nor other test sets, and it is 0 where all
        queries of each class have the same value.

        Args:
            values: see :meth:`mean`.
            among: see there.
            level: coverage, between 0 and 1.

        Returns:
            At least 0; NaN if no query is among them.
        """
        weights = self._weights(among)
        if not weights.sum():
            return float("nan")
        apart = np.where(weights > 0, values[self.rows] - self.mean(values, among), 0.0)
        counts = np.bincount(self.strata, minlength=len(self.sizes))
        several = np.maximum(counts, 1)
        means = np.bincount(self.strata, weights=apart, minlength=len(counts)) / several
        squares = (apart - means[self.strata]) ** 2
        sums = np.bincount(self.strata, weights=squares, minlength=len(counts))
        variances = sums / np.maximum(counts - 1, 1)
        left = self.sizes * (self.sizes - counts) * variances / several
        z = NormalDist().inv_cdf((1 + level) / 2)
        return float(z * np.sqrt(left.sum()) / weights.sum())

    def of(self, name: str, values: Float64, among: Bools | None = None) -> dict[str, float]:
        """What is reported of a measure by this sample: ``<name>_queries``, ``<name>_margin``."""
        return {
            f"{name}_queries": self.queries(among),
            f"{name}_margin": self.margin(values, among),
        }

    def queries(self, among: Bools | None = None) -> int:
        """How many queries there are among some rows; None for all."""
        return int(np.count_nonzero(self._weights(among)))

    def _weights(self, among: Bools | None) -> Float64:
        return self.weights if among is None else self.weights * among[self.rows]


def mean_of(values: Float64, sample: QuerySample | None, among: Bools | None = None) -> float:
    """The mean of values by row that are not NaN, or the estimate of it by a sample.

    Args:
        values: (n,).
        sample: None if every row is a query.
        among: (n,) the rows whose mean is asked for; None for all.
    """
    if sample is not None:
        return sample.mean(values, among)
    return mean(values if among is None else values[among])


def draw_queries(
    labels: Integers, able: Bools, most: int = QUERIES, seed: int = _SEED
) -> QuerySample:
    """Draw queries, each class in proportion to its rows, but ten at least.

    A class that has fewer rows has them all in the sample. With more than a class for every 20
    queries, ranges of class ids take the place of the classes.

    Args:
        labels: (n,) class ids from 0.
        able: (n,) the rows that can be queries.
        most: q, about; at least 20.
        seed: of the draw.
    """
    population = np.flatnonzero(able)
    present, places = np.unique(labels[population], return_inverse=True)
    strata = max(1, min(len(present), most // _EACH))
    of_row = places * strata // max(1, len(present))
    sizes = np.bincount(of_row, minlength=strata)
    share = apportion(sizes, most, np.minimum(sizes, _LEAST), sizes)
    shuffled = np.random.default_rng(seed).permutation(len(population))
    drawn = first_of_each(shuffled, of_row, share)
    return QuerySample(population[drawn], of_row[drawn], sizes)


def predict_queries(labels: Integers, predict: Callable[[slice | Int64], Integers]) -> Integers:
    """Predictions of all rows, or of more than 65,536 rows those of a sample.

    For what takes as long as the train rows are many for each row, such as :func:`.knn_predict`.

    Args:
        labels: (n,) class ids from 0, by which the sample is stratified.
        predict: from some of the rows to their class ids.

    Returns:
        (n,) class ids, −1 for a row that is not in the sample. :func:`.evaluate` knows what that
        means.
    """
    if len(labels) <= MEASURED_WHOLE:
        return predict(slice(None))
    sample = _of_all(labels)
    found = np.full(len(labels), _NOT_ASKED, dtype=np.int32)
    found[sample.rows] = predict(sample.rows)
    return found


def predicted_queries(labels: Integers, predicted: Integers) -> QuerySample | None:
    """The sample of :func:`predict_queries`; None if every row has a prediction.

    Raises:
        UserError: a row of the sample has no prediction, or another row has one.
    """
    asked = predicted != _NOT_ASKED
    if len(labels) <= MEASURED_WHOLE or asked.all():
        return None
    sample = _of_all(labels)
    if not np.array_equal(sample.among(len(labels)), asked):
        row = int(np.flatnonzero(sample.among(len(labels)) != asked)[0])
        raise UserError(
            f"row {row} has the prediction {predicted[row]}, expected a class id for the rows of "
            f"the sample and {_NOT_ASKED} for the others: predict with predict_queries"
        )
    return sample


def _of_all(labels: Integers) -> QuerySample:
    return draw_queries(labels, np.ones(len(labels), dtype=bool))

"""Ranks over corpora, as in Demšar 2006."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from studies import ranks
from textmetric.errors import UserError

PUBLISHED = (3.143, 2.000, 2.893, 1.964)
"""The mean ranks of four classifiers on 14 data sets, in Demšar's table 6."""


def test_the_published_example_is_met() -> None:
    found = ranks.friedman(PUBLISHED, 14)
    assert found.statistic == pytest.approx(9.28, abs=0.02)
    assert found.f == pytest.approx(3.69, abs=0.01)
    assert found.f_p < 0.05  # the paper's critical value is 2.85
    # and the test of χ² at .05, whose critical value is 7.81
    assert found.p < 0.05
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert ranks.critical_difference(4, 14, 0.9) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(
    ("candidates", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_the_quantiles_are_those_of_the_published_table(candidates: int, quantile: float) -> None:
    scale = math.sqrt(candidates * (candidates + 1) / (6 * 9))
    assert ranks.critical_difference(candidates, 9) == pytest.approx(quantile * scale, abs=0.002)


def test_mean_ranks_and_friedman_are_those_of_scipy() -> None:
    scores = pd.DataFrame(np.random.default_rng(0).random((9, 5)), columns=list("abcde"))
    mean = ranks.mean_ranks(scores)
    assert list(mean) == sorted(mean)
    for name in scores:
        places = [
            1 + sum(row[other] > row[name] for other in scores) for _, row in scores.iterrows()
        ]
        assert mean[name] == pytest.approx(np.mean(places))
    found, expected = ranks.friedman(list(mean), 9), friedmanchisquare(*scores.to_numpy().T)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_equal_scores_share_a_rank_and_a_missing_one_comes_last() -> None:
    mean = ranks.mean_ranks(pd.DataFrame({"a": [0.5], "b": [0.5], "c": [math.nan], "d": [0.1]}))
    assert dict(mean) == {"a": 1.5, "b": 1.5, "d": 3.0, "c": 4.0}


def test_one_order_on_all_corpora_is_as_clear_as_can_be() -> None:
    found = ranks.friedman([1.0, 2.0, 3.0], 5)
    assert found.statistic == pytest.approx(10)  # N (k − 1)
    assert (found.f, found.f_p) == (math.inf, 0.0)


def test_groups_are_the_largest_that_do_not_differ() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        values = sorted(rng.uniform(1, 8, 8))
        gap = rng.uniform(0.3, 4)
        groups = [(i, j) for i in range(8) for j in range(i + 1, 8) if values[j] - values[i] < gap]
        largest = [
            (i, j) for i, j in groups
            if not any((a, b) != (i, j) and a <= i and j <= b for a, b in groups)
        ]  # fmt: skip
        assert ranks.cliques(values, gap) == largest
    assert ranks.cliques([1.0, 2.0], 1.0) == []


def test_one_candidate_or_corpus_has_no_test() -> None:
    with pytest.raises(UserError, match="1 candidates on 5 corpora have no test"):
        ranks.critical_difference(1, 5)
    with pytest.raises(UserError, match="3 candidates on 1 corpora have no test"):
        ranks.friedman([1.0, 2.0, 3.0], 1)


def test_the_diagram_is_drawn_for_few_and_many(tmp_path: Path) -> None:
    for count in (2, 20):
        mean = pd.Series(np.linspace(1, count, count), [f"name {place}" for place in range(count)])
        path = tmp_path / f"{count}.png"
        ranks.draw(path, mean, 1.5, dict.fromkeys(mean.index, "#0072B2"), {"all": "#0072B2"})
        assert path.stat().st_size > 5_000

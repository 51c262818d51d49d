"""What is expected of a comparison before it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from tests.compare.made import FOUR, TWO, comparison_of, texts_of
from textmetric.compare import compare, prior
from textmetric.compare.prior import Facts, Prior, combined, facts_of, interval_of, prior_of
from textmetric.compare.purposes import rows_apart
from textmetric.compare.report import terminal, write_report
from textmetric.compare.table import read_table
from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.text import TokenizedCorpus

LOW = [0.60, 0.61, 0.62, 0.60, 0.61, 0.60]
HIGH = [0.70, 0.71, 0.72, 0.71, 0.70, 0.71]


@pytest.fixture(scope="module")
def table() -> TokenizedCorpus:
    texts, labels = texts_of(4, 120, share=0.2)
    return read_table(texts[:110], labels[:110]).corpus


def test_facts_are_those_of_the_table(table: TokenizedCorpus) -> None:
    found = facts_of(table, seed=5)
    counts = [28, 28, 27, 27]
    shares = [count / 110 for count in counts]
    assert found.log_rows == pytest.approx(math.log(110 / 4))
    assert found.log_classes == pytest.approx(math.log(4))
    entropy = -sum(share * math.log(share) for share in shares)
    assert found.imbalance == pytest.approx(math.log(4) - entropy)
    assert 0.3 < found.tfidf <= 1
    assert facts_of(table, seed=5) == found
    labels = np.asarray(table.train.labels)
    train, validation, _ = rows_apart(table, 5)
    rows = np.union1d(train, validation)
    assert found.tfidf == prior._tfidf_accuracy(table, labels, rows, 5)
    assert found.tfidf != prior._tfidf_accuracy(table, labels, np.arange(110), 5)


def test_the_accuracy_of_tfidf_knows_nothing_of_the_test_rows(table: TokenizedCorpus) -> None:
    _, _, test = rows_apart(table, 5)
    labels = np.asarray(table.train.labels).copy()
    train, validation, _ = rows_apart(table, 5)
    rows = np.union1d(train, validation)
    before = prior._tfidf_accuracy(table, labels, rows, 5)
    labels[test] = (labels[test] + 1) % 4
    assert prior._tfidf_accuracy(table, labels, rows, 5) == before
    labels[rows] = np.random.default_rng(0).permutation(labels[rows])
    assert prior._tfidf_accuracy(table, labels, rows, 5) < before - 0.2


def test_an_interval_has_as_many_freedoms_as_corpora() -> None:
    mean, low, high = interval_of(0.1, 0.02, 9)
    assert mean == 0.1
    assert high - mean == pytest.approx(0.02 * t.ppf(0.975, 8))
    assert mean - low == pytest.approx(high - mean)


def test_estimates_are_combined_as_a_normal_prior_with_a_measurement() -> None:
    found = combined((0.2, 0.1, 0.3), (0.0, -0.05, 0.05))
    # the posterior on a grid
    grid = np.linspace(-1, 1, 20_001)
    density = np.exp(-0.5 * ((grid - 0.2) / (0.1 / 1.96)) ** 2 - 0.5 * (grid / (0.05 / 1.96)) ** 2)
    density /= density.sum()
    mean = float(grid @ density)
    sd = math.sqrt(float((grid - mean) ** 2 @ density))
    assert found == pytest.approx((mean, mean - 1.96 * sd, mean + 1.96 * sd), abs=1e-4)
    certain = (0.1, 0.1, 0.1)
    assert combined((0.2, 0.1, 0.3), certain) == certain
    assert combined(certain, (0.2, 0.1, 0.3)) == certain


RULE: dict[str, Any] = {
    "schema": 1,
    "corpora": ["a", "b", "c"],
    "ranges": {
        "log_rows": [2.5, 5.0],
        "log_classes": [math.log(8), 5.0],
        "imbalance": [0.0, 1.0],
        "tfidf": [0.1, 1.0],
    },
    "purposes": {
        "retrieval": {
            "centre": [3.0, 1.0, 0.0, 0.5],
            "scale": [2.0, 1.0, 1.0, 0.5],
            "coefficients": [0.1, 0.2, 0.3, -0.4],
            "intercept": 0.05,
            "residual_sd": 0.02,
        }
    },
}


@pytest.fixture
def rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "rule.json"
    write_json(path, RULE)
    monkeypatch.setattr(prior, "RULE", path)
    prior._read_rule.cache_clear()
    yield path
    prior._read_rule.cache_clear()


def test_a_rule_is_applied_to_the_facts(rule: Path, table: TokenizedCorpus) -> None:
    found = prior_of(table, "retrieval", 5)
    assert found.facts is not None
    assert found.expected is not None
    rows, classes, imbalance, tfidf = found.facts
    mean = 0.05 + 0.1 * (rows - 3) / 2 + 0.2 * (classes - 1) + 0.3 * imbalance
    mean -= 0.4 * (tfidf - 0.5) / 0.5
    assert found.expected == pytest.approx(interval_of(mean, 0.02, 3))
    # four classes are fewer than it was fitted on; nothing else is outside
    assert found.outside == ["classes 4 (fitted on 8 to 148)"]
    none = prior_of(table, "classify", 5)
    assert (none.facts, none.expected) == (None, None)


def test_a_rule_of_another_schema_is_refused(rule: Path, table: TokenizedCorpus) -> None:
    write_json(rule, RULE | {"schema": 2})
    with pytest.raises(UserError, match="has the schema 2, expected 1"):
        prior_of(table, "retrieval", 5)


def with_prior(expected: tuple[float, float, float] | None, **more: Any) -> Any:
    found = comparison_of({TWO[0]: LOW, TWO[1]: HIGH})
    facts = Facts(math.log(30), math.log(4), 0.0, 0.8)
    return found, Prior(facts if expected else None, expected, more.get("outside", ()), ["a", "b"])


def test_the_report_says_what_was_expected_and_the_verdict_stays(tmp_path: Path) -> None:
    plain, expected = with_prior((-0.2, -0.3, -0.1), outside=["classes 4 (fitted on 8 to 9)"])
    found = replace(plain, prior=expected)
    assert found.verdict.outcome is plain.verdict.outcome
    assert found.verdict.paired == plain.verdict.paired
    text = terminal(found)
    assert (
        "Expected before training, from rows a class (30), classes (4), imbalance (0.00) and "
        "TF-IDF's accuracy (0.80): metric − classification -0.200 [-0.300, -0.100], by a rule "
        "fitted on 2 corpora." in text
    )
    assert "not fitted on such a table: classes 4 (fitted on 8 to 9)." in text
    paired = found.verdict.paired
    both = combined((-0.2, -0.3, -0.1), (paired.mean, paired.low, paired.high))
    assert found.with_prior == both
    assert f"with this prior: {both[0]:+.3f} [{both[1]:+.3f}, {both[2]:+.3f}]." in text
    folder = tmp_path / "report"
    write_report(found, folder, name="reviews")
    assert read_json(folder / "comparison.json")["prior"]["with_prior"] == list(both)
    for name in ("report.md", "report.html"):
        assert "Expected before training" in (folder / name).read_text()


def test_without_a_rule_or_with_other_arms_there_is_no_prior() -> None:
    plain, none = with_prior(None)
    found = replace(plain, prior=none)
    assert "There is no rule of what to expect for classify." in terminal(found)
    assert found.with_prior is None
    assert "Expected" not in terminal(plain)
    assert plain.as_dict()["prior"] is None
    texts, labels = texts_of(3, 60)
    assert compare(texts, labels, splits=5, arms=TWO, workers=1).prior is None


def test_compare_with_its_own_arms_has_the_shipped_prior() -> None:
    texts, labels = texts_of(3, 60)
    found = compare(texts, labels, "retrieval", splits=5, arms=FOUR, workers=1).prior
    assert found is not None
    assert found.expected is not None
    assert found.expected[1] < found.expected[0] < found.expected[2]

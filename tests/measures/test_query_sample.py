from __future__ import annotations

import math
import statistics
import sys

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import (
    evaluate,
    hamming_retrieval,
    predict_queries,
    query_sample,
    retrieval,
)
from textmetric.measures.query_sample import QuerySample, draw_queries
from textmetric.measures.sparse import retrieval_sparse

retrieval_module = sys.modules["textmetric.measures.retrieval"]


def test_every_class_has_its_share_of_the_queries_but_ten_at_least() -> None:
    labels = np.repeat([0, 1, 2, 5], [60_000, 30_000, 40, 5])
    able = np.ones(len(labels), dtype=bool)
    able[:1000] = False
    sample = draw_queries(labels, able, 900)
    counts = np.bincount(labels[sample.rows], minlength=6)
    assert counts[[2, 3, 4, 5]].tolist() == [10, 0, 0, 5]
    assert counts[0] / counts[1] == pytest.approx(59 / 30, rel=0.02)
    assert counts.sum() == 900
    assert able[sample.rows].all()
    assert (np.diff(sample.rows) > 0).all()
    assert sample.weights.sum() == pytest.approx(able.sum())
    assert not np.array_equal(sample.rows, draw_queries(labels, able, 900, seed=1).rows)


def test_more_classes_than_queries_are_put_together() -> None:
    labels = np.random.default_rng(0).integers(0, 3000, 20_000)
    sample = draw_queries(labels, np.ones(20_000, dtype=bool), 200)
    assert len(sample.rows) == 200
    assert len(sample.sizes) == 10
    assert np.bincount(sample.strata).min() >= 10
    assert sample.weights.sum() == pytest.approx(20_000)


def by_hand(sample: QuerySample, values: np.ndarray, among: np.ndarray) -> tuple[float, float]:
    """Mean and 95 % margin, by the formulas of the book."""
    total, rows, variance = 0.0, 0.0, 0.0
    of: dict[int, list[int]] = {}
    for row, stratum in zip(sample.rows.tolist(), sample.strata.tolist(), strict=True):
        of.setdefault(stratum, []).append(row)
    for stratum, drawn in of.items():
        weight = sample.sizes[stratum] / len(drawn)
        total += weight * sum(values[row] for row in drawn if among[row])
        rows += weight * sum(bool(among[row]) for row in drawn)
    for stratum, drawn in of.items():
        size = sample.sizes[stratum]
        apart = [float(values[row] - total / rows) if among[row] else 0.0 for row in drawn]
        spread = statistics.variance(apart) if len(apart) > 1 else 0.0
        variance += size**2 * (1 - len(drawn) / size) * spread / len(drawn)
    return total / rows, 1.959963984540054 * math.sqrt(variance) / rows


def test_mean_and_margin_are_those_of_a_stratified_sample() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), [3000, 500, 20, 7])
    values = random.random(len(labels)) + labels
    sample = draw_queries(labels, np.ones(len(labels), dtype=bool), 200)
    for among in (np.ones(len(labels), dtype=bool), labels == 1, random.random(len(labels)) < 0.3):
        expected = by_hand(sample, values, among)
        assert sample.mean(values, among) == pytest.approx(expected[0])
        assert sample.margin(values, among) == pytest.approx(expected[1])
    assert sample.mean(values) == sample.mean(values, np.ones(len(labels), dtype=bool))
    assert math.isnan(sample.mean(values, labels == 9))
    assert math.isnan(sample.margin(values, labels == 9))
    assert sample.margin(values, labels == 3) == 0  # all of its rows are queries


def test_the_interval_covers_the_mean_of_all_rows_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), [4000, 2000, 1000, 300, 30])
    values = random.beta(0.5, 1.0, len(labels)) / (1 + labels)
    covered = 0
    for seed in range(400):
        sample = draw_queries(labels, np.ones(len(labels), dtype=bool), 150, seed)
        covered += abs(sample.mean(values) - values.mean()) <= sample.margin(values)
    assert 0.91 <= covered / 400 <= 0.985


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample few rows as if they were many."""
    monkeypatch.setattr(retrieval_module, "MEASURED_WHOLE", 500)
    monkeypatch.setattr(retrieval_module, "NEIGHBOURS", 12_000)
    monkeypatch.setattr(retrieval_module, "FEWEST", 30)
    monkeypatch.setattr(retrieval_module.scored, "__defaults__", (200,))


def clusters(rows: int = 900, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    labels = random.integers(0, classes, rows)
    labels[5] = classes + 1  # the only row of its class
    centres = random.normal(size=(classes + 2, 8))
    return (centres[labels] + random.normal(size=(rows, 8))).astype(np.float32), labels


def test_each_query_of_a_sample_has_its_exact_values_and_the_others_none(
    request: pytest.FixtureRequest,
) -> None:
    embeddings, labels = clusters()
    whole = [f(embeddings, labels) for f in (retrieval, hamming_retrieval)]
    whole.append(retrieval(embeddings, labels, distance="euclidean"))
    request.getfixturevalue("few")
    found = [f(embeddings, labels) for f in (retrieval, hamming_retrieval)]
    found.append(retrieval(embeddings, labels, distance="euclidean"))
    for one, every in zip(found, whole, strict=True):
        assert one.of_recall is not None
        assert one.of_map is not None
        assert len(one.of_recall.rows) == 200
        assert 70 <= len(one.of_map.rows) <= 90  # of some 150 neighbours each
        for values, all_values, sample in (
            *((one.recall[k], every.recall[k], one.of_recall) for k in (1, 10, 100)),
            (one.r_precision, every.r_precision, one.of_map),
            (one.map_at_r, every.map_at_r, one.of_map),
        ):
            np.testing.assert_allclose(values[sample.rows], all_values[sample.rows], atol=1e-12)
            assert np.isnan(np.delete(values, sample.rows)).all()
        for name, value in every.means().items():
            margin = one.sampled()[f"{name}_margin"]
            assert abs(one.means()[name] - value) <= 2 * margin + 1e-12
        assert every.sampled() == {}


def test_queries_of_one_measure_alone_have_no_value_of_the_other(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        retrieval_module,
        "draw_queries",
        lambda labels, able, most: draw_queries(labels, able, most, seed=most),
    )
    found = retrieval(*clusters())
    assert found.of_recall is not None
    assert found.of_map is not None
    for values, own, other in (
        (found.map_at_r, found.of_map.rows, found.of_recall.rows),
        (found.recall[1], found.of_recall.rows, found.of_map.rows),
    ):
        assert len(np.setdiff1d(other, own))
        assert np.isnan(values[np.setdiff1d(other, own)]).all()
        assert not np.isnan(values[own]).any()


def test_sparse_rows_are_sampled_too(few: None) -> None:
    from scipy.sparse import csr_array

    embeddings, labels = clusters()
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    dense, sparse = retrieval(embeddings, labels), retrieval_sparse(csr_array(rows), labels)
    assert sparse.of_map is not None
    np.testing.assert_allclose(sparse.map_at_r, dense.map_at_r, atol=1e-9)


def test_evaluate_says_of_how_many_queries_a_measure_is(few: None) -> None:
    embeddings, labels = clusters()
    flat = evaluate(embeddings, labels, classes=8, scarce=[1, 2]).flat
    names = ["recall_at_1", "recall_at_10", "recall_at_100", "r_precision", "map_at_r"]
    scarce = ["scarce_recall_at_1", "scarce_map_at_r"]
    for kind in ("queries", "margin"):
        expected = [f"{name}_{kind}" for name in names + scarce]
        assert sorted(key for key in flat if key.endswith(kind)) == sorted(expected)
    assert flat["recall_at_1_queries"] == 200
    assert flat["map_at_r_margin"] > 0
    assert 20 <= flat["scarce_map_at_r_queries"] < flat["map_at_r_queries"] < 200


@pytest.mark.parametrize("rows", [501, 600])
def test_without_a_partner_there_is_no_query_and_all_is_nan(few: None, rows: int) -> None:
    found = retrieval(np.ones((rows, 2)), np.arange(rows))
    assert np.isnan(list(found.means().values())).all()
    assert found.sampled()["map_at_r_queries"] == 0


def test_predictions_of_a_sample_count_as_a_sample(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, labels = clusters()
    monkeypatch.setattr(query_sample, "MEASURED_WHOLE", 500)
    monkeypatch.setattr(query_sample.draw_queries, "__defaults__", (200, 0))
    asked: list[np.ndarray] = []

    def predict(rows: slice | np.ndarray) -> np.ndarray:
        assert not isinstance(rows, slice)
        asked.append(rows)
        return np.where(rows % 3 > 0, labels[rows], 0)

    predicted = predict_queries(labels, predict)
    assert len(asked[0]) == 200
    np.testing.assert_array_equal(np.flatnonzero(predicted >= 0), asked[0])
    every = np.where(np.arange(900) % 3 > 0, labels, 0)
    found = evaluate(
        embeddings, labels, classes=8, scarce=[1, 2], predictions={"knn": predicted, "head": every}
    )
    sample, right = draw_queries(labels, np.ones(900, dtype=bool), 200), every == labels
    assert found.flat["knn_accuracy"] == pytest.approx(sample.mean(right.astype(float)))
    assert abs(found.flat["knn_accuracy"] - right.mean()) < 2 * found.flat["knn_accuracy_margin"]
    assert found.flat["knn_accuracy_queries"] == 200
    of_scarce = np.isin(labels, [1, 2])
    assert found.flat["scarce_knn_accuracy_queries"] == of_scarce[asked[0]].sum()
    assert found.flat["head_accuracy"] == right.mean()
    assert "head_accuracy_queries" not in found.flat
    third = [row for row in asked[0] if labels[row] == 3]
    assert found.per_class["knn_accuracy"][3] == pytest.approx(right[third].mean())
    predicted[asked[0][7]] = -1
    with pytest.raises(UserError, match=rf"row {asked[0][7]} has the prediction -1, expected"):
        evaluate(embeddings, labels, classes=8, predictions={"knn": predicted})


def test_all_rows_of_a_small_part_are_predicted_and_minus_one_is_wrong_there() -> None:
    labels = np.array([0, 1, 1])
    assert predict_queries(labels, lambda rows: labels[rows]).tolist() == [0, 1, 1]
    flat = evaluate(np.eye(3), labels, classes=2, predictions={"x": np.array([0, -1, 1])}).flat
    assert flat["x_accuracy"] == pytest.approx(2 / 3)


def test_few_queries_are_left_where_classes_are_huge() -> None:
    assert query_sample.NEIGHBOURS // 2_500_000 >= query_sample.FEWEST

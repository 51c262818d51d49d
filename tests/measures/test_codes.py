from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import binary_codes, hamming_retrieval, retrieval


def rows(count: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 3, size=count))
    return rng.normal(size=(count, width)) + rng.normal(size=(3, width))[labels], labels


def test_a_bit_is_whether_a_value_is_above_the_mean_of_its_row() -> None:
    embeddings, _ = rows(20, 5)
    codes = binary_codes(embeddings)
    for row, code in zip(embeddings.tolist(), codes.tolist(), strict=True):
        assert code == [1.0 if value > sum(row) / 5 else -1.0 for value in row]


def test_shifting_or_scaling_a_row_does_not_change_its_code() -> None:
    embeddings, _ = rows(20, 8)
    rng = np.random.default_rng(1)
    moved = embeddings * rng.uniform(0.1, 10, size=(20, 1)) + rng.normal(size=(20, 1))
    assert np.array_equal(binary_codes(moved), binary_codes(embeddings))


@pytest.mark.parametrize("seed", range(3))
def test_without_ties_neighbours_are_ordered_by_hamming_distance(seed: int) -> None:
    # The distances of query 0 are all different, so it has no ties.
    width = 12
    codes = np.triu(np.ones((width, width + 1)))  # row i has ones from i on
    labels = np.random.default_rng(seed).integers(0, 2, size=width)
    labels[:2] = 0, 1
    found = hamming_retrieval(codes, labels, ks=[1, 3])
    bits = binary_codes(codes) > 0
    distances = (bits[0] != bits).sum(axis=1)
    assert len(set(distances.tolist())) == width
    nearest = [i for i in np.argsort(distances) if i != 0]
    related = [bool(labels[i] == labels[0]) for i in nearest]
    assert found.recall[1][0] == float(related[0]) or sum(related) == 0
    total = sum(related)
    if total:
        assert found.r_precision[0] == sum(related[:total]) / total
        precisions = [sum(related[: i + 1]) / (i + 1) for i in range(total) if related[i]]
        assert found.map_at_r[0] == pytest.approx(sum(precisions) / total, rel=1e-12)


def test_ties_do_not_go_to_the_first_rows() -> None:
    # All codes are equal, so the draw decides. By row id, only the first class would be found.
    labels = np.repeat([0, 1], 200)
    embeddings = np.tile([1.0, 0.0], (400, 1))
    by_chance = hamming_retrieval(embeddings, labels, ks=[10]).map_at_r
    by_row_id = retrieval(embeddings, labels, ks=[10]).map_at_r
    assert by_row_id[labels == 0].min() == 1
    assert by_row_id[labels == 1].max() == 0
    # Half of 199 neighbours are of the class, so MAP@R is near 1/4.
    assert np.abs(by_chance - 0.25).max() < 0.15


def test_the_same_call_returns_the_same_values() -> None:
    embeddings, labels = rows(200, 6)
    one, other = (hamming_retrieval(embeddings, labels) for _ in range(2))
    assert np.array_equal(one.map_at_r, other.map_at_r)


def test_values_are_in_the_order_of_the_rows() -> None:
    # Only the single row of a class has no value.
    embeddings, labels = rows(50, 64)
    labels[17] = 3
    found = hamming_retrieval(embeddings, labels)
    assert np.flatnonzero(np.isnan(found.map_at_r)).tolist() == [17]
    # With three separated classes, codes of 64 bits retrieve about as well as the floats.
    assert found.means()["recall_at_1"] == pytest.approx(
        retrieval(embeddings, labels).means()["recall_at_1"], abs=0.1
    )


def test_nan_is_refused() -> None:
    embeddings, labels = rows(5, 4)
    embeddings[2, 1] = np.nan
    with pytest.raises(UserError, match="row 2 of the embeddings holds NaN"):
        hamming_retrieval(embeddings, labels)


def test_recall_is_at_1_10_and_100_unless_asked_otherwise() -> None:
    embeddings, labels = rows(20, 6)
    for found in (retrieval(embeddings, labels), hamming_retrieval(embeddings, labels)):
        assert list(found.recall) == [1, 10, 100]


@pytest.mark.parametrize("measure", [retrieval, hamming_retrieval])
def test_labels_that_are_not_one_class_id_a_row_are_refused(measure: Any) -> None:
    embeddings, labels = rows(20, 6)
    with pytest.raises(UserError, match=r"labels have shape \(21,\), expected \(20,\)"):
        measure(embeddings, np.append(labels, 0))
    with pytest.raises(UserError, match="has the label -1, expected a class id from 0"):
        measure(embeddings, np.where(np.arange(20) == 3, -1, labels))

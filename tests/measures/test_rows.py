from __future__ import annotations

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import unit
from textmetric.measures.rows import checked_labels, class_means, class_sums


def test_unit_rows_have_length_one_and_zero_rows_stay_zero() -> None:
    embeddings = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    embeddings[[3, 7]] = 0
    norms = np.linalg.norm(unit(embeddings), axis=1)
    expected = np.ones(20)
    expected[[3, 7]] = 0
    np.testing.assert_allclose(norms, expected, atol=1e-15)
    np.testing.assert_allclose(
        unit(embeddings)[0], embeddings[0] / np.linalg.norm(embeddings[0]), atol=1e-7
    )


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_tiny_and_huge_rows_do_not_underflow_or_overflow(size: float) -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, -4.0]]) * size), [[0.6, -0.8]], rtol=1e-15)


def test_empty_arrays_keep_their_shape() -> None:
    assert unit(np.zeros((0, 4))).shape == (0, 4)
    assert unit(np.zeros((4, 0))).shape == (4, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_an_error(bad: float) -> None:
    embeddings = np.ones((5, 2))
    embeddings[3, 1] = bad
    with pytest.raises(UserError, match=r"row 3 .* NaN or infinity"):
        unit(embeddings)


def test_embeddings_are_not_changed() -> None:
    embeddings = np.array([[3.0, 4.0]])
    unit(embeddings)
    assert embeddings.tolist() == [[3.0, 4.0]]


def test_an_array_of_one_axis_is_an_error() -> None:
    with pytest.raises(UserError, match=r"shape \(3,\)"):
        unit(np.ones(3))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), r"labels have shape \(2,\), expected \(3,\)"),
        (np.array([0.0, 1.0, 2.0]), "labels are float64, expected integers"),
        (np.array([0, -1, 1]), "row 1 has the label -1"),
        (np.array([0, 1, 2]), "row 2 has the label 2, expected a class id from 0 below 2"),
    ],
)
def test_bad_labels_are_errors(labels: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked_labels(labels, 3, 2)


def test_the_first_bad_label_is_named_also_if_the_number_of_classes_is_not_known() -> None:
    with pytest.raises(UserError, match="row 2 has the label -1, expected a class id from 0:"):
        checked_labels(np.array([3, 1, -1, -5]), 4)


def test_class_sums_and_means_equal_a_loop() -> None:
    random = np.random.default_rng(1)
    labels = random.choice([0, 2, 3], size=50)  # class 1 and class 4 are absent
    rows = random.normal(size=(50, 3))
    values = np.where(random.random(50) < 0.3, np.nan, rows[:, 0])
    for class_id in range(5):
        members = [i for i in range(50) if labels[i] == class_id]
        total = sum((rows[i] for i in members), np.zeros(3))
        np.testing.assert_allclose(class_sums(rows, labels, 5)[class_id], total, atol=1e-12)
        counted = [values[i] for i in members if not np.isnan(values[i])]
        expected = sum(counted) / len(counted) if counted else np.nan
        np.testing.assert_allclose(class_means(values, labels, 5)[class_id], expected)

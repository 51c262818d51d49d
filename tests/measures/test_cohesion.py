from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from textmetric.errors import UserError
from textmetric.measures import ClassSums, cohesion


def slow_cohesion(embeddings: np.ndarray, labels: np.ndarray, classes: int) -> list[float]:
    cosines = cosine_similarity(embeddings.astype(np.float64))
    found = []
    for class_id in range(classes):
        pairs = [
            cosines[i, j]
            for i in range(len(labels))
            for j in range(len(labels))
            if i != j and labels[i] == labels[j] == class_id
        ]
        found.append(float(np.mean(pairs)) if pairs else float("nan"))
    return found


def example(seed: int, rows: int = 40, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows).astype(np.int32)
    embeddings = random.normal(size=(rows, 6)) + 2 * random.normal(size=(classes, 6))[labels]
    return embeddings.astype(np.float32), labels


@given(st.integers(0, 1000), st.integers(0, 25), st.integers(1, 6))
def test_cohesion_is_the_mean_cosine_over_all_pairs(seed: int, rows: int, classes: int) -> None:
    embeddings, labels = example(seed, rows, classes)
    if rows:
        embeddings[::7] = 0
        slow = slow_cohesion(embeddings, labels, classes)
    else:
        slow = [float("nan")] * classes
    np.testing.assert_allclose(cohesion(embeddings, labels, classes), slow, atol=1e-12)


def test_a_nearly_collapsed_class_keeps_its_precision() -> None:
    random = np.random.default_rng(0)
    embeddings = (np.ones((30, 8)) + 1e-5 * random.normal(size=(30, 8))).astype(np.float32)
    labels = np.zeros(30, dtype=np.int32)
    got, slow = cohesion(embeddings, labels, 1)[0], slow_cohesion(embeddings, labels, 1)[0]
    assert got < 1
    assert 1 - got == pytest.approx(1 - slow, rel=1e-3)


def test_order_scale_and_rotation_do_not_change_cohesion() -> None:
    embeddings, labels = example(3)
    random = np.random.default_rng(3)
    before = cohesion(embeddings, labels, 4)
    order = random.permutation(len(labels))
    np.testing.assert_allclose(cohesion(embeddings[order], labels[order], 4), before, atol=1e-12)
    scales = random.uniform(0.01, 100, size=(len(labels), 1))
    np.testing.assert_allclose(cohesion(embeddings * scales, labels, 4), before, atol=1e-12)
    rotation = np.linalg.qr(random.normal(size=(6, 6)))[0]
    np.testing.assert_allclose(cohesion(embeddings @ rotation, labels, 4), before, atol=1e-12)


def test_equal_rows_have_cohesion_one_and_opposite_rows_minus_one() -> None:
    embeddings = np.array([[0.1, 0.3]] * 5 + [[1.0, 2.0], [-1.0, -2.0]], dtype=np.float32)
    labels = np.array([0] * 5 + [1] * 2)
    found = cohesion(embeddings, labels, 2)
    assert found.max() <= 1
    assert found.min() >= -1
    np.testing.assert_allclose(found, [1, -1], atol=1e-12)


def test_zero_vectors_have_cosine_zero_with_everything() -> None:
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(cohesion(embeddings, np.array([0, 0, 0]), 1), [1 / 3])
    assert cohesion(np.zeros((3, 2)), np.array([0, 0, 0]), 1).tolist() == [0.0]


def test_a_class_without_a_pair_of_rows_has_nan() -> None:
    found = cohesion(np.eye(3, dtype=np.float32), np.array([0, 0, 2]), 4)
    assert np.isnan(found).tolist() == [False, True, True, True]
    assert np.isnan(cohesion(np.zeros((0, 3)), np.zeros(0, dtype=np.int32), 2)).all()


def test_a_label_out_of_range_is_an_error() -> None:
    with pytest.raises(UserError, match="row 1 has the label 2"):
        cohesion(np.eye(2), np.array([0, 2]), 2)


def test_blocks_of_rows_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    embeddings, labels = rng.normal(size=(50, 3)), rng.integers(0, 4, size=50)
    whole = cohesion(embeddings, labels, 5)
    sums = ClassSums.of(embeddings, labels, 5)
    monkeypatch.setattr("textmetric.measures.class_sums._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(cohesion(embeddings, labels, 5), whole, rtol=1e-12)
    blocks = ClassSums.of(embeddings, labels, 5)
    np.testing.assert_allclose(blocks.sums, sums.sums, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(blocks.squares, sums.squares, rtol=1e-12)
    assert not blocks.sums[4].any()  # a class without rows
    embeddings[30, 1] = np.nan
    with pytest.raises(UserError, match="row 30 of the embeddings holds NaN"):
        cohesion(embeddings, labels, 5)


def test_rounding_never_leaves_the_range() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 1, 7))
    labels = np.repeat(np.arange(500), 2)
    opposite = cohesion(np.concatenate([rows, -rows], axis=1).reshape(1000, 7), labels, 500)
    equal = cohesion(np.concatenate([rows, rows], axis=1).reshape(1000, 7), labels, 500)
    assert opposite.min() == -1
    assert equal.max() == 1

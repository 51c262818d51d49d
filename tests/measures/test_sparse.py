"""The measures of sparse rows are those of the same rows as a dense array."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy.sparse import csr_array

from textmetric.errors import UserError
from textmetric.measures import (
    centroid_predict,
    class_centroids,
    evaluate,
    knn_predict,
    sparse,
)
from textmetric.measures.sparse import (
    centroid_predict_sparse,
    evaluate_sparse,
    knn_predict_sparse,
)

CLASSES = 6


def rows_of(rows: int, width: int, seed: int) -> tuple[csr_array, np.ndarray]:
    """Unit rows with a few values, columns of very different frequency, and some zero rows.

    Every fifth row is one of the first again, so that cosines tie. The last class has no row.
    """
    rng = np.random.default_rng(seed)
    dense = rng.random((rows, width)) * (rng.random((rows, width)) < 3 / np.arange(1, width + 1))
    dense[::5] = dense[:: rows // 2][0]
    dense[3] = dense[rows - 1] = 0
    lengths = np.linalg.norm(dense, axis=1, keepdims=True)
    dense /= np.where(lengths > 0, lengths, 1)
    return csr_array(dense), rng.integers(0, CLASSES - 1, rows)


def assert_equal(found: object, expected: object) -> None:
    assert found.keys() == expected.keys()  # type: ignore[attr-defined]
    for key, values in expected.items():  # type: ignore[attr-defined]
        np.testing.assert_allclose(found[key], values, atol=1e-12, err_msg=key)  # type: ignore[index]


@pytest.mark.parametrize("width", [40, 200])  # fewer and more columns than are dense
@pytest.mark.parametrize("block_bytes", [1, sparse._BLOCK_BYTES])
def test_measures_are_those_of_the_dense_rows(
    width: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse, "_BLOCK_BYTES", block_bytes)
    rows, labels = rows_of(120, width, seed=width)
    predictions = {"knn": labels[::-1].copy()}
    about = {"classes": CLASSES, "scarce": [0, 2], "predictions": predictions}
    expected = asdict(evaluate(rows.toarray(), labels, **about))
    found = asdict(evaluate_sparse(rows, labels, **about))
    assert found.pop("rows") == expected.pop("rows")
    assert list(found["flat"]) == list(expected["flat"])
    for key in ("kmeans_nmi", "kmeans_ami", "kmeans_ari"):
        del found["flat"][key], expected["flat"][key]  # these rows have no clusters: see below
    for key in ("flat", "per_class"):
        assert_equal(found[key], expected[key])


def test_clusters_are_those_of_the_dense_rows() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    dense = np.eye(3, 50)[labels] + 0.1 * rng.random((60, 50)) * (rng.random((60, 50)) < 0.2)
    dense[:4] = np.eye(3, 50)[2]  # four rows of class 0 are in the cluster of class 2
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    found, expected = (
        {key: value for key, value in evaluated.flat.items() if "kmeans" in key}
        for evaluated in (
            evaluate_sparse(csr_array(dense), labels, classes=3),
            evaluate(dense, labels, classes=3),
        )
    )
    assert_equal(found, expected)
    assert 0.5 < found["kmeans_ami"] < 1


@pytest.mark.parametrize("k", [1, 5, 1000])
def test_predictions_are_those_of_the_dense_rows(k: int) -> None:
    (train, labels), (test, _) = rows_of(90, 150, seed=0), rows_of(70, 150, seed=1)
    np.testing.assert_array_equal(
        knn_predict_sparse(train, labels, test, k),
        knn_predict(train.toarray(), labels, test.toarray(), k),
    )
    centroids = class_centroids(train.toarray(), labels, CLASSES)
    np.testing.assert_array_equal(
        centroid_predict_sparse(train, labels, test), centroid_predict(centroids, test.toarray())
    )


def test_a_class_without_train_rows_is_never_predicted() -> None:
    train, labels = csr_array(np.eye(3)), np.array([1, 1, 4])
    test = csr_array(np.array([[0.0, 1, 0], [0, 0, 1], [0, 0, 0]]))
    assert knn_predict_sparse(train, labels, test, 1).tolist() == [1, 4, 1]
    assert centroid_predict_sparse(train, labels, test).tolist() == [1, 4, 1]


def test_zero_rows_are_like_nothing_and_find_their_neighbours_in_order() -> None:
    rows = csr_array(np.array([[0.0, 0], [1, 0], [0, 1], [0, 0]]))
    found = evaluate_sparse(rows, np.array([0, 0, 1, 0]), classes=2)
    assert found.per_class["cohesion"][0] == 0
    assert np.isnan(found.per_class["cohesion"][1])
    # the last row, which is zero, finds row 0 first and row 1 next
    assert found.per_class["recall_at_1"][0] == 1


def test_rows_of_a_part_are_never_all_multiplied_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "_BLOCK_BYTES", 8 * 50 * 7)  # the cosines of 7 queries with 50 rows
    rows, _ = rows_of(50, 80, seed=2)
    parts = [part for part, _ in sparse._Cosines(rows).ranked(rows, np.ones(50, dtype=np.int64))]
    assert max(part.stop - part.start for part in parts) == 7
    assert sum(part.stop - part.start for part in parts) == 50


def test_without_reference_rows_or_neighbours_there_is_an_error() -> None:
    rows = csr_array(np.eye(2))
    for labels, reference, k in (([], rows[:0], 3), ([0, 1], rows, 0)):
        with pytest.raises(UserError, match="pass train rows and another k"):
            knn_predict_sparse(reference, np.array(labels, dtype=np.int64), rows, k)

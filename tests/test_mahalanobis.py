from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from textmetric.errors import UserError
from textmetric.mahalanobis import Mahalanobis, _pairs
from textmetric.types import Float64

BOTH = pytest.mark.parametrize("diagonal", [False, True], ids=["full", "diagonal"])


def rows_and_classes(seed: int = 0, rows: int = 24, dim: int = 3) -> tuple[Float64, Any]:
    """Classes that differ in the first column, noise that is larger in the others."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    noise = random.normal(size=(rows, dim)) * (0.5 + np.arange(dim))
    noise[:, 0] += labels
    return noise, labels


def differences(rows: Float64, labels: Any) -> tuple[Float64, Float64]:
    near, far = [], []
    for i, j in itertools.combinations(range(len(rows)), 2):
        (near if labels[i] == labels[j] else far).append(rows[i] - rows[j])
    return np.array(near), np.array(far)


def mean_distance(matrix: Float64, far: Float64) -> float:
    return float(np.mean([np.sqrt(max(0.0, v @ matrix @ v)) for v in far]))


def mean_square(matrix: Float64, near: Float64) -> float:
    return float(np.mean([v @ matrix @ v for v in near]))


def twin(near: Float64, far: Float64, steps: int = 4000) -> Float64:
    """The algorithm of the paper: a gradient step, then alternating projections."""
    scatter = np.mean([np.outer(v, v) for v in near], axis=0)
    matrix = np.eye(len(scatter)) / np.trace(scatter)
    best = matrix
    for step in range(steps):
        lengths = [max(np.sqrt(max(0.0, v @ matrix @ v)), 1e-9) for v in far]
        gradient = np.einsum("p,pi,pj->ij", 0.5 / np.array(lengths), far, far) / len(far)
        matrix = matrix + 0.3 / np.sqrt(step + 1) * gradient / np.linalg.norm(gradient)
        for _ in range(60):
            excess = np.sum(scatter * matrix) - 1
            matrix = matrix - max(0.0, excess) / np.sum(scatter**2) * scatter
            values, vectors = np.linalg.eigh(matrix)
            matrix = (vectors * np.maximum(values, 0)) @ vectors.T
        feasible = matrix / np.sum(scatter * matrix)
        if mean_distance(feasible, far) > mean_distance(best, far):
            best = feasible
    return best


@pytest.mark.parametrize("seed", range(2))
def test_it_reaches_the_optimum_of_alternating_projections(seed: int) -> None:
    rows, labels = rows_and_classes(seed)
    near, far = differences(rows, labels)
    learnt = Mahalanobis(tol=1e-5, ridge=1e-12, max_iter=100_000).fit(rows, labels)
    expected = mean_distance(twin(near, far, 600), far)
    found = mean_distance(learnt.matrix_, far)
    assert learnt.gap_ <= 1e-5
    assert found >= expected * (1 - 1e-5)
    assert found == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_diagonal_equals_that_of_a_general_solver(seed: int) -> None:
    rows, labels = rows_and_classes(seed)
    near, far = differences(rows, labels)
    scatter = np.square(near).mean(0)
    solved = minimize(
        lambda weights: -np.sqrt(np.maximum(np.square(far) @ weights, 1e-300)).mean(),
        1 / scatter / 3,
        bounds=[(0, None)] * 3,
        constraints={"type": "ineq", "fun": lambda weights: 1 - scatter @ weights},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    learnt = Mahalanobis(diagonal=True, tol=1e-7, ridge=1e-12, max_iter=100_000).fit(rows, labels)
    assert mean_distance(learnt.matrix_, far) == pytest.approx(-solved.fun, rel=1e-6)
    assert not (learnt.matrix_ - np.diag(np.diag(learnt.matrix_))).any()


def test_one_dissimilar_pair_gives_the_known_optimum() -> None:
    # The optimum is known: M ∝ A⁻¹ z zᵀ A⁻¹, the distance √(zᵀ A⁻¹ z).
    random = np.random.default_rng(0)
    rows = random.normal(size=(10, 4))
    similar = [(i, i + 1) for i in range(0, 8, 2)] + [(0, 2), (1, 5)]
    near = np.array([rows[i] - rows[j] for i, j in similar])
    scatter, z = near.T @ near / len(near), rows[8] - rows[9]
    learnt = Mahalanobis(tol=1e-9, ridge=1e-12).fit_pairs(rows, similar, [(8, 9)])
    direction = np.linalg.solve(scatter, z)
    np.testing.assert_allclose(
        learnt.matrix_, np.outer(direction, direction) / (z @ direction), atol=1e-6
    )


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_the_matrix_is_positive_and_meets_the_constraint(seed: int, diagonal: bool) -> None:
    rows, labels = rows_and_classes(seed, dim=6)
    near, far = differences(rows, labels)
    learnt = Mahalanobis(diagonal=diagonal).fit(rows, labels)
    values = np.linalg.eigvalsh(learnt.matrix_)
    assert np.array_equal(learnt.matrix_, learnt.matrix_.T)
    assert values[0] >= -1e-9 * values[-1]
    assert 1 - 1e-4 < mean_square(learnt.matrix_, near) <= 1 + 1e-9
    np.testing.assert_allclose(learnt.components_.T @ learnt.components_, learnt.matrix_)
    assert learnt.gap_ <= learnt.tol
    # Better than Euclidean distances scaled to meet the constraint.
    plain = np.eye(6) / mean_square(np.eye(6), near)
    assert mean_distance(learnt.matrix_, far) > 1.1 * mean_distance(plain, far)


@BOTH
def test_no_step_lowers_the_mean_distance_and_the_gap_is_a_bound(diagonal: bool) -> None:
    rows, labels = rows_and_classes(1, dim=5)
    _, far = differences(rows, labels)
    values, gaps = [], []
    for steps in (1, 2, 3, 5, 10, 30, 3000):
        learnt = Mahalanobis(diagonal=diagonal, tol=1e-12, max_iter=steps).fit(rows, labels)
        assert learnt.n_iter_ <= steps
        values.append(mean_distance(learnt.matrix_, far))
        gaps.append(learnt.gap_)
    assert all(after >= before * (1 - 1e-12) for before, after in itertools.pairwise(values))
    assert all(value * (1 + gap) >= values[-1] for value, gap in zip(values, gaps, strict=True))


def test_distances_do_not_depend_on_the_units_of_the_columns() -> None:
    rows, labels = rows_and_classes(0, dim=4)
    random = np.random.default_rng(1)
    mixing = random.normal(size=(4, 4))
    gram = []
    for data in (rows, rows @ mixing):
        mapped = Mahalanobis(ridge=1e-12, tol=1e-6, max_iter=20_000).fit(data, labels)
        moved = mapped.transform(data)
        gram.append(np.linalg.norm(moved[:, None] - moved, axis=2))
    np.testing.assert_allclose(*gram, rtol=1e-3, atol=1e-3)


@BOTH
def test_the_transformed_distance_is_the_learnt_one(diagonal: bool) -> None:
    rows, labels = rows_and_classes(0)
    learnt = Mahalanobis(diagonal=diagonal).fit(rows, labels)
    moved = learnt.transform(rows)
    for i, j in itertools.combinations(range(6), 2):
        v = rows[i] - rows[j]
        assert np.linalg.norm(moved[i] - moved[j]) == pytest.approx(np.sqrt(v @ learnt.matrix_ @ v))


@BOTH
def test_the_column_that_separates_the_classes_gets_the_largest_weight(diagonal: bool) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    rows = random.normal(size=(200, 8)) * 5
    rows[:, 3] = random.normal(size=200) * 0.1 + labels
    learnt = Mahalanobis(diagonal=diagonal).fit(rows[::2], labels[::2])
    plain = KNeighborsClassifier(5).fit(rows[::2], labels[::2]).score(rows[1::2], labels[1::2])
    better = KNeighborsClassifier(5).fit(learnt.transform(rows[::2]), labels[::2])
    assert plain < 0.8
    assert better.score(learnt.transform(rows[1::2]), labels[1::2]) > 0.98
    assert np.abs(learnt.matrix_).sum(0).argmax() == 3


@pytest.mark.parametrize(("counts", "most"), [([400, 30, 3, 1], 3000), ([5, 4, 1], 50)])
def test_pairs_are_of_the_right_kind_and_drawn_uniformly(counts: list[int], most: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    similar, dissimilar = _pairs(labels, most, np.random.RandomState(0))
    assert (labels[similar[:, 0]] == labels[similar[:, 1]]).all()
    assert (labels[dissimilar[:, 0]] != labels[dissimilar[:, 1]]).all()
    assert (similar[:, 0] != similar[:, 1]).all()
    rows = len(labels)
    if rows * (rows - 1) // 2 <= 2 * most:  # all of them, each once
        both = {tuple(sorted(pair)) for pair in np.concatenate([similar, dissimilar]).tolist()}
        assert len(both) == len(similar) + len(dissimilar) == rows * (rows - 1) // 2
        return
    assert len(similar) == len(dissimilar) == most
    # Each class's share of the drawn pairs is within 5 standard deviations of its share of all.
    for pairs, partners in [(similar, counts), (dissimilar, [rows - n for n in counts])]:
        possible = [n * (p - (pairs is similar)) for n, p in zip(counts, partners, strict=True)]
        share = np.array(possible) / sum(possible)
        for end in (0, 1):
            drawn = np.bincount(labels[pairs[:, end]], minlength=len(counts)) / most
            assert (np.abs(drawn - share) <= 5 * np.sqrt(share / most) + 1e-12).all()


@BOTH
def test_the_same_state_gives_the_same_bytes(diagonal: bool) -> None:
    rows, labels = rows_and_classes(0, rows=90)

    def learnt(seed: int) -> bytes:
        found = Mahalanobis(diagonal=diagonal, pairs=100, random_state=seed).fit(rows, labels)
        return bytes(found.components_.tobytes())

    assert learnt(3) == learnt(3)
    assert learnt(3) != learnt(4)


@BOTH
def test_constant_columns_and_equal_rows_give_finite_weights(diagonal: bool) -> None:
    rows, labels = rows_and_classes(0, dim=4)
    rows[:, 2] = 7
    learnt = Mahalanobis(diagonal=diagonal).fit(rows, labels)
    assert np.isfinite(learnt.components_).all()
    points = np.eye(3)[labels]  # rows of a class are equal
    assert np.isfinite(Mahalanobis(diagonal=diagonal).fit(points, labels).matrix_).all()
    equal = Mahalanobis(diagonal=diagonal).fit(np.ones((6, 2)), [0, 0, 0, 1, 1, 1])
    assert np.isfinite(equal.matrix_).all()


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_labels_without_both_kinds_of_pairs_are_an_error(labels: list[int]) -> None:
    with pytest.raises(UserError, match="expected some of both: add rows"):
        Mahalanobis().fit(np.eye(3), labels)
    with pytest.raises(UserError, match="expected some of both: add rows"):
        Mahalanobis(pairs=1).fit(np.eye(3), labels)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pairs": 0}, "pairs is 0, but it should be greater than or equal to 1"),
        ({"ridge": 0}, "ridge is 0, but it should be greater than 0"),
        ({"ridge": float("inf")}, "ridge is inf, but it should be a finite number"),
        ({"tol": "small"}, "tol is 'small', but it should be a valid number"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"diagonal": 3}, "diagonal is 3"),
    ],
)
def test_fit_refuses_a_bad_parameter_by_name(options: dict[str, Any], said: str) -> None:
    rows, labels = rows_and_classes()
    with pytest.raises(UserError, match=said):
        Mahalanobis(**options).fit(rows, labels)


def test_it_keeps_the_names_of_the_columns_and_refuses_another_order() -> None:
    rows, labels = rows_and_classes()
    table = pd.DataFrame(rows, columns=["length", "width", "height"])
    learnt = Mahalanobis().fit(table, labels)
    assert learnt.feature_names_in_.tolist() == ["length", "width", "height"]
    np.testing.assert_array_equal(
        learnt.transform(table), Mahalanobis().fit(rows, labels).transform(rows)
    )
    with pytest.raises(ValueError, match="must be in the same order"):
        learnt.transform(table[["width", "length", "height"]])
    pairs = Mahalanobis().fit_pairs(table, [(0, 3)], [(0, 1)])
    assert pairs.feature_names_in_.tolist() == ["length", "width", "height"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a", "b", "nan"] * 8, "label 2 is 'nan', a missing value: fill it in, or drop its row"),
        (pd.Series([0, 1, pd.NA] * 8, dtype="Int64"), "label 2 is <NA>, a missing value|NaN"),
        (["a", "b", 3] * 8, "label 0 is the string 'a', but label 2 is the number 3"),
    ],
)
def test_missing_labels_and_labels_of_two_types_are_refused(labels: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Mahalanobis().fit(rows_and_classes()[0], labels)


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(0, 24)], "similar names the rows 0 to 24, but X has the rows 0 to 23"),
        ([(-1, 2)], "similar names the rows -1 to 2"),
        ([(0.5, 2)], r"similar is float64 of shape \(1, 2\), expected whole numbers"),
        ([0, 1, 2, 3], r"similar is int64 of shape \(4,\), expected whole numbers of shape"),
    ],
)
def test_pairs_that_are_no_rows_are_refused(pairs: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Mahalanobis().fit_pairs(rows_and_classes()[0], pairs, [(0, 1)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pairs": True}, r"^pairs is True, but .* a valid integer \(default 10000\)"),
        ({"pairs": 50.0}, "^pairs is 50.0, but .* a valid integer"),
        ({"pairs": 1 << 40}, "^pairs is 1099511627776, but"),
        ({"max_iter": 10**9}, "^max_iter is 1000000000, but"),
        ({"tol": 2}, "^tol is 2, but it should be less than 1"),
        ({"ridge": float("inf")}, "^ridge is inf, but .* finite"),
        ({"random_state": -1}, "^random_state is -1, but"),
        ({"random_state": "0"}, "^random_state is '0', but"),
        ({"diagonal": 1}, "^diagonal is 1, but .* boolean"),
    ],
)
def test_values_out_of_range_name_their_keyword(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Mahalanobis(**options).fit(*rows_and_classes())


def test_numbers_of_numpy_are_parameters() -> None:
    rows, labels = rows_and_classes()
    options = {"diagonal": np.bool_(False), "pairs": np.int64(50), "ridge": np.float32(0.5)}
    learnt = Mahalanobis(**options, max_iter=np.int32(9)).fit(rows, labels)
    plain = Mahalanobis(pairs=50, ridge=0.5, max_iter=9).fit(rows, labels)
    np.testing.assert_array_equal(learnt.matrix_, plain.matrix_)


def test_it_works_after_tf_idf_in_a_pipeline() -> None:
    texts = ["apple pie", "apple juice", "pie and juice", "red car", "fast car", "red fast bus"]
    labels = ["food"] * 3 + ["road"] * 3
    model = make_pipeline(
        TfidfVectorizer(), TruncatedSVD(4, random_state=0), Mahalanobis(), KNeighborsClassifier(1)
    )
    assert model.fit(texts, labels).score(texts, labels) == 1
    names = model[2].get_feature_names_out().tolist()
    assert names == [f"mahalanobis{i}" for i in range(4)]


@parametrize_with_checks([Mahalanobis(), Mahalanobis(diagonal=True)])
def test_it_follows_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)  # one of scikit-learn's checks, which raises if it fails

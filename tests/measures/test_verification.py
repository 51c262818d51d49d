from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from textmetric.errors import UserError
from textmetric.measures import draw_pairs, operating_point, verification

SIZES = (40, 15, 6, 1)


def space(seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(4), SIZES))
    centres = np.random.default_rng(9).normal(size=(4, 3))
    return centres[labels] + spread * rng.normal(size=(len(labels), 3)), labels


def test_all_pairs_are_compared_if_they_are_few() -> None:
    labels = np.array([2, 0, 2, 0, 0])
    pairs = draw_pairs(labels)
    found = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found == list(combinations(range(5), 2))
    assert pairs.same.tolist() == [labels[one] == labels[other] for one, other in found]
    assert np.array_equal(draw_pairs(labels, most=10), pairs)
    drawn = draw_pairs(labels, most=9)
    assert len(drawn.first) == 8
    assert set(drawn.weights.tolist()) == {1.0}


def test_each_class_and_each_two_classes_weigh_the_same() -> None:
    _, labels = space(0)
    pairs = draw_pairs(labels)
    ends = np.sort(np.stack([labels[pairs.first], labels[pairs.second]]), axis=0)
    total: dict[tuple[int, int], float] = {}
    for one, other, weight in zip(*ends.tolist(), pairs.weights.tolist(), strict=True):
        total[one, other] = total.get((one, other), 0.0) + weight
    assert len(total) == 3 + 6  # a class with one row has no pair of its own
    assert list(total.values()) == pytest.approx([1.0] * 9)


def test_drawn_pairs_are_as_many_of_each_class() -> None:
    _, labels = space(0)
    pairs = draw_pairs(labels, most=600)
    one, other = labels[pairs.first], labels[pairs.second]
    assert (pairs.first != pairs.second).all()
    assert ((one == other) == pairs.same).all()
    assert pairs.same.sum() == (~pairs.same).sum() == 300
    assert np.bincount(one[pairs.same]).tolist() == [100, 100, 100]
    assert np.bincount(one[~pairs.same]).tolist() == [75] * 4
    # every row of a class is drawn about as often
    often = np.bincount(pairs.first[pairs.same & (one == 2)], minlength=len(labels))
    assert (often[labels == 2] > 5).all()
    assert set(other[~pairs.same & (one == 0)].tolist()) == {1, 2, 3}


def test_classes_of_two_rows_and_corpora_of_two_classes_are_drawn_too() -> None:
    labels = np.repeat([0, 1], [40, 2])
    pairs = draw_pairs(labels, most=100)
    assert np.bincount(labels[pairs.first[pairs.same]]).tolist() == [25, 25]
    assert (~pairs.same).sum() == 50


def test_another_seed_draws_other_rows_of_both_kinds() -> None:
    _, labels = space(0)
    one, same, other = (draw_pairs(labels, most=600, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    for kind in (one.same, ~one.same):
        assert not np.array_equal(one.first[kind], other.first[kind])
        assert not np.array_equal(one.second[kind], other.second[kind])
        classes = labels[one.second[~one.same]], labels[other.second[~one.same]]
        assert not np.array_equal(*classes)


def test_drawn_pairs_estimate_what_all_pairs_give() -> None:
    embeddings, labels = space(1)
    exact = verification(embeddings, labels)
    drawn = [verification(embeddings, labels, most=1500, seed=seed) for seed in range(20)]
    assert exact.same + exact.different == 62 * 61 // 2
    assert (drawn[0].same, drawn[0].different) == (750, 750)
    for name in ("auc", "eer"):
        values = np.array([getattr(one, name) for one in drawn])
        assert 0.001 < values.std() < 0.03  # another seed, other pairs
        assert values.mean() == pytest.approx(getattr(exact, name), abs=0.01)


def test_the_auc_is_that_of_scikit_learn_on_the_cosines() -> None:
    embeddings, labels = space(2)
    embeddings, labels = np.tile(embeddings, (4, 1)), np.tile(labels, 4)  # more than a block
    embeddings += 0.1 * np.random.default_rng(0).normal(size=embeddings.shape)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = draw_pairs(labels)
    cosines = (unit @ unit.T)[pairs.first, pairs.second]
    expected = roc_auc_score(pairs.same, cosines, sample_weight=pairs.weights)
    assert verification(embeddings, labels).auc == pytest.approx(expected)
    lengths = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)[pairs.first, pairs.second]
    expected = roc_auc_score(pairs.same, -lengths, sample_weight=pairs.weights)
    assert verification(embeddings, labels, distance="euclidean").auc == pytest.approx(expected)


def test_a_large_class_does_not_hide_a_small_one() -> None:
    # Class 0 is a point; the two rows of class 1 are opposite each other.
    labels = np.repeat([0, 1], [50, 2])
    embeddings = np.repeat([[1.0, 0.0]], 52, axis=0)
    embeddings[50:] = [[0.0, 1.0], [0.0, -1.0]]
    assert verification(embeddings, labels).auc == pytest.approx(0.5)


def test_a_collapsed_space_says_nothing_and_a_perfect_one_all() -> None:
    labels = np.repeat(np.arange(4), 5)
    collapsed, perfect = (verification(x, labels) for x in (np.ones((20, 3)), np.eye(4)[labels]))
    assert (collapsed.auc, collapsed.eer) == (0.5, 0.5)
    assert (perfect.auc, perfect.eer) == (1.0, 0.0)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0], []])
@pytest.mark.parametrize("most", [2, 100])
def test_without_pairs_of_both_kinds_all_is_nan(labels: list[int], most: int) -> None:
    rows, ids = np.ones((len(labels), 2)), np.array(labels, dtype=np.int64)
    found = verification(rows, ids, most=most)
    assert np.isnan([found.auc, found.eer]).all()
    assert np.isnan(operating_point((rows, ids), (rows, ids), most=most)).all()


def test_the_threshold_comes_from_validation_and_the_errors_from_test() -> None:
    validation, test = space(3), space(4, spread=2.0)
    found = operating_point(validation, test, false_accepts=0.1, distance="euclidean")

    def errors(part: tuple[np.ndarray, np.ndarray], threshold: float) -> tuple[float, float]:
        embeddings, labels = part
        pairs = draw_pairs(labels)
        far = np.linalg.norm(embeddings[pairs.first] - embeddings[pairs.second], axis=1)
        near = far <= threshold + 1e-12
        return tuple(
            float(np.average(wrong[kind], weights=pairs.weights[kind]))
            for wrong, kind in ((near, ~pairs.same), (~near, pairs.same))
        )  # type: ignore[return-value]

    assert errors(validation, found.threshold)[0] == pytest.approx(0.1, abs=0.01)
    assert errors(validation, found.threshold)[0] <= 0.1
    accepts, rejects = errors(test, found.threshold)
    assert found.false_accepts == pytest.approx(accepts)
    assert found.false_rejects == pytest.approx(rejects)
    assert abs(accepts - 0.1) > 0.02  # it was not chosen on test


def test_the_draws_of_validation_and_test_have_the_seed() -> None:
    many = space(3)
    few = (np.array([[1.0, 0, 0], [1, 0.5, 0], [0, 1, 0]]), np.array([0, 0, 1]))
    one, other = (operating_point(many, few, most=200, seed=seed) for seed in (0, 1))
    assert one.threshold != other.threshold
    one, other = (operating_point(few, many, most=200, seed=seed) for seed in (0, 1))
    assert one.threshold == other.threshold
    assert one.false_rejects != other.false_rejects


def test_a_pair_at_the_threshold_is_accepted() -> None:
    labels = np.repeat(np.arange(4), 5)
    perfect = np.eye(4)[labels], labels
    assert operating_point(perfect, perfect) == (0.0, 0.0, 0.0)


def test_test_pairs_of_one_kind_have_that_error_alone() -> None:
    validation = space(3)
    found = operating_point(validation, (np.eye(3), np.zeros(3, dtype=int)))
    assert np.isnan(found.false_accepts)
    assert 0 <= found.false_rejects <= 1


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(UserError, match="most is 1"):
        draw_pairs(np.array([0, 1]), most=1)
    with pytest.raises(UserError, match="row 1 has the label -1"):
        draw_pairs(np.array([0, -1]))
    with pytest.raises(UserError, match="expected integers"):
        verification(np.eye(2), np.array([0.0, 1.0]))
    with pytest.raises(UserError, match=r"labels have shape \(3,\)"):
        verification(np.eye(2), np.array([0, 1, 1]))
    with pytest.raises(UserError, match="row 1 of the embeddings holds NaN"):
        verification(np.array([[1.0], [np.nan]]), np.array([0, 1]))

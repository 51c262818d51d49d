from __future__ import annotations

import numpy as np
import pytest

from textmetric.measures import unit
from textmetric.tsne.exact import _descend, _exp, joint_probabilities, kl_divergence, optimise
from textmetric.tsne.projection import _neighbours, _optimised


def clusters(rows: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return unit(3 * random.normal(size=(4, 8))[np.arange(rows) % 4] + random.normal(size=(rows, 8)))


def neighbours(rows: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return _neighbours(clusters(rows), k)


def dense(starts: np.ndarray, others: np.ndarray, values: np.ndarray) -> np.ndarray:
    rows = len(starts) - 1
    matrix = np.zeros((rows, rows))
    for row in range(rows):
        for cell in range(starts[row], starts[row + 1]):
            matrix[row, others[cell]] += values[cell]
    return matrix


def slow_similarities(places: np.ndarray) -> np.ndarray:
    q = 1 / (1 + ((places[:, None] - places[None]) ** 2).sum(axis=2))
    np.fill_diagonal(q, 0)
    return q


def slow_divergence(places: np.ndarray, p: np.ndarray) -> float:
    q = slow_similarities(places)
    q /= q.sum()
    return sum(
        p[i, j] * np.log(p[i, j] / q[i, j])
        for i in range(len(p))
        for j in range(len(p))
        if p[i, j] > 0
    )


def test_the_exponential_has_twelve_digits() -> None:
    x = np.linspace(-700, 700, 1001)
    np.testing.assert_allclose([_exp(one) for one in x], np.exp(x), rtol=1e-12)
    assert _exp(0.0) == 1
    assert [_exp(x) for x in (-746.0, -1e300, -np.inf)] == [0, 0, 0]


def test_joint_probabilities_are_symmetric_and_sum_to_one() -> None:
    matrix = dense(*joint_probabilities(*neighbours(50, 15), 5))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-15)
    assert matrix.sum() == pytest.approx(1)
    assert (np.diag(matrix) == 0).all()


def test_every_point_has_the_given_perplexity() -> None:
    ids, distances = neighbours(40, 12)
    # The precision of each Gaussian by a plain search; P is the mean of both directions.
    conditional = np.zeros((40, 40))
    for row in range(40):
        precision = np.geomspace(1e-3, 1e3, 200_001)
        weights = np.exp(-np.outer(precision, distances[row] ** 2 - distances[row].min() ** 2))
        weights /= weights.sum(axis=1, keepdims=True)
        entropies = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1)
        conditional[row, ids[row]] = weights[np.abs(entropies - np.log(4)).argmin()]
    expected = (conditional + conditional.T) / 80
    np.testing.assert_allclose(dense(*joint_probabilities(ids, distances, 4)), expected, atol=2e-6)


@pytest.mark.parametrize("distance", [0.0, 1.0, 1e-9, 1e6])
def test_equally_far_neighbours_attract_equally(distance: float) -> None:
    ids = (np.arange(9)[:, None] + np.arange(1, 9)) % 9  # all other points
    _, _, values = joint_probabilities(ids, np.full((9, 8), distance), 4)
    np.testing.assert_allclose(values, 1 / 72)


def test_a_step_follows_the_numerical_gradient_of_the_divergence() -> None:
    affinities = joint_probabilities(*neighbours(30, 9), 3)
    places = np.random.default_rng(0).normal(size=(30, 2))
    matrix = dense(*affinities)
    gradient = np.zeros_like(places)
    for place in np.ndindex(places.shape):
        ends = []
        for change in (1e-5, -1e-5):
            moved = places.copy()
            moved[place] += change
            ends.append(slow_divergence(moved, matrix))
        gradient[place] = (ends[0] - ends[1]) / 2e-5
    after, update, gains = np.ascontiguousarray(places.T), np.zeros((2, 30)), np.ones((2, 30))
    _descend(after, update, gains, *affinities, 1.0, 1)
    # The gains of the first step are 1.2. The gradient is without its factor of 4, as in the papers
    # that give the learning rates. The points are centred.
    expected = places - 1.2 * gradient / 4
    np.testing.assert_allclose(after.T, expected - expected.mean(axis=0), atol=1e-8)


def test_steps_equal_a_plain_loop() -> None:
    affinities = joint_probabilities(*neighbours(40, 9), 3)
    matrix = dense(*affinities)
    places = np.random.default_rng(1).normal(size=(40, 2))
    expected, update, gains = places.copy(), np.zeros((40, 2)), np.ones((40, 2))
    for _ in range(5):
        q = slow_similarities(expected)
        strength = matrix * q - q * q / q.sum()
        apart = expected[:, None] - expected[None]
        gradient = (strength[:, :, None] * apart).sum(axis=1)
        against = np.sign(update) != np.sign(gradient)
        gains = np.where(against, gains + 0.2, gains * 0.8 + 0.01)
        update = 0.8 * update - 300 * gains * gradient
        lengths = np.linalg.norm(update, axis=1, keepdims=True)
        update = np.where(lengths > 5, update * 5 / lengths, update)
        expected = expected + update
        expected -= expected.mean(axis=0)
    found = np.ascontiguousarray(places.T)
    _descend(found, np.zeros((2, 40)), np.ones((2, 40)), *affinities, 300.0, 5)
    assert np.abs(expected - places).max() > 1
    np.testing.assert_allclose(found.T, expected, atol=1e-7)


def test_the_divergence_equals_a_loop_over_all_pairs() -> None:
    affinities = joint_probabilities(*neighbours(30, 9), 3)
    places = np.random.default_rng(0).normal(size=(30, 2))
    assert kl_divergence(places, *affinities) == pytest.approx(
        slow_divergence(places, dense(*affinities))
    )


def test_a_map_is_as_good_as_that_of_opentsne(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, settings = clusters(400), {"perplexity": 20, "early_iterations": 250, "iterations": 500}
    start = np.random.default_rng(0).normal(0, 1e-4, (400, 2))
    affinities = joint_probabilities(*_neighbours(rows, 60), 20)
    ours = _optimised(rows, start, **settings, tick=lambda: None)
    monkeypatch.setattr("textmetric.tsne.projection._MOST_EXACT_ROWS", 0)
    theirs = _optimised(rows, start, **settings, tick=lambda: None)
    assert not np.array_equal(ours, theirs)
    assert kl_divergence(ours, *affinities) < 1.03 * kl_divergence(theirs, *affinities)


def test_ticks_come_after_every_tick_every_iterations_of_each_phase() -> None:
    ids, distances = neighbours(20, 6)
    ticks: list[None] = []
    optimise(
        np.random.default_rng(0).normal(size=(20, 2)),
        ids,
        distances,
        perplexity=2,
        early_iterations=7,
        iterations=4,
        tick=lambda: ticks.append(None),
        tick_every=2,
    )
    assert len(ticks) == 3 + 2

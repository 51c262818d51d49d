from __future__ import annotations

import importlib
from typing import Literal

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import draw_episodes, episode_accuracies, few_shot, over_classes

SIZES = (30, 12, 9, 8, 3)


def space(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(5), SIZES))
    return rng.normal(size=(5, 4))[labels] + rng.normal(size=(len(labels), 4)), labels


def test_an_episode_has_different_rows_of_different_classes() -> None:
    _, labels = space()
    drawn = draw_episodes(labels, ways=3, shots=2, queries=6, episodes=400)
    assert drawn.classes.shape == (400, 3)
    assert drawn.shots.shape == (400, 3, 2)
    assert drawn.queries.shape == (400, 3, 6)
    rows = np.concatenate([drawn.shots, drawn.queries], axis=2)
    assert (labels[rows] == drawn.classes[:, :, None]).all()
    for episode in range(400):
        assert len(set(drawn.classes[episode].tolist())) == 3
        assert len(set(rows[episode].ravel().tolist())) == 24
    assert few_shot(np.ones((62, 2)), labels, ways=3, shots=2, queries=6, episodes=9).classes == 4
    assert 4 not in drawn.classes  # 3 rows are too few
    assert 3 in drawn.classes  # 8 rows are just enough


def test_classes_and_rows_are_drawn_equally_often() -> None:
    _, labels = space()
    drawn = draw_episodes(labels, ways=2, shots=1, queries=5, episodes=6000)
    often = np.bincount(drawn.classes.ravel(), minlength=5) / 12000
    assert often == pytest.approx([0.25, 0.25, 0.25, 0.25, 0], abs=0.02)
    for rows in (drawn.shots, drawn.queries):  # each row is as often a shot as another
        counts = np.bincount(rows.ravel(), minlength=len(labels))
        for class_id in range(4):
            of_class = counts[labels == class_id] / counts[labels == class_id].sum()
            assert of_class == pytest.approx(1 / SIZES[class_id], rel=0.35)
    again = draw_episodes(labels, ways=2, shots=1, queries=5, episodes=6000)
    other = draw_episodes(labels, ways=2, shots=1, queries=5, episodes=6000, seed=1)
    assert np.array_equal(drawn.shots, again.shots)
    assert not np.array_equal(drawn.shots, other.shots)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_accuracy_is_that_of_the_plain_loop(
    distance: Literal["cosine", "euclidean"], monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, labels = space()
    embeddings = embeddings * np.random.default_rng(1).uniform(0.2, 5, size=(len(labels), 1))
    drawn = draw_episodes(labels, ways=3, shots=2, queries=4, episodes=50)
    rows = embeddings
    if distance == "cosine":
        rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = []
    for shots, queries in zip(drawn.shots, drawn.queries, strict=True):
        centroids = [np.mean([rows[row] for row in of_class], axis=0) for of_class in shots]
        if distance == "cosine":
            centroids = [centroid / np.linalg.norm(centroid) for centroid in centroids]
        right = [
            int(np.argmin([np.linalg.norm(rows[row] - centroid) for centroid in centroids]) == way)
            for way, of_class in enumerate(queries)
            for row in of_class
        ]
        expected.append(np.mean(right))
    found = episode_accuracies(embeddings, drawn, distance)
    assert found == pytest.approx(expected)
    other: Literal["cosine", "euclidean"] = "euclidean" if distance == "cosine" else "cosine"
    assert not np.allclose(found, episode_accuracies(embeddings, drawn, other))
    module = importlib.import_module("textmetric.measures.few_shot")  # not the function
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    assert np.array_equal(episode_accuracies(embeddings, drawn, distance), found)


def test_a_collapsed_space_is_right_by_chance_and_a_perfect_one_always() -> None:
    labels = np.repeat(np.arange(6), 8)
    for embeddings in (np.ones((48, 3)), np.zeros((48, 3))):
        found = few_shot(embeddings, labels, ways=4, queries=5, episodes=50)
        assert set(found.by_episode.tolist()) == {0.25}
    assert few_shot(np.eye(6)[labels], labels, ways=4, queries=5).accuracy == 1


def test_five_ways_one_shot_and_fifteen_queries_are_usual() -> None:
    labels = np.repeat(np.arange(7), 16)
    embeddings = np.random.default_rng(0).normal(size=(len(labels), 3))
    drawn = draw_episodes(labels, episodes=3)
    assert (drawn.shots.shape, drawn.queries.shape) == ((3, 5, 1), (3, 5, 15))
    found = few_shot(embeddings, labels, seed=4)
    usual = draw_episodes(labels, ways=5, shots=1, queries=15, episodes=5000, seed=4)
    assert np.array_equal(found.by_episode, episode_accuracies(embeddings, usual))


def test_more_shots_are_better() -> None:
    embeddings, labels = space()
    accuracy = [
        few_shot(embeddings, labels, ways=3, shots=shots, queries=3, episodes=600).accuracy
        for shots in (1, 5)
    ]
    assert accuracy[0] + 0.03 < accuracy[1]


def test_with_too_few_classes_there_is_no_accuracy() -> None:
    embeddings, labels = space()
    found = few_shot(embeddings, labels, ways=5, queries=5)
    assert found.classes == 4
    assert np.isnan(found[:3]).all()
    assert len(found.by_episode) == 0
    assert few_shot(np.ones((0, 3)), np.zeros(0, dtype=int)).classes == 0


def test_the_interval_is_the_jackknife_over_classes() -> None:
    embeddings, labels = space()
    found = few_shot(embeddings, labels, ways=2, queries=5, episodes=600)
    chosen = draw_episodes(labels, ways=2, queries=5, episodes=600).classes
    left = [found.by_episode[(chosen != each).all(axis=1)].mean() for each in range(4)]
    variance = 3 / 4 * sum((value - np.mean(left)) ** 2 for value in left)
    quantile = 3.182446305284263  # of Student's t, 3 degrees of freedom
    assert found.accuracy == pytest.approx(found.by_episode.mean())
    assert found.high - found.accuracy == pytest.approx(quantile * variance**0.5)
    assert found.accuracy - found.low == pytest.approx(quantile * variance**0.5)
    assert over_classes(found.by_episode, chosen, 0.8)[2] < found.high


def test_a_class_in_every_episode_leaves_no_interval() -> None:
    embeddings, labels = space()
    found = few_shot(embeddings, labels, ways=4, queries=5, episodes=600)
    assert 0 < found.accuracy < 1
    assert np.isnan([found.low, found.high]).all()
    _, low, high = over_classes(np.array([0.5, 0.6]), np.array([[0, 1], [0, 2]]))  # class 0 is
    assert np.isnan([low, high]).all()


def test_the_interval_covers_what_other_classes_would_give() -> None:
    # Classes differ in how well they are recognised; episodes are many, classes are few.
    rng = np.random.default_rng(0)
    covered, too_narrow = 0, 0
    for _ in range(300):
        skill = rng.normal(0.7, 0.1, size=15)
        chosen = rng.random((1500, 15)).argsort(axis=1)[:, :5]
        values = skill[chosen].mean(axis=1) + rng.normal(0, 0.08, size=1500)
        mean, low, high = over_classes(values, chosen)
        covered += low <= 0.7 <= high
        too_narrow += abs(mean - 0.7) > 1.96 * values.std() / 1500**0.5
    assert 0.92 <= covered / 300 <= 0.985
    assert too_narrow / 300 > 0.5  # what the usual interval would miss


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ways": 1}, "ways is 1, expected at least 2"),
        ({"shots": 0}, "shots is 0, expected at least 1"),
        ({"queries": 0}, "queries is 0"),
        ({"episodes": 0}, "episodes is 0"),
    ],
)
def test_bad_arguments_are_errors(options: dict[str, int], message: str) -> None:
    embeddings, labels = space()
    with pytest.raises(UserError, match=message):
        few_shot(embeddings, labels, **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"labels have shape \(2,\)"):
        few_shot(embeddings, labels[:2])
    with pytest.raises(UserError, match="row 1 has the label -1"):
        draw_episodes(np.array([0, -1]))
    with pytest.raises(UserError, match="level is 0"):
        over_classes(np.ones(2), np.array([[0, 1], [1, 2]]), 0)
    with pytest.raises(UserError, match="level is 1"):
        over_classes(np.ones(2), np.array([[0, 1], [1, 2]]), 1)

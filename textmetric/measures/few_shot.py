"""Few shots: are texts of new classes recognised from a few examples of each?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textmetric.errors import UserError, needing
from textmetric.measures.distances import Distance, check_distance, placed
from textmetric.measures.rows import check_rows, checked_labels, unit
from textmetric.types import Float64, Floats, Int64, Integers

EPISODES = 5000
_AT_ONCE = 256  # episodes, so that their rows take some dozen MiB


class Episodes(NamedTuple):
    """Tasks drawn from the classes of a test set.

    Attributes:
        classes: (E, N) class ids, the N different ones of each episode.
        shots: (E, N, K) row numbers, the examples of each class.
        queries: (E, N, Q) row numbers, the rows to recognise.
    """

    classes: Int64
    shots: Int64
    queries: Int64


class FewShot(NamedTuple):
    """N-way K-shot accuracy.

    Attributes:
        accuracy: the mean over episodes, in [0, 1]; 1 / N by chance.
        low: lower end of the interval of :func:`over_classes`.
        high: upper end.
        classes: how many classes have enough rows to be drawn.
        by_episode: (E,) the accuracy of each episode, the same episodes for the same labels and
            seed, so that two models can be compared episode by episode.
    """

    accuracy: float
    low: float
    high: float
    classes: int
    by_episode: Float64


def draw_episodes(
    labels: Integers,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = EPISODES,
    seed: int = 0,
) -> Episodes:
    """Draw N classes, and K + Q different rows of each, for every episode.

    Args:
        labels: (n,) class ids from 0.
        ways: N, at least 2.
        shots: K, at least 1.
        queries: Q, at least 1.
        episodes: E, at least 1.
        seed: of the draw.

    Returns:
        The episodes; none if fewer than N classes have K + Q rows. Every class that has as many
        is drawn equally often on average, whatever its size.

    Raises:
        UserError: a number is out of range; a label is not a class id.
    """
    for name, value, least in (
        ("ways", ways, 2), ("shots", shots, 1), ("queries", queries, 1), ("episodes", episodes, 1)
    ):  # fmt: skip
        if value < least:
            raise UserError(f"{name} is {value}, expected at least {least}: choose another")
    labels = checked_labels(labels, len(labels))
    counts = np.bincount(labels)
    eligible = np.flatnonzero(counts >= shots + queries)
    each = shots + queries
    if len(eligible) < ways:
        shapes = ((0, ways), (0, ways, shots), (0, ways, queries))
        return Episodes(*(np.empty(shape, dtype=np.int64) for shape in shapes))
    rng = np.random.default_rng(seed)
    chosen = eligible[rng.random((episodes, len(eligible))).argsort()[:, :ways]]
    sizes = counts[chosen]
    places = np.empty((episodes, ways, each), dtype=np.int64)
    # Floyd's way to draw without replacement, for all episodes at once: the number of steps is
    # that of the rows to draw, not of the rows that a class has. It gives sets, so it is shuffled.
    for step in range(each):
        upper = sizes - each + step
        drawn = rng.integers(upper + 1)
        taken = (places[:, :, :step] == drawn[:, :, None]).any(axis=2)
        places[:, :, step] = np.where(taken, upper, drawn)
    places = rng.permuted(places, axis=2)
    starts = np.cumsum(counts) - counts
    rows = np.argsort(labels, kind="stable")[starts[chosen][:, :, None] + places]
    return Episodes(chosen, rows[:, :, :shots], rows[:, :, shots:])


def episode_accuracies(
    embeddings: Floats, episodes: Episodes, distance: Distance = "cosine"
) -> Float64:
    """The share of each episode's queries whose nearest centroid of the shots is of their class.

    This is how prototypical networks are tested (Snell, Swersky & Zemel 2017, arXiv 1703.05175).

    Args:
        embeddings: (n, d).
        episodes: of :func:`draw_episodes`.
        distance: ``cosine``: centroids of unit rows, and the largest cosine; ``euclidean``:
            centroids of the rows as they are, and the least distance.

    Returns:
        (E,) in [0, 1]. Of equally near centroids, that of the episode's first class counts, so a
        collapsed space has 1 / N.

    Raises:
        UserError: see :func:`.placed`.
    """
    rows = np.asarray(embeddings)
    check_rows(rows)
    check_distance(distance)
    found = np.empty(len(episodes.classes))
    ways = np.arange(episodes.classes.shape[1])
    for start in range(0, len(found), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        shots, queries = (
            placed(rows[ids[part].ravel()], distance).reshape(*ids[part].shape, rows.shape[1])
            for ids in (episodes.shots, episodes.queries)
        )
        centroids = shots.mean(axis=2)
        if distance == "cosine":
            centroids = unit(centroids.reshape(-1, rows.shape[1])).reshape(centroids.shape)
        # ½‖q − c‖² = ½‖q‖² − q·c + ½‖c‖²; the first is equal for all centroids, and so is the last
        # for unit ones.
        nearness = queries @ centroids.transpose(0, 2, 1)[:, None]
        if distance == "euclidean":
            nearness -= (centroids * centroids).sum(axis=2)[:, None, None, :] / 2
        right = nearness.argmax(axis=3) == ways[:, None]
        found[part] = right.mean(axis=(1, 2))
    return found


def over_classes(
    values: Floats, chosen: Integers, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean over episodes and its interval, which counts that episodes share classes.

    Episodes are drawn again and again from the same C classes, so they are no independent samples:
    the usual ± 1.96 sd / √E shrinks to nothing with more episodes, though the classes stay those.
    With θ₍c₎ the mean over the episodes without class c, the jackknife (Efron & Stein 1981) has

        variance = (C − 1) / C · Σ_c (θ₍c₎ − mean of θ₍c₎)²,

    and the interval is mean ± t_{(1 + level)/2, C − 1} · √variance. It covers other classes like
    these and other rows of them, and the draw of the episodes, which makes it slightly too wide
    if they are few. It does not cover other trainings: for those, see :func:`.mean_interval` over
    seeds.

    Args:
        values: (E,) one for each episode: accuracies, or differences of two models'.
        chosen: (E, N) the classes of each episode.
        level: coverage, between 0 and 1.

    Returns:
        (mean, low, high). Low and high are NaN if a class is in every episode, so that nothing is
        known about others; all are NaN without an episode.

    Raises:
        UserError: the level is not between 0 and 1.

    >>> over_classes(np.array([0.5, 0.7, 0.6]), np.array([[0, 1], [0, 2], [1, 2]]))[0].__round__(3)
    0.6
    """
    with needing("over_classes", "train"):
        from scipy.special import stdtrit  # slow to import

    if not 0 < level < 1:
        raise UserError(f"level is {level}, expected a number between 0 and 1: 0.95 is usual")
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    centre = float(values.mean())
    _, places = np.unique(np.ravel(chosen), return_inverse=True)
    with_class = np.bincount(places)
    sums = np.bincount(places, weights=np.repeat(values, len(places) // len(values)))
    without, classes = len(values) - with_class, len(with_class)
    if not without.all():
        return centre, float("nan"), float("nan")
    left = (values.sum() - sums) / without
    variance = (classes - 1) / classes * float(((left - left.mean()) ** 2).sum())
    half = float(stdtrit(classes - 1, (1 + level) / 2)) * variance**0.5
    return centre, centre - half, centre + half


def few_shot(
    embeddings: Floats,
    labels: Integers,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = EPISODES,
    seed: int = 0,
    distance: Distance = "cosine",
) -> FewShot:
    """N-way K-shot accuracy by the nearest centroid of the shots, with its interval.

    For classes that were never trained on, pass rows of such classes alone.

    Args:
        embeddings: (n, d).
        labels: (n,) class ids from 0.
        ways: N, at least 2.
        shots: K, at least 1.
        queries: Q, at least 1.
        episodes: E, at least 1.
        seed: of the draw.
        distance: see :func:`episode_accuracies`.

    Returns:
        Accuracies are NaN if fewer than ``ways`` classes have rows enough.

    Raises:
        UserError: see :func:`draw_episodes` and :func:`.placed`.

    >>> labels = np.repeat(np.arange(6), 4)
    >>> few_shot(np.eye(6)[labels], labels, ways=3, queries=2, episodes=600).accuracy
    1.0
    """
    labels = checked_labels(labels, len(embeddings))
    drawn = draw_episodes(
        labels, ways=ways, shots=shots, queries=queries, episodes=episodes, seed=seed
    )
    by_episode = episode_accuracies(embeddings, drawn, distance)
    mean, low, high = over_classes(by_episode, drawn.classes)
    eligible = int((np.bincount(labels) >= shots + queries).sum())
    return FewShot(mean, low, high, eligible, by_episode)

from __future__ import annotations

from math import comb, log

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import agreement, clustering, kmeans


def blobs(sizes: list[int], seed: int = 0, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.eye(len(sizes))[labels] + noise * rng.normal(size=(len(labels), len(sizes))), labels


def test_agreement_is_that_of_the_definitions() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, size=50), rng.integers(0, 3, size=50)
    table = np.zeros((4, 3), dtype=int)
    for a, b in zip(one, other, strict=True):
        table[a, b] += 1
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    information = sum(
        table[a, b] / 50 * log(50 * table[a, b] / (rows[a] * columns[b]))
        for a in range(4)
        for b in range(3)
        if table[a, b]
    )
    entropies = [-sum(n / 50 * log(n / 50) for n in counts) for counts in (rows, columns)]
    found = agreement(one, other)
    assert found.nmi == pytest.approx(information / (sum(entropies) / 2))
    together = sum(comb(int(n), 2) for n in table.ravel())
    of_one, of_other = (sum(comb(int(n), 2) for n in counts) for counts in (rows, columns))
    expected = of_one * of_other / comb(50, 2)
    assert found.ari == pytest.approx((together - expected) / ((of_one + of_other) / 2 - expected))
    # adjusted for chance: the mean over clusters by chance is 0
    by_chance = [agreement(one, rng.permutation(other)) for _ in range(200)]
    assert np.mean([each.ami for each in by_chance]) == pytest.approx(0, abs=0.01)
    assert np.mean([each.nmi for each in by_chance]) > 0.03
    assert found.ami < found.nmi


def test_kmeans_finds_the_clusters_of_least_inertia() -> None:
    embeddings, labels = blobs([30, 20, 10])
    found = kmeans(embeddings, 3)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)

    def inertia(clusters: np.ndarray) -> float:
        centres = np.stack([unit[clusters == c].mean(axis=0) for c in range(3)])
        return float(((unit - centres[clusters]) ** 2).sum())

    assert inertia(found) <= inertia(labels)
    centres = np.stack([unit[found == c].mean(axis=0) for c in range(3)])
    nearest = ((unit[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(nearest, found)  # as Lloyd's algorithm ends
    assert set(kmeans(embeddings, 1).tolist()) == {0}
    assert len(set(kmeans(embeddings, 60).tolist())) == 60


def test_only_the_euclidean_distance_sees_how_long_rows_are() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    embeddings = np.array([[1.0, 1.0], [9.0, 9.0]])[labels] + 0.1 * rng.normal(size=(60, 2))
    assert clustering(embeddings, labels, distance="euclidean").ari == 1
    assert clustering(embeddings, labels).ari < 0.5


def test_more_starts_find_what_one_start_misses() -> None:
    embeddings, labels = blobs([10] * 24, noise=0.18)
    once = [clustering(embeddings, labels, starts=1, seed=seed).ari for seed in range(8)]
    assert len(set(once)) > 1  # the seed is that of the starts
    several = clustering(embeddings, labels, starts=30)
    assert several.ari > np.mean(once) + 0.02
    assert clustering(embeddings, labels, starts=30) == several


def test_a_class_without_rows_asks_for_no_cluster() -> None:
    embeddings, labels = blobs([15, 15])
    assert clustering(embeddings, labels * 7).ari == clustering(embeddings, labels).ari == 1


def test_many_rows_are_sampled_class_by_class() -> None:
    embeddings, labels = blobs([300, 100, 3], noise=0.01)
    embeddings[labels == 2] = [0, 0, 1]
    found = clustering(embeddings, labels, most=40)
    assert found.rows == 40
    assert found.ari == 1  # also the smallest class has a row
    assert clustering(embeddings, labels, most=403).rows == 403
    noisy, labels = blobs([300, 100, 3], noise=0.6)
    assert len({clustering(noisy, labels, most=40, seed=seed).ari for seed in range(3)}) > 1


def test_a_collapsed_space_has_one_cluster_and_no_agreement() -> None:
    labels = np.repeat(np.arange(4), 5)
    for embeddings in (np.ones((20, 3)), np.zeros((20, 3))):
        found = clustering(embeddings, labels)
        assert found[:3] == pytest.approx((0, 0, 0), abs=1e-12)


@pytest.mark.parametrize("labels", [[], [0], [3, 3, 3]])
def test_with_fewer_than_two_classes_there_is_nothing_to_find(labels: list[int]) -> None:
    ids = np.array(labels, dtype=np.int64)
    assert np.isnan(clustering(np.ones((len(labels), 2)), ids)[:3]).all()
    if labels:
        with pytest.raises(UserError, match="NaN or infinity"):
            clustering(np.full((len(labels), 2), np.inf), ids)


def test_bad_arguments_are_errors() -> None:
    embeddings, labels = blobs([5, 5])
    with pytest.raises(UserError, match=r"clusters is 11, expected 1 to 10"):
        kmeans(embeddings, 11)
    with pytest.raises(UserError, match="clusters is 0"):
        kmeans(embeddings, 0)
    with pytest.raises(UserError, match="starts is 0"):
        clustering(embeddings, labels, starts=0)
    with pytest.raises(UserError, match="most is 1, expected at least 2"):
        clustering(embeddings, labels, most=1)
    with pytest.raises(UserError, match=r"labels have shape \(9,\)"):
        clustering(embeddings, labels[:9])

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reclustering.made import blobs, corrected
from textmetric.errors import UserError
from textmetric.measures import agreement, kmeans
from textmetric.reclustering.corrections import Corrections, checked
from textmetric.reclustering.far import far_groups
from textmetric.reclustering.learn import principal
from textmetric.reclustering.seeded import Fit, fit, shares

ROWS = 12
rows = st.integers(0, ROWS - 1)
pairs = st.lists(st.tuples(rows, rows), max_size=5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([None, None, None, "0", "1", "new"]), min_size=ROWS, max_size=ROWS),
    pairs,
    pairs,
    st.lists(st.tuples(rows, st.sampled_from("012")), max_size=3),
    st.integers(1, 5),
)
def test_no_correction_is_ever_violated(
    labels: list[str | None],
    must: list[tuple[int, int]],
    cannot: list[tuple[int, int]],
    bans: list[tuple[int, str]],
    k: int,
) -> None:
    vectors, classes = blobs(ROWS, 3)
    said = Corrections(labels, must, cannot, not_here=bans)
    problem = ""
    try:
        constraints = checked(classes, said)
        found = fit(principal(vectors), constraints, max(k, len(set(labels) - {None})))
        violated = constraints.violations(found.clusters)
    except UserError as error:
        problem, violated = str(error), 0
    assert violated == 0
    assert not problem or re.search("take (one of these .*|a link|one) back", problem)


def test_rows_are_better_clustered_after_corrections_that_nobody_made_of_them() -> None:
    vectors, labels = blobs(400)
    old = kmeans(vectors, 4, starts=1)
    said = [int(row) for row in np.random.default_rng(1).permutation(400)[:40]]
    constraints = checked(old, Corrections(corrected(labels, said)))
    found = fit(principal(vectors), constraints, 4)
    others = np.setdiff1d(np.arange(400), said)
    before = agreement(labels[others], old[others]).ari
    assert agreement(labels[others], found.clusters[others]).ari > before + 0.1


def test_kept_clusters_are_as_many_and_new_names_take_the_place_of_old_ones() -> None:
    vectors, labels = blobs()
    said = corrected(labels, [0, 4, 1, 5])  # of two of the four classes
    constraints = checked(labels, Corrections(said))
    found = fit(principal(vectors), constraints, 4)
    assert [constraints.names[each] for each in np.unique(found.clusters)] == [
        "2", "3", "class 0", "class 1",
    ]  # fmt: skip
    assert agreement(labels, found.clusters).ari > 0.9


def test_a_cluster_that_grows_by_a_name_keeps_the_old_ones() -> None:
    vectors, labels = blobs()
    vectors[:, 4:] = 0
    constraints = checked(np.minimum(labels, 2), Corrections(corrected(labels, [3, 7, 11])))
    found = fit(principal(vectors), constraints, 4)
    assert [constraints.names[each] for each in np.unique(found.clusters)] == [
        "0", "1", "2", "class 3",
    ]  # fmt: skip
    assert agreement(labels, found.clusters).ari > 0.9


def test_without_corrections_a_good_clustering_stays() -> None:
    vectors, labels = blobs()
    vectors[:, 4:] = 0
    found = fit(principal(vectors), checked(labels, Corrections()), 4)
    assert found.clusters.tolist() == labels.tolist()


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_equal_rows_are_no_reason_to_fail(same: float) -> None:
    constraints = checked(["a", "b"] * 3, Corrections(["b"] + [None] * 5))
    found = fit(principal(np.full((6, 3), same)), constraints, 2)
    assert constraints.violations(found.clusters) == 0
    assert np.isfinite(found.mapping).all()


def test_rows_without_a_cluster_get_one() -> None:
    vectors, labels = blobs()
    clusters = [None if row < 20 else int(label) for row, label in enumerate(labels)]
    found = fit(principal(vectors), checked(clusters, Corrections()), 4)
    assert agreement(labels[:20], found.clusters[:20]).ari > 0.8


def test_sizes_of_corrected_rows_are_even_where_chance_explains_their_counts() -> None:
    chance = np.array([9.0, 11, 10, 12, 8, 10])
    assert shares(chance) == pytest.approx(np.full(6, 1 / 6), rel=0.01)
    uneven = np.array([*[100.0] * 2, *[5.0] * 10])
    assert shares(uneven) == pytest.approx(uneven / uneven.sum(), rel=0.2)
    assert shares(np.zeros(4)).tolist() == [0.25] * 4


def test_many_corrections_in_one_cluster_do_not_make_it_swallow_the_others() -> None:
    vectors, labels = blobs(400)
    constraints = checked(labels, Corrections(right=["0"]))
    found = fit(principal(vectors), constraints, 4)
    assert np.bincount(found.clusters) == pytest.approx(np.full(4, 100), rel=0.15)


def test_mistakes_that_somebody_found_do_not_empty_the_cluster_where_they_were() -> None:
    vectors, labels = blobs(400)
    old = labels.copy()
    old[:40] = 0  # 30 of them belong elsewhere
    wrong = [row for row in range(40) if labels[row]]
    said: list[str | None] = [None] * 400
    for row in wrong[:6]:
        said[row] = str(labels[row])
    found = fit(principal(vectors), checked(old, Corrections(said)), 4)
    assert agreement(labels, found.clusters).ari > agreement(labels, old).ari
    assert (found.clusters == 0).sum() >= 90


def test_a_corrected_row_counts_as_twenty_in_the_learnt_distance() -> None:
    vectors, labels = blobs(40, 2)
    said: list[str | None] = [str(label) if row < 6 else None for row, label in enumerate(labels)]
    vectors = principal(vectors)
    found = fit(vectors, checked(labels, Corrections(said)), 2, iterations=1)
    centres = []
    for each in range(2):
        rows = [vectors[row] for row in range(40) if labels[row] == each]
        again = [vectors[row] for row in range(6) if labels[row] == each]  # the corrected ones
        centres.append(np.mean([*rows, *again], axis=0))
    copies = [
        vectors[row] - centres[labels[row]]
        for row in range(40)
        for _ in range(20 if row < 6 else 1)
    ]
    spread = sum(np.outer(each, each) for each in copies) / len(copies)
    shrunk = 0.7 * spread + 0.3 * np.trace(spread) / len(spread) * np.eye(len(spread))
    assert np.linalg.inv(found.mapping @ found.mapping) == pytest.approx(shrunk, abs=1e-9)


def test_only_corrected_rows_count_in_the_distance_where_the_others_weigh_nothing() -> None:
    vectors, labels = blobs(40, 2)
    said: list[str | None] = [str(label) if row < 6 else None for row, label in enumerate(labels)]
    rows = principal(vectors)
    constraints = checked(labels, Corrections(said))
    found = fit(rows, constraints, 2, iterations=1, uncorrected=0.0)
    centres = [
        np.mean([*rows[labels == each], *rows[:6][labels[:6] == each]], axis=0) for each in range(2)
    ]
    spread = sum(np.outer(each, each) for each in (rows - np.array(centres)[labels])[:6]) / 6
    shrunk = 0.7 * spread + 0.3 * np.trace(spread) / len(spread) * np.eye(len(spread))
    assert np.linalg.inv(found.mapping @ found.mapping) == pytest.approx(shrunk, abs=1e-9)


def test_a_cluster_that_would_get_too_many_rows_is_farther_from_all() -> None:
    rows = np.stack([np.r_[np.linspace(0, 2.6, 90), np.linspace(3.4, 4, 30)], np.ones(120)], axis=1)
    clusters = ["a"] * 30 + [None] * 60 + ["b"] * 30
    constraints = checked(clusters, Corrections(right=["a", "b"]))
    found = fit(rows, constraints, 2, weak=0)
    free = slice(30, 90)
    assert found.clusters[free].tolist() == found.distances[free].argmin(axis=1).tolist()
    squares = np.square((rows @ found.mapping)[:, None] - found.centres).sum(axis=2)
    nearer = (found.clusters != squares.argmin(axis=1)) & (found.clusters == 1)
    assert nearer[free].any()  # b gets rows that are nearer to a


def test_a_group_of_rows_counts_as_many_where_a_link_makes_one_give_way() -> None:
    # five rows together and one alone are nearest to a, and may not be there both
    rows = np.array([[0.0, 0]] * 20 + [[4.0, 0]] * 20 + [[1.8, 0]] * 5 + [[1.5, 0]])
    clusters = ["a"] * 20 + ["b"] * 20 + [None] * 6
    said = Corrections(must=[(40, row) for row in range(41, 45)], cannot=[(40, 45)])
    constraints = checked(clusters, said)
    found = fit(rows, constraints, 2, mapping=np.eye(2), iterations=1, sized=False, weak=0)
    assert [constraints.names[each] for each in found.clusters[40:]] == ["a"] * 5 + ["b"]


@pytest.mark.parametrize("own", [0.2, 1.2])
def test_far_rows_that_are_hardly_nearer_to_each_other_are_no_new_cluster(own: float) -> None:
    dims, many, far = 60, 300, 10
    rows = np.zeros((many, dims))
    rows[np.arange(many), np.arange(many) % 40] = np.sqrt(1.5) * np.where(
        np.arange(many) % 2, 1, -1
    )
    # together in one direction, and each alone in one of its own
    rows[:far] = 0
    rows[:far, 40] = np.sqrt(2.1 - own)
    rows[np.arange(far), 41 + np.arange(far)] = np.sqrt(own)
    start = checked(["a"] * many, Corrections())
    alone = Fit(
        np.zeros(many, np.int64),
        np.eye(dims),
        np.zeros((1, dims)),
        np.ones(1, bool),
        np.zeros((many, 1)),
    )
    found = far_groups(rows, start, alone)
    assert [each.tolist() for each in found] == ([list(range(far))] if own < 1 else [])

from __future__ import annotations

import numpy as np

from tests.reclustering.made import blobs, corrected
from textmetric.reclustering.ask import _spread, questions
from textmetric.reclustering.corrections import Corrections, checked
from textmetric.reclustering.learn import principal
from textmetric.reclustering.seeded import fit


def asked(
    rows: list[int], suspects: dict[int, int] | None = None, count: int = 20
) -> list[tuple[int, str, str]]:
    vectors, labels = blobs(200)
    constraints = checked(labels, Corrections(corrected(labels, rows)))
    found = fit(principal(vectors), constraints, 4)
    given = questions(
        principal(vectors), constraints, found, constraints.names, suspects or {}, count=count
    )
    return [(each.row, each.reason, each.cluster) for each in given]


def test_clusters_that_nobody_corrected_are_asked_about_first() -> None:
    found = asked([0, 4, 8])  # of class 0 alone
    new = [cluster for _, reason, cluster in found if reason == "new group"]
    assert set(new) == {"1", "2", "3"}
    assert {reason for _, reason, _ in found[:5]} == {"new group"}
    assert len(new) > 10


def test_texts_are_asked_about_where_they_are_in_doubt_and_far_from_one_another() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9], [-9, 0, 0]])
    rows = np.repeat(centres, 30, axis=0) + rng.normal(size=(120, 3))
    doubt = np.zeros(120)
    doubt[:90] = 0.01  # the last thirty are sure
    doubt[[5, 35, 65]] = 1.0
    order = _spread(rows, doubt, 3, 0)
    assert sorted(order.tolist()) == list(range(120))
    assert set(order[:3].tolist()) == {5, 35, 65}
    # after one of each group, the most doubtful first
    assert (np.diff(doubt[order[3:]]) <= 0).all()


def test_of_a_group_the_text_is_asked_about_that_is_in_doubt_and_near() -> None:
    rows = np.array([[0.0, 0]] * 10 + [[1.0, 0]])  # the weighted centre is at a third
    assert _spread(rows, np.array([0.2] * 10 + [1.0]), 1, 0)[0] == 10
    assert _spread(rows, np.array([0.2] * 10 + [0.3]), 1, 0)[0] == 0


def test_nothing_is_asked_twice_and_no_corrected_row_but_for_a_likely_mistake() -> None:
    found = asked([0, 1, 2, 3, 4], {4: 1})
    rows = [row for row, _, _ in found]
    assert len(rows) == len(set(rows)) == 20
    assert [row for row in rows if row < 5] == [4]
    assert found[0][:2] == (4, "likely mistake")


def test_texts_between_two_clusters_are_nearer_to_the_border_than_others() -> None:
    vectors, labels = blobs(200)
    constraints = checked(labels, Corrections(corrected(labels, [0, 1, 2, 3])))
    found = fit(principal(vectors), constraints, 4)
    nearest = np.sort(found.distances, axis=1)
    margin = nearest[:, 1] - nearest[:, 0]
    given = questions(principal(vectors), constraints, found, constraints.names, {}, count=10)
    between = [each.row for each in given if each.reason == "between two clusters"]
    assert len(between) == 10
    assert np.median(margin[between]) < np.quantile(margin, 0.2)


def test_texts_that_are_alike_are_not_both_asked_about() -> None:
    vectors = np.repeat(np.eye(4, 5), 10, axis=0) + np.full((40, 5), 0.3)
    constraints = checked(np.repeat(np.arange(4), 10), Corrections())
    rows = principal(vectors)
    given = questions(rows, constraints, fit(rows, constraints, 4), constraints.names, {})
    assert sorted(each.cluster for each in given) == ["0", "1", "2", "3"]

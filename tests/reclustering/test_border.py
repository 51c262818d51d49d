from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.reclustering.made import blobs, corrected
from textmetric.reclustering.border import border
from textmetric.reclustering.corrections import Corrections, checked
from textmetric.reclustering.learn import principal, trained
from textmetric.reclustering.seeded import fit


@pytest.mark.parametrize("classes", [2, 4])
def test_an_uncorrected_row_counts_as_often_as_its_weight_says(classes: int) -> None:
    vectors, labels = blobs(80, classes)
    weights = np.where(np.arange(80) < 8, 1.0, 0.5)
    found = border(vectors, labels, weights, classes + 1)
    # the corrected rows twice and the others once, at half of the price each
    twice = np.concatenate([np.arange(80), np.arange(8)])
    learner = LogisticRegression(C=5, max_iter=1000, tol=1e-8).fit(vectors[twice], labels[twice])
    assert np.exp(-found[:, :classes]) == pytest.approx(learner.predict_proba(vectors), abs=0.02)
    assert np.isinf(found[:, classes]).all()  # it has no rows


def test_rows_go_where_the_border_says_but_for_those_that_were_corrected() -> None:
    vectors, labels = blobs(200)
    rows, said = principal(vectors), corrected(labels, list(range(40)))
    said[0] = f"class {(labels[0] + 1) % 4}"  # against what all others say
    constraints = checked(labels, Corrections(said))
    found = fit(rows, constraints, 4)
    assert constraints.names[found.clusters[0]] == said[0]
    assert (found.clusters[1:] == found.distances[1:].argmin(axis=1)).all()
    assert np.exp(-found.distances).sum(axis=1) == pytest.approx(np.ones(200))
    nearest = fit(rows, constraints, 4, weak=0)
    squares = np.square((rows @ nearest.mapping)[:, None] - nearest.centres).sum(axis=2)
    offsets = squares - nearest.distances
    assert np.ptp(offsets[0, nearest.open]) > 1e-3
    assert (nearest.clusters[40:] == nearest.distances[40:].argmin(axis=1)).all()
    assert offsets[:, nearest.open] == pytest.approx(
        np.tile(offsets[0, nearest.open], (200, 1))
    )  # of a cluster, not of a row


def test_linked_rows_go_where_they_belong_together() -> None:
    vectors, labels = blobs(200)
    pairs = [(row, row + 1) for row in range(0, 100, 2)]  # of two classes each
    constraints = checked(labels, Corrections(must=pairs))
    found = fit(principal(vectors), constraints, 4)
    assert constraints.violations(found.clusters) == 0
    together = found.distances[0:100:2] + found.distances[1:100:2]
    assert found.clusters[0:100:2].tolist() == together.argmin(axis=1).tolist()
    assert (found.clusters[0:100:2] != found.distances[0:100:2].argmin(axis=1)).any()


def test_the_border_is_learnt_from_the_rows_before_anything_was_trained() -> None:
    vectors, labels = blobs(200)
    rows, constraints = principal(vectors), checked(labels, Corrections(corrected(labels, [0, 1])))
    mapped = rows * np.linspace(3, 0, rows.shape[1])
    found = fit(mapped, constraints, 4, before=rows)
    alone = fit(mapped, constraints, 4, weak=0)
    weights = np.where(np.arange(200) < 2, 1.0, 0.3)
    count = len(constraints.names)
    assert found.distances == pytest.approx(border(rows, alone.clusters, weights, count))


@pytest.mark.parametrize(
    ("rows", "trains"),
    [
        (range(12), True),
        (range(11), False),  # too few
        ([*range(0, 24, 4), *range(1, 24, 4)], True),  # two classes, and two that nobody touched
        ([0, 4, 8, *range(1, 36, 4)], True),
        ([*range(0, 44, 4), 1], False),  # one class alone has two rows
    ],
)
def test_no_space_is_trained_where_corrections_say_too_little(
    rows: list[int], trains: bool
) -> None:
    vectors, labels = blobs(120)
    constraints = checked(labels, Corrections(corrected(labels, list(rows))))
    found = trained(principal(vectors).astype(np.float32), constraints, "sup_con", lr=0.1)
    assert (found is not None) == trains


def test_no_space_is_trained_where_it_would_know_nothing_of_most_clusters() -> None:
    vectors, labels = blobs(120, 6)
    rows = principal(vectors).astype(np.float32)
    for classes, trains in ((3, True), (2, False)):
        said = corrected(labels, [row for row in range(60) if labels[row] < classes])
        constraints = checked(labels, Corrections(said))
        assert (trained(rows, constraints, "sup_con", lr=0.1) is not None) == trains


def test_the_learning_rate_is_the_usual_one_or_that_of_the_last_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("textmetric.embedder.LEARNING_RATES", (0.05,))
    vectors, labels = blobs(120)
    rows = principal(vectors).astype(np.float32)
    constraints = checked(labels, Corrections(corrected(labels, list(range(20)))))
    usual = trained(rows, constraints, "sup_con")
    chosen = trained(rows, constraints, "triplet")
    given = trained(rows, constraints, "sup_con", lr=0.07)
    again = trained(rows, constraints, "sup_con", before=given)
    found = [None if each is None else each.lr_ for each in (usual, chosen, given, again)]
    assert found == [0.03, 0.05, 0.07, 0.07]

from __future__ import annotations

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import (
    between_class_cosine,
    centroid_cosines,
    class_centroids,
    clustering,
    cohesion,
    evaluate,
    evaluation,
    retrieval,
    verification,
)

PLAIN = [
    "head_accuracy",
    "knn_accuracy",
    "cohesion",
    "between_class_cosine",
    "gap",
    "recall_at_1",
    "recall_at_10",
    "recall_at_100",
    "r_precision",
    "map_at_r",
    "kmeans_nmi",
    "kmeans_ami",
    "kmeans_ari",
    "verification_auc",
    "verification_eer",
]
SCARCE = [
    "scarce_cohesion",
    "scarce_gap",
    "scarce_between_class_cosine",
    "scarce_among_cosine",
    "scarce_recall_at_1",
    "scarce_map_at_r",
    "scarce_head_accuracy",
    "scarce_knn_accuracy",
]


def example() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(4)
    labels = np.concatenate([random.choice([0, 1, 2, 4], size=79), [5]]).astype(np.int32)
    embeddings = (random.normal(size=(80, 6)) + random.normal(size=(6, 6))[labels]).astype(
        np.float32
    )
    predictions = {name: random.integers(0, 6, 80).astype(np.int32) for name in ("head", "knn")}
    return embeddings, labels, predictions


def test_flat_measures_equal_those_of_the_single_functions() -> None:
    embeddings, labels, predictions = example()
    flat = evaluate(embeddings, labels, classes=6, scarce=[], predictions=predictions).flat
    assert list(flat) == PLAIN
    within = cohesion(embeddings, labels, 6)
    between = between_class_cosine(centroid_cosines(class_centroids(embeddings, labels, 6)))
    assert flat["head_accuracy"] == np.mean(predictions["head"] == labels)
    assert flat["cohesion"] == pytest.approx(np.nanmean(within))
    assert flat["between_class_cosine"] == between
    assert flat["gap"] == flat["cohesion"] - between
    clusters = clustering(embeddings, labels, starts=1)
    assert [flat[f"kmeans_{name}"] for name in ("nmi", "ami", "ari")] == list(clusters[:3])
    pairs = verification(embeddings, labels, most=40_000)
    assert (flat["verification_auc"], flat["verification_eer"]) == pairs[:2]
    for name, value in retrieval(embeddings, labels).means().items():
        assert flat[name] == value


def test_scarce_measures_search_for_the_scarce_rows_among_all_rows() -> None:
    embeddings, labels, predictions = example()
    flat = evaluate(embeddings, labels, classes=6, scarce=[1, 4], predictions=predictions).flat
    assert sorted(flat) == sorted(PLAIN + SCARCE)
    rows = [i for i in range(80) if labels[i] in (1, 4)]
    found = retrieval(embeddings, labels)
    cosines = centroid_cosines(class_centroids(embeddings, labels, 6))
    within = cohesion(embeddings, labels, 6)
    right = [predictions["knn"][i] == labels[i] for i in rows]
    assert flat["scarce_knn_accuracy"] == pytest.approx(sum(right) / len(rows))
    assert flat["scarce_map_at_r"] == pytest.approx(np.mean(found.map_at_r[rows]))
    assert flat["scarce_recall_at_1"] == pytest.approx(np.mean(found.recall[1][rows]))
    assert flat["scarce_cohesion"] == pytest.approx((within[1] + within[4]) / 2)
    assert flat["scarce_gap"] == flat["scarce_cohesion"] - flat["scarce_between_class_cosine"]
    assert flat["scarce_among_cosine"] == pytest.approx(cosines[1, 4])
    assert flat["scarce_between_class_cosine"] == pytest.approx(
        np.mean([cosines[a, b] for a in (1, 4) for b in (0, 2, 5)])
    )


def test_values_of_a_class_are_means_over_its_rows() -> None:
    embeddings, labels, predictions = example()
    per_class = evaluate(
        embeddings, labels, classes=6, scarce=[], predictions=predictions
    ).per_class
    assert sorted(per_class) == [
        "between_class_cosine",
        "cohesion",
        "head_accuracy",
        "knn_accuracy",
        "map_at_r",
        "recall_at_1",
    ]
    found = retrieval(embeddings, labels)
    for class_id in (0, 1, 2, 4):
        rows = labels == class_id
        assert per_class["map_at_r"][class_id] == pytest.approx(found.map_at_r[rows].mean())
        right = predictions["head"][rows] == class_id
        assert per_class["head_accuracy"][class_id] == pytest.approx(right.mean())
    assert all(np.isnan(values[3]) for values in per_class.values())  # no test row
    assert np.isnan(per_class["map_at_r"][5])  # one test row has no pair
    assert np.isnan(per_class["cohesion"][5])
    assert per_class["head_accuracy"][5] in (0.0, 1.0)


def test_cosines_of_a_scarce_class_are_means_over_each_group() -> None:
    embeddings, labels, predictions = example()
    evaluation = evaluate(embeddings, labels, classes=6, scarce=[1, 4], predictions=predictions)
    cosines = centroid_cosines(class_centroids(embeddings, labels, 6))
    per_class = evaluation.per_class
    for one, other in ((1, 4), (4, 1)):
        assert per_class["sufficient_cosine"][one] == pytest.approx(
            np.mean([cosines[one, b] for b in (0, 2, 5)])
        )
        assert per_class["among_scarce_cosine"][one] == pytest.approx(cosines[one, other])
        assert per_class["between_class_cosine"][one] == pytest.approx(
            np.mean([cosines[one, b] for b in (0, 1, 2, 4, 5) if b != one])
        )
    for name in ("sufficient_cosine", "among_scarce_cosine"):
        assert np.isnan([per_class[name][place] for place in (0, 2, 3, 5)]).all()
        key = {"sufficient_cosine": "scarce_between_class_cosine"}.get(name, "scarce_among_cosine")
        assert np.nanmean(per_class[name]) == pytest.approx(evaluation.flat[key])


def test_scarce_classes_count_once_in_any_order() -> None:
    embeddings, labels, predictions = example()
    once, twice = (
        evaluate(embeddings, labels, classes=6, scarce=scarce, predictions=predictions)
        for scarce in ([1, 4], [4, 1, 4])
    )
    assert str(once) == str(twice)


def test_without_predictions_there_is_no_accuracy() -> None:
    embeddings, labels, _ = example()
    found = evaluate(embeddings, labels, classes=6)
    assert list(found.flat) == PLAIN[2:]
    assert str(found) == str(evaluate(embeddings, labels, classes=6, predictions={}))


def test_a_single_scarce_class_has_no_cosine_among_the_scarce() -> None:
    embeddings, labels, predictions = example()
    flat = evaluate(embeddings, labels, classes=6, scarce=[1], predictions=predictions).flat
    assert np.isnan(flat["scarce_among_cosine"])
    assert -1 <= flat["scarce_between_class_cosine"] <= 1


def test_keys_are_the_same_if_a_scarce_class_has_no_row() -> None:
    embeddings, labels, predictions = example()
    flat = evaluate(embeddings, labels, classes=6, scarce=[3], predictions=predictions).flat
    assert sorted(flat) == sorted(PLAIN + SCARCE)
    assert all(np.isnan(flat[name]) for name in SCARCE)


def test_a_collapsed_space_has_full_cohesion_and_no_gap() -> None:
    labels = np.repeat(np.arange(4), 10)
    flat = evaluate(np.full((40, 5), 0.7), labels, classes=4, scarce=[], predictions={}).flat
    assert flat["cohesion"] == pytest.approx(1)
    assert flat["gap"] == pytest.approx(0, abs=1e-12)
    assert flat["map_at_r"] < 0.3


def test_of_many_rows_a_sample_is_clustered_with_every_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "CLUSTERED", 40)
    random = np.random.default_rng(0)
    for classes in (5, 60):  # fewer and more than rows of a sample
        labels = np.arange(180) % classes
        embeddings = random.normal(size=(classes, 5))[labels] + random.normal(size=(180, 5))
        found = evaluate(embeddings, labels, classes=classes).flat["kmeans_ari"]
        most = max(40, classes)
        assert found == clustering(embeddings, labels, starts=1, most=most).ari
        assert found != clustering(embeddings, labels, starts=1).ari


def test_a_perfect_space_has_the_best_value_of_every_measure() -> None:
    labels = np.repeat(np.arange(4), 10).astype(np.int32)
    evaluation = evaluate(
        np.eye(4)[labels], labels, classes=4, scarce=[0, 1], predictions={"knn": labels}
    )
    best = dict.fromkeys(evaluation.flat, 1.0)
    best |= dict.fromkeys(
        ("between_class_cosine", "scarce_between_class_cosine", "scarce_among_cosine"), 0.0
    )
    best["verification_eer"] = 0.0
    assert evaluation.flat == pytest.approx(best)


def test_without_rows_every_measure_is_nan() -> None:
    empty = np.zeros(0, dtype=np.int32)
    evaluation = evaluate(
        np.zeros((0, 3)), empty, classes=2, scarce=[0], predictions={"knn": empty}
    )
    assert np.isnan(list(evaluation.flat.values())).all()
    assert np.isnan(list(evaluation.per_class.values())).all()


def test_bad_predictions_and_scarce_ids_are_errors() -> None:
    embeddings, labels, _ = example()
    with pytest.raises(UserError, match=r"predictions of 'knn' have shape \(3,\)"):
        evaluate(embeddings, labels, classes=6, scarce=[], predictions={"knn": np.zeros(3, int)})
    with pytest.raises(UserError, match="scarce class 6 does not exist, expected 0 to 5"):
        evaluate(embeddings, labels, classes=6, scarce=[2, 6], predictions={})

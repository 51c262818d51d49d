from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from textmetric import TextEmbedder
from textmetric.embedder import STUDY
from textmetric.ensemble import TextEnsemble, balanced_groupings, number_of_groupings
from textmetric.errors import UserError
from textmetric.measures import class_centroids, retrieval, unit

WORDS = {
    "food": "apple pie juice bread",
    "road": "car bus truck lane",
    "body": "arm leg foot hand",
    "home": "bed sofa table lamp",
}
TEXTS = [
    f"{a} {b}" for words in WORDS.values() for a, b in itertools.permutations(words.split(), 2)
]
LABELS = np.repeat(list(WORDS), 12)
SMALL = TextEmbedder("cross_entropy", **STUDY | {"dim": 4, "epochs": 20, "batch_size": 16})


def groups(split: Any) -> frozenset[frozenset[int]]:
    return frozenset(frozenset(np.flatnonzero(split == m).tolist()) for m in np.unique(split))


def all_groupings(classes: int, meta_classes: int) -> set[frozenset[frozenset[int]]]:
    """By trying every assignment."""
    found = set()
    for assignment in itertools.product(range(meta_classes), repeat=classes):
        sizes = np.bincount(assignment, minlength=meta_classes)
        if sizes.max() - sizes.min() <= 1:
            found.add(groups(np.array(assignment)))
    return found


@pytest.mark.parametrize(
    ("classes", "meta_classes"), [(4, 2), (5, 2), (6, 3), (7, 3), (4, 4), (2, 2), (5, 4)]
)
def test_groupings_are_balanced_and_come_again_only_after_all_others(
    classes: int, meta_classes: int
) -> None:
    every = all_groupings(classes, meta_classes)
    assert number_of_groupings(classes, meta_classes) == len(every)
    groupings = balanced_groupings(classes, meta_classes, 2 * len(every) + 1, seed=0)
    met = [groups(grouping) for grouping in groupings]
    assert set(met[: len(every)]) == set(met[len(every) : -1]) == every
    sizes = [np.bincount(grouping, minlength=meta_classes) for grouping in groupings]
    assert all(size.max() - size.min() <= 1 for size in sizes)
    assert all(grouping[0] == 0 for grouping in groupings)  # numbered by their first class


def test_groupings_are_drawn_evenly_by_the_seed() -> None:
    first = [groups(balanced_groupings(4, 2, 1, seed)[0]) for seed in range(300)]
    counts = [first.count(split) for split in all_groupings(4, 2)]
    assert sum(counts) == 300
    assert min(counts) > 60  # 100 ± 5 standard deviations of 8
    many = balanced_groupings(219, 2, 50, seed=1)
    assert len({groups(grouping) for grouping in many}) == 50
    np.testing.assert_array_equal(many, balanced_groupings(219, 2, 50, seed=1))


def fitted(**options: Any) -> TextEnsemble:
    return TextEnsemble(SMALL, **({"members": 3} | options)).fit(TEXTS, LABELS)


def test_it_learns_embeds_and_predicts() -> None:
    ensemble = fitted()
    assert ensemble.transform(["apple bus", "nothing known"]).shape == (2, 12)
    assert ensemble.transform(TEXTS).dtype == np.float32
    assert not ensemble.transform(["nothing known", ""]).any()
    assert ensemble.transform([]).shape == (0, 12)
    assert ensemble.score(TEXTS, LABELS) == 1
    assert ensemble.predict(["bread juice", "leg arm"]).tolist() == ["food", "body"]


def test_the_three_groupings_of_four_classes_tell_them_apart_where_one_cannot() -> None:
    codes = np.unique(LABELS, return_inverse=True)[1]
    alone, together = (
        retrieval(fitted(members=members).transform(TEXTS), codes, ks=(1,)).map_at_r.mean()
        for members in (1, 3)
    )
    assert alone < 0.8
    assert together > 0.99


def test_a_member_is_an_embedder_of_its_own_meta_classes() -> None:
    ensemble = fitted(members=4, seed=5)
    codes = np.unique(LABELS, return_inverse=True)[1]
    assert ensemble.groupings_.shape == (4, 4)
    assert len({groups(grouping) for grouping in ensemble.groupings_}) == 3
    for member, grouping in zip(ensemble.members_, ensemble.groupings_, strict=True):
        alone = clone(SMALL).set_params(seed=member.seed).fit(TEXTS, grouping[codes])
        np.testing.assert_array_equal(alone.transform(TEXTS), member.transform(TEXTS))
        assert member.score(TEXTS, grouping[codes]) == 1
    assert len({member.seed for member in ensemble.members_}) == 4


def test_the_dot_product_is_the_mean_of_the_members_cosines() -> None:
    ensemble = fitted()
    rows = ensemble.transform(TEXTS).astype(np.float64)
    parts = [unit(member.transform(TEXTS)) for member in ensemble.members_]
    expected = np.mean([part @ part.T for part in parts], axis=0)
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-6)


def test_the_same_seed_gives_the_same_bytes_and_pickles() -> None:
    ensemble = fitted(seed=3)
    np.testing.assert_array_equal(ensemble.transform(TEXTS), fitted(seed=3).transform(TEXTS))
    assert (ensemble.transform(TEXTS) != fitted(seed=4).transform(TEXTS)).any()
    copied = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(copied.transform(TEXTS), ensemble.transform(TEXTS))
    np.testing.assert_array_equal(copied.predict(TEXTS), ensemble.predict(TEXTS))


def test_it_follows_the_contract_of_scikit_learn() -> None:
    template = clone(SMALL)
    ensemble = TextEnsemble(template, members=2, meta_classes=3, seed=1)
    before = ensemble.get_params()
    assert clone(ensemble).get_params()["embedder__dim"] == 4
    ensemble.set_params(embedder__objective="triplet").fit(TEXTS, LABELS)
    assert ensemble.get_params() == before | {"embedder__objective": "triplet"}
    assert not hasattr(template, "model_")
    model = make_pipeline(TextEnsemble(SMALL, members=2), KNeighborsClassifier(3))
    assert cross_val_score(model, TEXTS, LABELS, cv=2).shape == (2,)
    labels = np.repeat([7, 3, 5, 9], 12)
    assert TextEnsemble(SMALL, members=1).fit(TEXTS, labels).classes_.tolist() == [3, 5, 7, 9]


def test_progress_shows_a_bar_of_members(capsys: pytest.CaptureFixture[str]) -> None:
    fitted(members=2, progress=True)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"members": 0}, "members is 0, but it should be greater than or equal to 1"),
        ({"meta_classes": 1}, "meta_classes is 1, but it should be"),
        ({"meta_classes": 5}, "meta_classes is 5, but there are 4 classes: give fewer"),
        ({"seed": -1}, "seed is -1"),
        ({"embedder": TextEmbedder("cross_entropie")}, "did you mean 'cross_entropy'"),
        ({"embedder": TextEmbedder("triplet", objective_params={"margin": -1})}, "margin is -1"),
    ],
)
def test_a_bad_parameter_is_told_when_fitting(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TextEnsemble(**options).fit(TEXTS, LABELS)


def test_bad_input_is_told_and_nothing_learnt_says_so() -> None:
    with pytest.raises(UserError, match="text 1 is empty"):
        TextEnsemble().fit(["a b", " "], ["x", "y"])
    with pytest.raises(NotFittedError, match="call fit"):
        TextEnsemble().transform(TEXTS)


def test_texts_without_a_label_are_for_the_members_vocabulary_and_pretraining() -> None:
    texts = ["red apple pie", "green apple juice", "fast red car", "slow green car"] * 2
    labels = ["food", "food", "road", "road"] * 2
    template = TextEmbedder("cross_entropy", dim=4, epochs=3, lr=0.1, pretrain=None)
    plain = TextEnsemble(template, members=2).fit(texts, labels)
    more = TextEnsemble(template, members=2).fit(["", "tram pie", *texts][1:], ["", *labels])
    assert more.classes_.tolist() == ["food", "road"]
    assert set(more.predict(texts)) <= {"food", "road"}
    assert "tram" in more.members_[0].model_.vocabulary.tokens
    assert "tram" not in plain.members_[0].model_.vocabulary.tokens
    embeddings = more.transform(texts)
    expected = class_centroids(embeddings, np.array([0, 0, 1, 1] * 2), 2)
    np.testing.assert_allclose(more.centroids_, expected, atol=1e-6)
    template.set_params(pretrain={"epochs": 2, "batch_size": 4})
    after = TextEnsemble(template, members=2).fit(["tram pie", *texts], ["", *labels])
    assert not np.isclose(after.transform(["tram"]), more.transform(["tram"])).all()


def test_members_with_a_frozen_encoder_embed_the_same_vectors() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    values = rng.normal(size=(24, 6)) + 3 * np.eye(6)[labels]
    template = TextEmbedder(
        "cross_entropy", encoder="frozen", layer="linear", dim=4, lr=0.1, epochs=20, batch_size=8
    )
    ensemble = TextEnsemble(template, members=3).fit(values, labels)
    assert ensemble.transform(values).shape == (24, 12)
    assert ensemble.score(values, labels) > 0.9
    member = ensemble.members_[0]
    np.testing.assert_allclose(
        ensemble.transform(values)[:, :4] * np.sqrt(3),
        unit(member.transform(values)),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip

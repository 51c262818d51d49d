from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from textmetric import TextEmbedder
from textmetric.errors import UserError

TEXTS = [
    "green apple pie", "red apple juice", "bread with cheese", "cheese and apple", "pie of rice",
    "fast red car", "slow green bus", "the car and the bus", "a truck with a car", "bus lane",
]  # fmt: skip
LABELS = ["food"] * 5 + ["road"] * 5
OBJECTIVES = pytest.mark.parametrize("objective", ["triplet", "cross_entropy"])


def fitted(objective: str = "triplet", **options: object) -> TextEmbedder:
    options = {"dim": 8, "epochs": 30, "batch_size": 8} | options
    return TextEmbedder(objective, **options).fit(TEXTS, LABELS)


@OBJECTIVES
def test_it_learns_embeds_and_predicts(objective: str) -> None:
    embedder = fitted(objective)
    assert embedder.transform(["apple bus", "nothing known"]).shape == (2, 8)
    assert not embedder.transform(["nothing known", ""]).any()
    assert embedder.predict(["rice with cheese", "the truck lane"]).tolist() == ["food", "road"]
    assert embedder.score(TEXTS, LABELS) == 1
    assert embedder.transform([]).shape == (0, 8)


@OBJECTIVES
def test_a_loaded_embedder_gives_the_same(objective: str, tmp_path: Path) -> None:
    embedder = fitted(objective)
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(TEXTS), embedder.transform(TEXTS))
    np.testing.assert_array_equal(loaded.predict(TEXTS), embedder.predict(TEXTS))
    assert loaded.objective == objective
    copied = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(copied.transform(TEXTS), embedder.transform(TEXTS))


def test_labels_keep_their_type() -> None:
    embedder = TextEmbedder(dim=4, epochs=5).fit(TEXTS, np.repeat([7, 3], 5))
    assert embedder.classes_.tolist() == [3, 7]
    assert embedder.predict(TEXTS).dtype == np.int64


def test_it_follows_the_contract_of_scikit_learn() -> None:
    embedder = TextEmbedder("triplet", objective_params={"margin": 0.5}, dim=4, epochs=5)
    parameters = embedder.get_params()
    assert clone(embedder).get_params() == parameters
    embedder.fit(TEXTS, LABELS)
    assert embedder.get_params() == parameters
    model = make_pipeline(TextEmbedder(dim=8, epochs=30), KNeighborsClassifier(3))
    assert cross_val_score(model, TEXTS, LABELS, cv=2).shape == (2,)
    assert model.fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1


def test_fitting_again_forgets_the_first_texts() -> None:
    embedder = fitted()
    embedder.fit(["one two", "one two three", "four five", "four"], [0, 0, 1, 1])
    assert not embedder.transform(["apple"]).any()
    assert embedder.classes_.tolist() == [0, 1]


def test_same_seed_same_bytes() -> None:
    np.testing.assert_array_equal(fitted(seed=3).transform(TEXTS), fitted(seed=3).transform(TEXTS))
    assert (fitted(seed=3).transform(TEXTS) != fitted(seed=4).transform(TEXTS)).any()


def test_progress_shows_a_bar_of_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    fitted(epochs=3, progress=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ("one text", ["a"], "texts is one string"),
        (["a b", "c d"], ["x"], "2 texts came with labels of shape"),
        (["a b", " "], ["x", "y"], "text 1 is empty"),
        (["a b", None], ["x", "y"], "text 1 is None, expected a string"),
        (["a b", "c d"], ["x", float("nan")], "a label is NaN"),
        (["a b", "c d"], np.array([1.0, np.nan]), "a label is NaN"),
        (["a b", "c d"], ["x", ""], "1 classes and 1 texts without a label"),
        (["a b", "c d"], [-1, -1], r"0 classes and 2 texts without a label \(-1, None or empty\)"),
        (["a b", "c d"], [None, None], "expected at least two: label texts of two or more"),
        (["a b", "c d", "e"], ["x", "y", "x"], "class 'y' has one text"),
        (["a b", "c d"], ["x", "x"], "1 classes, expected at least two"),
        (["a b", "c d", "e"], ["x", "x", "y"], "class 'y' has one text"),
    ],
)
def test_bad_input_is_told_in_one_sentence(texts: object, labels: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TextEmbedder().fit(texts, labels)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "tripplet"}, "did you mean 'triplet'"),
        ({"objective_params": {"margin": -1}}, "margin is -1"),
        ({"objective_params": {"margn": 1}}, "did you mean 'objective_params.margin'"),
        ({"objective_params": {"power": 2}}, "'power', which 'triplet' does not have"),
        ({"sampler": "balance"}, "did you mean 'balanced'"),
        ({"dim": 0}, "^dim is 0"),
        ({"optimizer": "lbfgs"}, "unknown optimizer 'lbfgs'"),
        ({"min_freq": 0}, "min_freq"),
        ({"device": "gpu"}, "use auto, cpu or cuda"),
        ({"pretrain": {"objective": "triplet"}}, "'triplet', which needs labels: choose"),
        ({"pretrain": {"epoch": 2}}, "unknown key 'pretrain.epoch'; did you mean 'epochs'"),
        ({"pretrain": {"epochs": 0}}, "pretrain.epochs is 0"),
        ({"pretrain": {"parameters": {"tau": 1}}}, "unknown parameter 'pretrain.parameters.tau'"),
    ],
)
def test_a_bad_parameter_is_told_when_fitting(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TextEmbedder(**options).fit(TEXTS, LABELS)


def test_an_embedder_that_has_learnt_nothing_says_so() -> None:
    with pytest.raises(NotFittedError, match="call fit or load"):
        TextEmbedder().transform(TEXTS)


MORE = ["cheese on toast", "a toast with jam", "the tram lane", "a tram and the bus"]
UNLABELLED = [
    ([0] * 5 + [1] * 5, -1),
    (np.repeat([3, 7], 5), -1),
    (np.repeat([0.0, 2.0], 5), -1.0),
    (LABELS, ""),
    (LABELS, " "),
    (LABELS, None),
    (LABELS, -1),
    (np.array(LABELS, dtype=object), np.int64(-1)),
    ([0] * 5 + [1] * 5, None),
]


@pytest.mark.parametrize(("labels", "none"), UNLABELLED)
def test_a_text_without_a_label_counts_for_the_vocabulary_and_for_nothing_else(
    labels: Any, none: Any
) -> None:
    # first, last and in between: places of rows must not be mixed up
    texts = [*MORE[:1], *TEXTS[:4], *MORE[1:3], *TEXTS[4:], *MORE[3:]]
    mixed = [none, *labels[:4], none, none, *labels[4:], none]
    if isinstance(labels, np.ndarray):
        mixed = np.array(mixed, dtype=labels.dtype)
    plain = TextEmbedder(dim=8, epochs=3).fit(TEXTS, labels)
    more = TextEmbedder(dim=8, epochs=3).fit(texts, mixed)
    assert more.classes_.tolist() == plain.classes_.tolist()
    assert set(more.predict(texts)) <= set(plain.classes_.tolist())
    assert {"toast", "tram", "jam"} <= set(more.model_.vocabulary.tokens)
    assert more.model_.centroids.shape == (2, 8)
    # the same steps: as many as the labelled rows give, whose tokens alone have moved
    assert [row["epoch"] for row in more.curve_] == [1, 2, 3]
    untrained = TextEmbedder(dim=8, epochs=3, lr=1e-30).fit(texts, mixed)
    ids = more.model_.vocabulary.ids
    still = [
        bool(np.allclose(*(e.model_.encoder.weight.detach()[ids[w]] for e in (more, untrained))))
        for w in ("toast", "jam", "on", "apple", "car")
    ]
    assert still == [True, True, True, False, False]


def test_the_string_of_minus_one_and_a_truth_are_labels() -> None:
    assert TextEmbedder(dim=4, epochs=1).fit(TEXTS, ["-1"] * 5 + ["1"] * 5).classes_.tolist() == [
        "-1",
        "1",
    ]
    assert TextEmbedder(dim=4, epochs=1).fit(TEXTS, [True] * 5 + [False] * 5).classes_.tolist() == [
        False,
        True,
    ]


def test_pretraining_learns_from_texts_without_a_label() -> None:
    pretrain = {"objective": "inverse_cloze", "epochs": 3, "batch_size": 8}
    embedder = TextEmbedder(dim=8, epochs=2, pretrain=pretrain)
    assert clone(embedder).get_params()["pretrain"] == pretrain
    one, two, without = (
        estimator.fit([*TEXTS, *MORE], [*LABELS, *none]).transform(["toast jam"])
        for estimator, none in (
            (embedder, [""] * 4),
            (clone(embedder), [None] * 4),
            (TextEmbedder(dim=8, epochs=2), [""] * 4),
        )
    )
    np.testing.assert_array_equal(one, two)
    assert not np.isclose(one, without).any()
    assert len(embedder.curve_) == 2


def test_the_bar_counts_the_epochs_of_the_pretraining(capsys: pytest.CaptureFixture[str]) -> None:
    fitted(epochs=3, pretrain={"epochs": 2}, progress=True)
    assert "5/5" in capsys.readouterr().err

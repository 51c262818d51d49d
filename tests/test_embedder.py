from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from tests.tiny import WITH_MINILM
from textmetric import TextEmbedder
from textmetric import embedder as embedder_module
from textmetric.embedder import STUDY
from textmetric.encoders.vectors import standardised
from textmetric.ensemble import TextEnsemble
from textmetric.errors import UserError
from textmetric.mahalanobis import Mahalanobis
from textmetric.params import read
from textmetric.text import BASIC_ENGLISH, TokenVectors, Vocabulary
from textmetric.training.loop import train
from textmetric.training.selection import Choice

TEXTS = [
    "green apple pie", "red apple juice", "bread with cheese", "cheese and apple", "pie of rice",
    "fast red car", "slow green bus", "the car and the bus", "a truck with a car", "bus lane",
]  # fmt: skip
LABELS = ["food"] * 5 + ["road"] * 5
OBJECTIVES = pytest.mark.parametrize("objective", ["triplet", "cross_entropy"])


def fitted(objective: str = "triplet", **options: object) -> TextEmbedder:
    small = {"dim": 8, "epochs": 30, "batch_size": 8, "lr": 0.1, "start": "uniform"}
    options = small | {"calibrate": False} | options
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
    embedder = TextEmbedder("triplet", objective_params={"margin": 0.5}, epochs=5)
    parameters = embedder.get_params()
    assert clone(embedder).get_params() == parameters
    embedder.fit(TEXTS, LABELS)
    assert embedder.get_params() == parameters
    model = make_pipeline(TextEmbedder(dim=8, epochs=30, lr=0.1), KNeighborsClassifier(3))
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
        (None, ["a"], "texts is a NoneType, expected a list of texts"),
        (pd.DataFrame({"text": ["a b"], "label": ["x"]}), ["x"], "texts is a DataFrame, expected"),
        ({"text": ["a b"], "label": ["x"]}, ["x", "y"], "texts is a dict, expected"),
        ({"a b", "c d"}, ["x", "y"], "texts is a set, expected"),
        (np.array([["a b", "c d"]]), ["x"], "texts is a ndarray, expected a list of texts: pass"),
        (pd.Series(["a b", pd.NA], dtype=object), ["x", "y"], "text 1 is <NA>, expected a string"),
        (["a b", np.zeros((9, 9))], ["x", "y"], r"text 1 is array\(\[\[0[^\n]{50}…, expected"),
        (["a b", "c d"], ["x", float("nan")], "label 1 is nan, a missing value: fill it in"),
        (["a b", "c d"], np.array([1, np.nan], np.float32), "label 1 is .*, a missing value"),
        (["a b", "c d"], pd.Series([1, pd.NA], dtype="Int64"), "label 1 is <NA>, a missing value"),
        (["a b", "c d"], np.array(["x", np.nan]), "label 1 is .*'nan'.*, a missing value"),
        (["a b", "c d"], ["x", "<NA>"], "label 1 is '<NA>', a missing value"),
        (["a b", "c d"], [pd.NaT, pd.Timestamp(0)], "label 0 is NaT, a missing value"),
        (["a b", "c d"], np.ma.array([1, 2], mask=[True, False]), "label 0 is nan, a missing"),
        (["a b", "c d"], [1.0, np.inf], "label 1 is inf, expected a string, a finite number or"),
        (["a b", "c d"], ["x", 7], "label 0 is the string 'x', but label 1 is the number 7"),
        (["a b", "c d"], [2, True], "label 1 is the truth value True: give all labels the same"),
        (["a b", "c d"], [["x"], ["y", "z"]], r"label 0 is \['x'\], expected a string"),
        (["a b", "c d"], [("x", "y"), ("y", "z")], r"labels of shape \(2, 2\): pass one label"),
        (["a b", "c d"], pd.DataFrame(np.eye(2)), r"labels of shape \(2, 2\): pass one label"),
        (["a b", "c d"], [0.5, 1.5], "Unknown label type: continuous numbers such as 0.5: round"),
        (["a b", "c d"], {"x": 0, "y": 1}, r"labels of shape \(\): pass one label a text"),
        (["a b", "c d"], [b"x", b"y"], "label 0 is b'x', expected a string"),
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
        ({"objective": "triplet", "objective_params": {"margin": -1}}, "margin is -1"),
        (
            {"objective": "triplet", "objective_params": {"margn": 1}},
            "did you mean 'objective_params.margin'",
        ),
        ({"objective_params": {"power": 2}}, "'power', which 'sup_con' does not have"),
        ({"sampler": "balance"}, "did you mean 'balanced'"),
        ({"dim": 0}, "^dim is 0"),
        ({"dim": "wide"}, "^dim is 'wide'"),
        ({"lr": 0}, "^lr is 0"),
        ({"epochs": "many"}, "^epochs is 'many'"),
        ({"classifier": "svm"}, "unknown classifier 'svm'. Known: auto"),
        ({"tokenizer": "word"}, "did you mean 'words'"),
        ({"start": "lda"}, "did you mean 'lsa'"),
        ({"weights": "idf"}, "but weights is idf: set start to uniform"),
        ({"optimizer": "lbfgs"}, "unknown optimizer 'lbfgs'"),
        ({"min_freq": 0}, "^min_freq is 0, but it should be"),
        ({"min_freq": "two"}, "^min_freq is 'two', but it should be"),
        ({"max_size": -3}, "^max_size is -3, but it should be"),
        ({"max_size": 1.5}, "^max_size is 1.5, but it should be"),
        ({"seed": -1}, "^seed is -1, but it should be"),
        ({"seed": "zero"}, "^seed is 'zero', but it should be"),
        ({"seed": None}, "^seed is None, but it should be"),
        ({"weights": "tfidf"}, "unknown weights 'tfidf'"),
        ({"objective_params": "margin"}, "^objective_params is 'margin', but .* a mapping"),
        ({"pretrain": "inverse_cloze"}, "^pretrain is 'inverse_cloze', but .* a mapping"),
        ({"device": "gpu"}, "should be auto, cpu or cuda"),
        ({"pretrain": {"objective": "triplet"}}, "'triplet', which needs labels: choose"),
        ({"dim": 1 << 20}, r"^dim is 1048576, but .* to 16384 \(default 'auto'\)"),
        ({"dim": 16.0}, "^dim is 16.0, but .* a valid integer"),
        ({"dim": True}, "^dim is True, but .* a valid integer"),
        ({"lr": "0.1"}, r"^lr is '0.1', but .* a valid number \(default 'auto'\)"),
        ({"lr": float("inf")}, "^lr is inf"),
        ({"epochs": 10**9}, "^epochs is 1000000000, but .* to 100000"),
        ({"batch_size": 10**9}, "^batch_size is 1000000000"),
        ({"seed": 1 << 32}, "^seed is 4294967296, but .* less than 4294967296"),
        ({"tune_vectors": "no"}, r"^tune_vectors is 'no', but .* boolean \(default True\)"),
        ({"progress": 1}, "^progress is 1, but .* boolean"),
        ({"tokenizer": "given"}, "^unknown tokenizer 'given'. Known: basic_english"),
        ({"tokenizer": "basic_english_ngrams", "vectors": "a.vec"}, "^tokenizer is .*'words', or"),
        ({"encoder": "frozen"}, "^encoder is frozen and layer is bag"),
        ({"objective": "triplet", "objective_params": {"margin": True}}, "_params.margin is True"),
        ({"pretrain": {"epochs": True}}, r"^pretrain.epochs is True, but .*\(default 5\)"),
        ({"pretrain": {"epoch": 2}}, "unknown key 'pretrain.epoch'; did you mean 'epochs'"),
        ({"pretrain": {"epochs": 0}}, "pretrain.epochs is 0"),
        ({"pretrain": {"parameters": {"tau": 1}}}, "unknown parameter 'pretrain.parameters.tau'"),
    ],
)
def test_a_bad_parameter_is_told_when_fitting(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TextEmbedder(**options).fit(TEXTS, LABELS)


def trained_with(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each training gets, from now on."""
    calls: list[dict[str, Any]] = []

    def spy(corpus: Any, **arguments: Any) -> Any:
        calls.append(arguments)
        return train(corpus, **arguments)

    monkeypatch.setattr(embedder_module, "train", spy)
    return calls


@pytest.mark.parametrize(
    ("rows", "classes", "epochs", "batch_size"),
    [(60, 29, 10, 64), (60, 30, 10, 256), (15_000, 2, 7, 64)],
)
def test_epochs_and_batches_follow_the_texts(
    rows: int, classes: int, epochs: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = trained_with(monkeypatch)
    texts = [f"word{row % 7} word{row % 5}" for row in range(rows)]
    embedder = TextEmbedder(dim=2, lr=0.1).fit(texts, np.arange(rows) % classes)
    settings = calls[0]["settings"]
    assert (settings.epochs, settings.batch_size, settings.lr) == (epochs, batch_size, 0.1)
    assert embedder.lr_ == 0.1
    assert (embedder.model_.logistic is None) == (rows > 2000 or classes >= 30)


def test_the_learning_rate_is_chosen_and_the_bar_counts_its_trainings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = trained_with(monkeypatch)
    monkeypatch.setattr(
        embedder_module,
        "choose_lr",
        lambda *_, tick, **__: [tick() for _ in range(25)] and Choice(0.03, 2.0, 0.5),
    )
    embedder = TextEmbedder(dim=4, epochs=2, progress=True).fit(TEXTS, LABELS)
    assert embedder.lr_ == calls[0]["settings"].lr == 0.03
    assert "52/52" in capsys.readouterr().err
    assert embedder.get_params()["lr"] == "auto"
    assert embedder.temperature_ == 2.0


def test_texts_without_a_label_are_learnt_from_before_by_default() -> None:
    texts, labels = [*TEXTS, *MORE], [*LABELS, *[""] * 4]
    options: dict[str, Any] = {"dim": 8, "epochs": 2, "lr": 0.1}
    given = {"objective": "inverse_cloze", "epochs": 3, "lr": 0.1}

    def embeddings(pretrain: Any, texts: list[str], labels: list[str]) -> np.ndarray:
        return TextEmbedder(pretrain=pretrain, **options).fit(texts, labels).transform(TEXTS)

    np.testing.assert_array_equal(
        embeddings("auto", texts, labels), embeddings(given, texts, labels)
    )
    assert (embeddings(None, texts, labels) != embeddings(given, texts, labels)).any()
    np.testing.assert_array_equal(
        embeddings("auto", TEXTS, LABELS), embeddings(None, TEXTS, LABELS)
    )


def test_the_logistic_regression_is_that_of_the_unit_embeddings(tmp_path: Path) -> None:
    embedder = fitted(classifier="logistic")
    unit = normalize(embedder.transform(TEXTS))
    twin = LogisticRegression(max_iter=1000).fit(unit, LABELS)
    few = ["apple bus", "cheese lane", "rice"]
    expected = twin.predict(normalize(embedder.transform(few)))
    assert embedder.predict(few).tolist() == expected.tolist()
    embedder.save(tmp_path / "model")
    assert TextEmbedder.load(tmp_path / "model").predict(few).tolist() == expected.tolist()
    by_centroid = fitted(classifier="centroid")
    assert by_centroid.model_.logistic is None
    with pytest.raises(UserError, match="no logistic regression: predict by the nearest"):
        by_centroid.model_.predict_logistic(unit)


def test_the_studys_settings_are_those_of_the_pipeline() -> None:
    params = read("params.yaml")
    embedder = TextEmbedder("triplet", **STUDY)
    assert embedder.dim == params.model.dim
    for name in ("epochs", "batch_size", "lr", "optimizer", "decay"):
        assert getattr(embedder, name) == getattr(params.train, name)
    assert (embedder.start, embedder.tokenizer) == (params.model.start, BASIC_ENGLISH.name)


def test_the_folder_of_saved_token_vectors_is_a_name_of_vectors(tmp_path: Path) -> None:
    words = Vocabulary(["<unk>", "apple", "bus", "car"])
    values = np.array([[0, 0], [1, 0], [0, 1], [0.1, 1]], dtype=np.float32)
    TokenVectors(words, values).save(tmp_path / "vectors")
    embedder = TextEmbedder(vectors=str(tmp_path / "vectors"), lr=0.01, epochs=1)
    embedder.fit(TEXTS, LABELS)
    assert embedder.transform(["car"]).shape == (1, 2)  # dim is at most their width
    assert embedder.predict(["apple", "car"]).tolist() == ["food", "road"]


def test_numbers_of_numpy_are_parameters(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "dim": 8, "epochs": 3, "batch_size": 8, "lr": 0.25, "min_freq": 1, "max_size": 20,
        "seed": 5, "tune_vectors": True, "objective_params": {"margin": 0.5},
        "pretrain": {"objective": "inverse_cloze", "epochs": 2},
    }  # fmt: skip
    kinds = {int: np.int64, float: np.float32, bool: np.bool_}

    def of_numpy(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: of_numpy(item) for key, item in value.items()}
        return kinds[type(value)](value) if type(value) in kinds else value

    plain, other = fitted(**options), fitted(**of_numpy(options))
    np.testing.assert_array_equal(other.transform(TEXTS), plain.transform(TEXTS))
    for embedder, name in ((plain, "plain"), (other, "other")):
        embedder.save(tmp_path / name)
    written = [(tmp_path / name / "model.json").read_bytes() for name in ("plain", "other")]
    assert written[0] == written[1]
    search = GridSearchCV(
        TextEmbedder("triplet", epochs=2, lr=0.1), {"dim": np.arange(4, 6), "seed": np.arange(2)},
        cv=2, error_score="raise",
    )  # fmt: skip
    assert search.fit(TEXTS, LABELS).best_params_["dim"] in (4, 5)


def test_fit_and_load_leave_the_random_state_of_torch_and_numpy_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    for objective in ("triplet", "cross_entropy"):
        fitted(objective, layer="mlp", lr=0.1, epochs=1, pretrain={"epochs": 1}).save(
            tmp_path / "model"
        )
        TextEmbedder.load(tmp_path / "model")
    TextEmbedder("cross_entropy", dim=4, epochs=1).fit(TEXTS, LABELS)
    TextEnsemble(TextEmbedder("cross_entropy", dim=4, epochs=1, lr=0.1), members=2).fit(
        TEXTS, LABELS
    )
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


RECIPES: list[dict[str, Any]] = [
    {
        "objective": "triplet", "objective_params": {"margin": 0.4}, "sampler": "shuffled",
        "dim": 6, "layer": "mlp", "start": "uniform", "weights": "idf", "epochs": 2,
        "batch_size": 5, "optimizer": "adam", "lr": 0.02, "decay": "constant",
        "min_freq": 2, "max_size": 9, "tokenizer": "basic_english", "classifier": "centroid",
        "pretrain": {"objective": "inverse_cloze", "parameters": {}, "epochs": 2, "batch_size": 5,
                     "lr": 0.2},
        "seed": 4, "device": "cpu",
    },
    {
        "objective": "norm_softmax", "dim": 4, "layer": "linear", "epochs": 2, "batch_size": 5,
        "tune_vectors": False, "seed": 1,
    },
]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["objective"])
def test_a_loaded_embedder_has_the_parameters_that_trained_it(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    embedder = TextEmbedder(**recipe).fit(TEXTS, LABELS)
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert recipe.items() <= loaded.get_params().items()
    clone(loaded).fit(TEXTS, LABELS).save(tmp_path / "again")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


@OBJECTIVES
def test_a_loaded_embedder_has_what_auto_has_chosen(objective: str, tmp_path: Path) -> None:
    texts, labels = [*TEXTS, *MORE], [*LABELS, *[""] * len(MORE)]
    embedder = TextEmbedder(objective).fit(texts, labels)
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert "auto" not in [loaded.get_params()[name] for name in ("dim", "epochs", "lr", "pretrain")]
    assert (loaded.lr, loaded.lr_) == (embedder.lr_, embedder.lr_)
    assert loaded.pretrain["objective"] == "inverse_cloze"
    np.testing.assert_array_equal(loaded.predict(texts), embedder.predict(texts))
    clone(loaded).fit(texts, labels).save(tmp_path / "again")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


VALUES = np.random.default_rng(0).normal(size=(2000, 64))
MANY = [" ".join(TEXTS)] * 2000


def forkable() -> dict[str, Callable[[], Any]]:
    bag = TextEmbedder("triplet", dim=64, epochs=1, lr=0.1).fit(TEXTS, LABELS)
    head = TextEmbedder("cross_entropy", dim=64, layer="mlp", epochs=1).fit(TEXTS, LABELS)
    given = TextEmbedder("cross_entropy", encoder="frozen", layer="mlp", dim=64, epochs=1, lr=0.1)
    given.fit(VALUES[:10], LABELS)
    ensemble = TextEnsemble(head, members=2).fit(TEXTS, LABELS)
    distance = Mahalanobis(max_iter=2).fit(VALUES[:100], np.arange(100) % 2)
    return {
        "bag": lambda: bag.transform(MANY),
        "head": lambda: head.predict(MANY),
        "frozen": lambda: given.transform(VALUES),
        "ensemble": lambda: ensemble.predict(MANY),
        "model": lambda: bag.model_.embed_texts(MANY),
        "mahalanobis": lambda: distance.transform(VALUES),
        "fit": lambda: bag.fit(TEXTS, LABELS).transform(MANY),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other systems start a new interpreter")
def test_a_forked_child_can_do_what_its_parent_has_done_with_several_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for name, call in forkable().items():
            call()
            child = multiprocessing.get_context("fork").Process(target=call, daemon=True)
            child.start()
            child.join(60)
            assert child.exitcode == 0, name  # None: it waits for threads that it lacks
    finally:
        torch.set_num_threads(before)


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
            (TextEmbedder(dim=8, epochs=2, pretrain=None), [""] * 4),
        )
    )
    np.testing.assert_array_equal(one, two)
    assert not np.isclose(one, without).any()
    assert len(embedder.curve_) == 2


def test_the_bar_counts_the_epochs_of_the_pretraining(capsys: pytest.CaptureFixture[str]) -> None:
    fitted(epochs=3, pretrain={"epochs": 2}, progress=True)
    assert "5/5" in capsys.readouterr().err


def vectors_of(texts: list[str]) -> np.ndarray:
    """Vectors (n, 5) that tell the two classes apart, and no two texts alike."""
    food = [float("apple" in text or "cheese" in text or "rice" in text) for text in texts]
    noise = [[len(text), text.count("a"), text.count("e"), 1] for text in texts]
    return np.column_stack([food, np.array(noise) / 20])


def fitted_to_vectors(objective: str = "triplet", **options: object) -> TextEmbedder:
    fixed = {"encoder": "frozen", "layer": "linear", "dim": 4, "epochs": 60, "batch_size": 8}
    options = fixed | {"lr": 0.1} | options
    return TextEmbedder(objective, **options).fit(vectors_of(TEXTS), LABELS)


@OBJECTIVES
def test_a_frozen_encoder_learns_a_projection_of_given_vectors(
    objective: str, tmp_path: Path
) -> None:
    embedder, values = fitted_to_vectors(objective), vectors_of(TEXTS)
    assert embedder.transform(values).shape == (10, 4)
    assert embedder.score(values, LABELS) == 1
    layer = embedder.model_.encoder.projection
    np.testing.assert_allclose(
        embedder.transform(values),
        values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy(),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert (loaded.encoder, loaded.layer, loaded.vectors) == ("frozen", "linear", None)
    for other in (loaded, pickle.loads(pickle.dumps(embedder))):
        np.testing.assert_array_equal(other.transform(values), embedder.transform(values))
        np.testing.assert_array_equal(other.predict(values), embedder.predict(values))
    loaded.save(tmp_path / "again")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    clone(embedder).fit(values, LABELS).save(tmp_path / "clone")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "clone" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_training_leaves_the_given_vectors_as_they_are() -> None:
    values = vectors_of(TEXTS).astype(np.float32)
    before = values.copy()
    embedder = TextEmbedder(encoder="frozen", layer="linear", dim=4, lr=0.1, epochs=5, batch_size=8)
    embedder.fit(values, LABELS).transform(values)
    np.testing.assert_array_equal(values, before)


def test_a_saved_frozen_model_does_not_grow_with_the_texts() -> None:
    embedder = fitted_to_vectors()
    assert set(embedder.model_.encoder.arrays()) == {"projection.weight", "projection.bias"}
    assert len(embedder.model_.encoder.weight) == 0


def test_a_frozen_encoder_works_with_the_rest_of_scikit_learn() -> None:
    values = np.repeat(vectors_of(TEXTS), 2, axis=0)
    embedder = TextEmbedder(encoder="frozen", layer="mlp", dim=4, lr=0.1, epochs=20, batch_size=8)
    pipeline = make_pipeline(embedder, KNeighborsClassifier(1))
    assert cross_val_score(pipeline, values, np.repeat(LABELS, 2), cv=2).min() > 0.8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "bag"}, "and layer is bag, so nothing would be trained"),
        ({"encoder": "forzen"}, "unknown encoder 'forzen'; did you mean 'frozen'"),
        ({"objective": "invariant_spreading"}, "compares altered copies of a text"),
        ({"vectors": "no/such-model"}, r"texts is a ndarray, expected a list of texts"),
    ],
)
def test_a_frozen_encoder_refuses_what_it_cannot_train(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        fitted_to_vectors(**options)


def test_a_mistake_in_given_vectors_is_one_sentence() -> None:
    embedder, values = fitted_to_vectors(), vectors_of(TEXTS)
    missing = values.copy()
    missing[3, 2] = np.nan
    with pytest.raises(UserError, match="in row 3"):
        embedder.transform(missing)
    with pytest.raises(UserError, match="in row 3"):
        embedder.fit(missing, LABELS)
    with pytest.raises(UserError, match="in row 3"):
        embedder.transform(np.ma.masked_invalid(missing))
    with pytest.raises(UserError, match="X has 4 features, but TextEmbedder is expecting 5"):
        embedder.predict(values[:, 1:])
    with pytest.raises(UserError, match="not strings: give one, or name a sentence encoder"):
        embedder.transform(TEXTS)
    with pytest.raises(UserError, match="not strings: give one, or name a sentence encoder"):
        embedder.fit(TEXTS, LABELS)
    with pytest.raises(UserError, match="10 texts came with labels of shape"):
        embedder.fit(values, LABELS[1:])
    table = pd.DataFrame(values)
    np.testing.assert_array_equal(embedder.transform(table), embedder.transform(values))
    with pytest.raises(UserError, match="could not convert string to float"):
        embedder.transform(pd.DataFrame({"text": TEXTS}))
    with pytest.raises(UserError, match="the text vectors: setting an array element"):
        embedder.transform([[1.0, 2.0], [3.0]])
    with pytest.raises(UserError, match="by their tokens, not given vectors"):
        fitted(epochs=1).model_.embed(values.astype(np.float32))


def test_ngrams_tell_words_that_no_text_had_and_are_saved(tmp_path: Path) -> None:
    embedder = fitted("triplet", tokenizer="basic_english_ngrams", epochs=30)
    new = ["applesauce", "cheesy"]  # TEXTS has apple and cheese, of food
    assert not fitted("triplet", epochs=1).transform(new).any()
    assert embedder.predict(new).tolist() == ["food", "food"]
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert loaded.tokenizer == "basic_english_ngrams"
    np.testing.assert_array_equal(loaded.transform(new), embedder.transform(new))


@pytest.mark.parametrize("tuned", [True, False])
def test_given_token_vectors_are_where_a_bag_starts(tmp_path: Path, tuned: bool) -> None:
    words = sorted({word for text in TEXTS for word in text.split()} - {"lane"})
    rng = np.random.default_rng(0)
    table = {word: rng.normal(size=6).round(3) for word in words}
    path = tmp_path / "words.vec"
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in table.items()))
    embedder = TextEmbedder(
        dim=4, layer="linear", vectors=str(path), tune_vectors=tuned, epochs=5, batch_size=8, lr=0.1
    ).fit(TEXTS, LABELS)
    vocabulary = embedder.model_.vocabulary
    assert ("lane" in vocabulary.ids) == tuned  # frozen at zero it would say nothing
    weight = embedder.model_.encoder.weight.detach().numpy()
    start = standardised(
        np.array([np.zeros(6), *table.values()], np.float32), vocabulary.encode(TEXTS)
    )[1:]
    moved = [
        not np.allclose(weight[vocabulary.ids[word]], vector, atol=1e-6)
        for word, vector in zip(table, start, strict=True)
    ]
    assert any(moved) == tuned
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(TEXTS), embedder.transform(TEXTS))
    with pytest.raises(UserError, match="tune_vectors is False and layer is bag"):
        TextEmbedder(vectors=str(path), tune_vectors=False, dim=6).fit(TEXTS, LABELS)


@WITH_MINILM
def test_with_a_real_sentence_encoder_it_takes_texts(tmp_path: Path) -> None:
    embedder = TextEmbedder(
        "cross_entropy", encoder="frozen", layer="linear", vectors="all-MiniLM-L6-v2", dim=8,
        epochs=30, batch_size=8, lr=0.1,
    ).fit(TEXTS, LABELS)  # fmt: skip
    # no word of these was seen in training
    assert embedder.predict(["tomato soup", "motorway traffic"]).tolist() == ["food", "road"]
    assert embedder.transform([]).shape == (0, 8)
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(TEXTS), embedder.transform(TEXTS))
    vectors = embedder.model_.encode(TEXTS)
    np.testing.assert_array_equal(embedder.transform(vectors), embedder.transform(TEXTS))
    np.testing.assert_array_equal(embedder.model_.embed_texts(TEXTS), embedder.transform(TEXTS))
    loaded.model_.encoder.sha256 = "0" * 64
    with pytest.raises(UserError, match=r"sha256 53aa51172d14…, but 000000000000…"):
        loaded.transform(TEXTS)


def test_halves_of_a_character_that_would_become_one_are_refused_in_labels() -> None:
    with pytest.raises(UserError, match=r"label 1 is 'a.ud83d.ude00', where two halves"):
        TextEmbedder().fit(TEXTS[:4], ["b", "a\ud83d" + "\ude00", "b", "a"])


def test_word_vectors_that_are_no_file_are_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.vec")
    for name, said in [("pipe.vec", "is a pipe, not a file"), ("none.vec", "does not exist")]:
        with pytest.raises(UserError, match=said):
            TextEmbedder(vectors=str(tmp_path / name)).fit(TEXTS, LABELS)


def test_a_width_that_given_vectors_lack_is_named_by_its_keyword(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("apple 1 2\npie 3 4\ncar 1 1\n")
    with pytest.raises(UserError, match=r"^dim is 3, but .* lower dim, or set layer to linear"):
        TextEmbedder(vectors=str(tmp_path / "a.vec"), dim=3).fit(TEXTS, LABELS)

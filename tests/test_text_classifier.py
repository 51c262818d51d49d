"""The contract that TextEmbedder, TextEnsemble and Mahalanobis share with scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.test_embedder import LABELS, TEXTS
from textmetric import TextEmbedder
from textmetric.ensemble import TextEnsemble
from textmetric.errors import UserError
from textmetric.mahalanobis import Mahalanobis
from textmetric.text_classifier import TextClassifier

# scikit-learn's checks are of arrays of numbers, so they run on embedders of given vectors.
OF_VECTORS = TextEmbedder(encoder="frozen", layer="linear", dim=8, lr=0.1, epochs=4)
CANNOT_APPLY = {
    "check_classifiers_classes": "the label -1 marks a text without a label, as in "
    "sklearn.semi_supervised",
}


@parametrize_with_checks(
    [OF_VECTORS, TextEnsemble(OF_VECTORS, members=2), Mahalanobis(pairs=100)],
    expected_failed_checks=lambda estimator: (
        CANNOT_APPLY if isinstance(estimator, TextClassifier) else {}
    ),
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)  # one of scikit-learn's checks, which raises if it fails


SMALL: dict[str, Any] = {"dim": 8, "epochs": 30, "batch_size": 8, "lr": 0.1, "start": "uniform"}
KINDS = {
    "head": TextEmbedder("cross_entropy", **SMALL),
    "logistic": TextEmbedder("triplet", classifier="logistic", **SMALL),
    "centroid": TextEmbedder("triplet", classifier="centroid", **SMALL),
    "ensemble": TextEnsemble(TextEmbedder("cross_entropy", **SMALL), members=2),
}
NEW = ["apple bus", "cheese with rice", "car lane and a truck", "red"]


@pytest.fixture(scope="module")
def fitted() -> dict[str, TextClassifier]:
    return {name: clone(kind).fit(TEXTS, LABELS) for name, kind in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_softmax_of_the_scores_over_the_temperature(
    kind: str, fitted: dict[str, TextClassifier]
) -> None:
    estimator = fitted[kind]
    scores, known = estimator.scores(NEW)
    assert known.all()
    for row, found in zip(scores, estimator.predict_proba(NEW), strict=True):
        powers = [math.exp((score - max(row)) / estimator.temperature_) for score in row]
        assert found.tolist() == pytest.approx([power / sum(powers) for power in powers], abs=1e-9)
    decisions = estimator.decision_function(NEW)
    assert decisions == pytest.approx((scores[:, 1] - scores[:, 0]) / estimator.temperature_)
    assert estimator.predict(NEW).tolist() == [LABELS[0 if d < 0 else -1] for d in decisions]


def test_the_scores_are_those_of_head_logistic_regression_and_centroids(
    fitted: dict[str, Any],
) -> None:
    embeddings = {name: estimator.transform(NEW) for name, estimator in fitted.items()}
    head = fitted["head"].model_.head.fc
    logits = embeddings["head"] @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert fitted["head"].scores(NEW)[0] == pytest.approx(logits, abs=1e-5)
    weights = fitted["logistic"].model_.logistic
    linear = normalize(embeddings["logistic"]) @ weights[:, :-1].T + weights[:, -1]
    assert fitted["logistic"].scores(NEW)[0] == pytest.approx(linear, abs=1e-5)
    for name, centroids in (
        ("centroid", fitted["centroid"].model_.centroids),
        ("ensemble", fitted["ensemble"].centroids_),
    ):
        cosines = normalize(embeddings[name]) @ normalize(centroids).T
        assert fitted[name].scores(NEW)[0] == pytest.approx(cosines, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_without_a_known_token_has_the_prior_and_is_counted(
    kind: str, fitted: dict[str, TextClassifier]
) -> None:
    more = clone(KINDS[kind]).fit([*TEXTS, "a slow truck", "the lane"], [*LABELS, "road", "road"])
    texts = ["unheard", "apple pie", ""]
    prior = [5 / 12, 7 / 12]
    assert more.class_prior_.tolist() == pytest.approx(prior)
    assert more.predict_proba(texts)[0].tolist() == pytest.approx(prior)
    assert more.predict_proba(texts)[2].tolist() == pytest.approx(prior)
    with pytest.warns(UserWarning, match="2 of 3 texts have no known token, so they get the most"):
        labels = more.predict(texts).tolist()
    assert labels == ["road", "food", "road"]
    assert more.predict(texts, reject="unknown").tolist() == ["unknown", "food", "unknown"]
    assert more.predict(texts, reject="unknown").dtype.kind == "U"
    assert more.predict(texts, reject=-1).tolist() == [-1, "food", -1]


@pytest.mark.parametrize("kind", KINDS)
def test_feature_names_and_tables(kind: str, fitted: dict[str, TextClassifier]) -> None:
    estimator = fitted[kind]
    names = estimator.get_feature_names_out().tolist()
    assert names[0] == f"{type(estimator).__name__.lower()}0"
    table = clone(KINDS[kind]).set_output(transform="pandas").fit(TEXTS, LABELS).transform(NEW)
    assert isinstance(table, pd.DataFrame)
    assert table.columns.tolist() == names
    np.testing.assert_array_equal(table.to_numpy(), estimator.transform(NEW))
    assert make_pipeline(estimator, Mahalanobis()).fit(TEXTS, LABELS).transform(NEW).shape[0] == 4


@pytest.mark.parametrize("kind", ["centroid", "ensemble"])
def test_what_is_not_supported_is_refused_in_a_sentence(kind: str) -> None:
    estimator = clone(KINDS[kind])
    with pytest.raises(UserError, match="sample_weight is not supported, since objectives"):
        estimator.fit(TEXTS, LABELS, sample_weight=np.ones(len(TEXTS)))
    with pytest.raises(UserError, match="fit has no argument 'weights'"):
        estimator.fit(TEXTS, LABELS, weights=None)
    with pytest.raises(UserError, match=r"labels of shape \(10, 2\): pass one label a text"):
        estimator.fit(TEXTS, np.zeros((10, 2)))
    with pytest.raises(UserError, match="requires y to be passed"):
        estimator.fit(TEXTS, None)
    plain = estimator.set_params(calibrate=False).fit(TEXTS, LABELS)
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
        plain.predict_proba(NEW)
    assert not hasattr(plain, "predict_proba")
    assert plain.decision_function(NEW).shape == (4,)


@pytest.mark.parametrize(
    "labels",
    [[3, 10], [True, False], [1.0, 2.0], ["3", "10"], np.array([3, 10], dtype=np.uint8)],
    ids=["int", "bool", "float", "str", "uint8"],
)
def test_labels_come_back_as_they_were(labels: Any, tmp_path: Path) -> None:
    given = np.repeat(np.asarray(labels), 5)
    embedder = clone(KINDS["centroid"]).fit(TEXTS, given)
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert loaded.predict(TEXTS).tolist() == given.tolist()
    assert loaded.classes_.dtype.kind == embedder.classes_.dtype.kind.replace("u", "i")
    assert type(loaded.predict(TEXTS).tolist()[0]) is type(given.tolist()[0])
    np.testing.assert_array_equal(loaded.predict_proba(NEW), embedder.predict_proba(NEW))
    np.testing.assert_array_equal(loaded.class_prior_, embedder.class_prior_)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series,
        lambda texts: pd.Series(texts, dtype="string"),
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
        tuple,
        lambda texts: pytest.importorskip("polars", reason="polars is not installed").Series(texts),
    ],
    ids=["pandas", "pandas string", "U", "object", "StringDType", "tuple", "polars"],
)
def test_any_column_of_texts_and_labels(column: Any, fitted: dict[str, Any]) -> None:
    embedder = clone(KINDS["head"]).fit(column(TEXTS), column(LABELS))
    np.testing.assert_array_equal(
        embedder.predict_proba(column(NEW)), fitted["head"].predict_proba(NEW)
    )
    assert embedder.score(column(TEXTS), LABELS) == 1


def test_a_warm_start_goes_on_where_the_last_fit_ended(tmp_path: Path) -> None:
    first = clone(KINDS["centroid"]).fit(TEXTS, LABELS)
    vectors = first.model_.encoder.weight.detach().numpy().copy()
    again = clone(first).set_params(warm_start=True, lr=1e-9, epochs=1)
    again.model_, again.lr_ = first.model_, first.lr_
    more = [*TEXTS, "a tram on rails", "rails for the tram"]
    again.fit(more, [*LABELS, "rail", "rail"])
    assert again.classes_.tolist() == ["food", "rail", "road"]
    tokens = again.model_.vocabulary.tokens
    assert tokens[: len(vectors)] == first.model_.vocabulary.tokens
    assert {"tram", "rails"} <= set(tokens[len(vectors) :])
    now = again.model_.encoder.weight.detach().numpy()
    np.testing.assert_allclose(now[: len(vectors)], vectors, atol=1e-6)
    assert again.temperature_ == first.temperature_
    np.testing.assert_array_equal(first.model_.encoder.weight.detach().numpy(), vectors)
    # the same from a folder
    first.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model").set_params(warm_start=True, lr=1e-9, epochs=1)
    loaded.fit(more, [*LABELS, "rail", "rail"])
    np.testing.assert_array_equal(loaded.transform(more), again.transform(more))
    cold = clone(again).set_params(warm_start=False).fit(more, [*LABELS, "rail", "rail"])
    assert np.abs(cold.transform(NEW) - again.transform(NEW)).max() > 0.1


@pytest.mark.parametrize("layer", ["linear", "layernorm", "mlp"])
def test_a_warm_start_keeps_the_projection_and_the_learning_rate(layer: str) -> None:
    options = SMALL | {"layer": layer, "lr": "auto", "epochs": 2}
    embedder = TextEmbedder("triplet", warm_start=True, **options).fit(TEXTS, LABELS)
    before, lr = embedder.transform(NEW), embedder.lr_
    embedder.set_params(lr=1e-9).fit(TEXTS, LABELS)
    np.testing.assert_allclose(embedder.transform(NEW), before, atol=1e-5)
    embedder.lr_ = lr
    embedder.set_params(lr="auto").fit(TEXTS, LABELS)
    assert embedder.model_.recipe.train.lr == lr
    with pytest.raises(UserError, match="goes on from a model whose layer is"):
        embedder.set_params(layer="bag").fit(TEXTS, LABELS)


def test_a_warm_start_of_a_frozen_encoder() -> None:
    values = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)
    embedder = clone(OF_VECTORS).set_params(warm_start=True).fit(values, LABELS)
    before = embedder.transform(values)
    embedder.set_params(lr=1e-9).fit(values, LABELS)
    np.testing.assert_allclose(embedder.transform(values), before, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_similarity_and_neighbours_are_the_largest_cosines(
    kind: str, fitted: dict[str, TextClassifier], tmp_path: Path
) -> None:
    estimator = fitted[kind]
    every = normalize(estimator.transform(TEXTS)), normalize(estimator.transform(NEW))
    cosines = every[1] @ every[0].T
    np.testing.assert_allclose(estimator.similarity(NEW, TEXTS), cosines, atol=1e-6)
    rows, found = estimator.neighbors(NEW, k=3)
    for query, near, values in zip(cosines, rows, found, strict=True):
        assert near.tolist() == sorted(range(len(TEXTS)), key=lambda row: -query[row])[:3]
        assert values.tolist() == pytest.approx(sorted(query, reverse=True)[:3], abs=1e-6)
    again = estimator.index(TEXTS).neighbors(estimator.transform(NEW), k=3)
    np.testing.assert_array_equal(again.rows, rows)
    with pytest.raises(UserError, match="no fitted texts to search: call fit, or index"):
        clone(estimator).neighbors(NEW)
    if isinstance(estimator, TextEmbedder):
        estimator.save(tmp_path / "model")
        with pytest.raises(UserError, match="for a model that was loaded"):
            TextEmbedder.load(tmp_path / "model").neighbors(NEW)

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from textmetric.encoders import start_encoder
from textmetric.encoders.lsa import lsa_vectors
from textmetric.errors import UserError
from textmetric.params import Model
from textmetric.schema import validated
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus, tokenize_train

TEXTS = [
    "red apple pie",
    "green apple",
    "red car car",
    "green car bus",
    "slow bus",
    "apple pie pie",
]


def bags(values: np.ndarray, tokens: RaggedTokens) -> np.ndarray:
    rows = np.split(np.asarray(tokens.ids), tokens.offsets[1:-1])
    return np.array([values[row].mean(axis=0) for row in rows])


@pytest.mark.parametrize("dim", [2, 4])
def test_a_bag_points_where_the_lsa_of_its_text_does(dim: int) -> None:
    vocabulary, tokens = tokenize_train(TEXTS)
    values = lsa_vectors(tokens, len(vocabulary), dim)
    # all singular vectors, of the dense matrix
    rows = TfidfVectorizer().fit_transform(TEXTS).toarray()
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    expected = left[:, :dim] * singular[:dim] ** 0.5
    found = bags(values, tokens)

    def cosines(vectors: np.ndarray) -> np.ndarray:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit @ unit.T

    np.testing.assert_allclose(cosines(found), cosines(expected), atol=1e-4)
    assert np.linalg.norm(found, axis=1).mean() == pytest.approx(1, rel=1e-5)
    assert not values[0].any()


def test_width_beyond_the_rank_is_zero_and_not_noise() -> None:
    vocabulary, tokens = tokenize_train(["a b", "a b", "c d", "", "c d"])
    values = lsa_vectors(tokens, len(vocabulary) + 1, 6)  # a token that no text has
    assert values.shape == (6, 6)
    assert np.abs(values[:, :2]).max() > 0.1
    assert not values[:, 2:].any()
    assert not values[-1].any()
    vectors = {token: values[vocabulary.ids[token]] for token in "abcd"}
    np.testing.assert_allclose(vectors["a"], vectors["b"], atol=1e-6)
    assert vectors["a"] @ vectors["c"] == pytest.approx(0, abs=1e-6)


def test_texts_without_a_label_count() -> None:
    vocabulary, tokens = tokenize_train(TEXTS)
    data = LabelledTokens(tokens.take([0, 2]), np.array([0, 1], dtype=np.int32))
    nothing = LabelledTokens(vocabulary.encode([]), np.empty(0, dtype=np.int32))
    corpus = TokenizedCorpus(
        vocabulary, ["food", "road"], data, nothing, nothing, unlabelled=tokens.take([1, 3, 4, 5])
    )
    found = start_encoder(Model(dim=3, start="lsa"), corpus).weight.detach().numpy()
    expected = lsa_vectors(tokens.take([0, 2, 1, 3, 4, 5]), len(vocabulary), 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoder": "frozen", "layer": "linear"}, "model.encoder is frozen"),
        ({"vectors": "words.vec"}, "model.vectors gives the token vectors"),
        ({"weights": "idf"}, "model.weights is idf"),
    ],
)
def test_another_start_contradicts_it(options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=f"model.start is lsa.*{said}: set model.start to uniform"):
        validated(Model, {"start": "lsa"} | options, "model")

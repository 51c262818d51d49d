"""TF-IDF of token ids is scikit-learn's TF-IDF of the texts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tests import tiny
from textmetric.text import BASIC_ENGLISH, tokenize_train
from textmetric.tfidf import C, Tfidf, logistic_regression

TRAIN = ["The cat, the dog.", "A dog barks!", "cats and dogs and cats", "the end"]
TEST = ["the dog and the owl", "owl owl", "", "A cat barks at a cat"]


@pytest.mark.parametrize("rows", [4, 2])
def test_vectors_are_those_of_the_vectorizer_with_the_same_tokens(rows: int) -> None:
    # with fewer rows than the vocabulary comes from, their tokens are all that is known
    vocabulary, tokens = tokenize_train(TRAIN)
    twin = TfidfVectorizer(analyzer=lambda text: BASIC_ENGLISH.split([text])[0]).fit(TRAIN[:rows])
    tfidf = Tfidf(tokens.take(np.arange(rows)), len(vocabulary))
    columns = [vocabulary.ids[token] for token in twin.get_feature_names_out()]
    for texts, found in ((TRAIN[:rows], tokens.take(np.arange(rows))),
                         (TEST, vocabulary.encode(TEST))):  # fmt: skip
        vectors = tfidf.vectors(found).toarray()
        np.testing.assert_allclose(vectors[:, columns], twin.transform(texts).toarray(), atol=1e-15)
        assert not np.delete(vectors, columns, axis=1).any()


def test_a_text_without_a_known_token_is_the_zero_vector() -> None:
    vocabulary, tokens = tokenize_train(TRAIN)
    vectors = Tfidf(tokens, len(vocabulary)).vectors(vocabulary.encode(TEST)).toarray()
    assert not vectors[1:3].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[[0, 3]], axis=1), 1)


def test_the_classifier_is_one_logistic_regression_a_class() -> None:
    corpus = tiny.corpus()
    tfidf = Tfidf(corpus.train.tokens, len(corpus.vocabulary))
    train, test = (tfidf.vectors(part.tokens) for part in (corpus.train, corpus.test))
    scores = [
        LogisticRegression(C=C, solver="liblinear")
        .fit(train, corpus.train.labels == label)
        .decision_function(test)
        for label in range(3)
    ]
    found = logistic_regression(train, corpus.train.labels).predict(test)
    np.testing.assert_array_equal(found, np.argmax(scores, axis=0))


def test_a_class_without_train_rows_is_never_predicted() -> None:
    corpus = tiny.corpus()
    vectors = Tfidf(corpus.train.tokens, len(corpus.vocabulary)).vectors(corpus.train.tokens)
    kept = np.flatnonzero(corpus.train.labels != 1)
    found = logistic_regression(vectors[kept], corpus.train.labels[kept]).predict(vectors)
    assert set(found.tolist()) == {0, 2}

"""What the estimators that learn from labelled text have in common: scikit-learn's contract."""

from __future__ import annotations

from typing import Any

from textmetric.errors import UserError, needing

with needing("an estimator", "train"):
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
    )
    from sklearn.utils import Tags
    from sklearn.utils.metaestimators import available_if

from textmetric.predictor import Predictor
from textmetric.search import Index, Neighbours, Searcher, Texts
from textmetric.text import RaggedTokens, Tokens
from textmetric.types import Bools, Float32, Float64


def _calibrated(estimator: Any) -> bool:
    return bool(estimator.calibrate) and getattr(estimator, "temperature_", 1.0) is not None


class TextClassifier(
    Predictor,
    Searcher,
    ClassifierMixin,  # type: ignore[misc]
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """An estimator that embeds texts and predicts their classes from the embeddings."""

    _fitted_inputs: Tokens | Float32 | None = None
    _fitted_index: Index | None = None

    def inputs(self, X: Texts) -> tuple[RaggedTokens | Float32, Bools]:  # noqa: N803
        """What is embedded of n texts, tokens or vectors, and which have something known (n,).

        Raises:
            UserError: an item is no string, or the vectors are not finite or have another width.
        """
        raise NotImplementedError  # abstract: every estimator has its own

    def transform(self, X: Texts) -> Float32:  # noqa: N803
        """The embeddings (n, dim) float32 of n texts."""
        return self.embed_inputs(self.inputs(X)[0])

    def embed_inputs(self, inputs: Tokens | Float32) -> Float32:
        """The embeddings (n, dim) float32 of n texts: of their tokens, or of their vectors."""
        raise NotImplementedError  # abstract: every estimator has its own

    def neighbors(self, query: Texts, k: int = 10) -> Neighbours:
        """The k texts that were fitted with the highest cosine to each query.

        Args:
            query: q texts, or embeddings (q, dim).
            k: at least 1; all texts are found if there are fewer.

        Returns:
            Rows of what :meth:`fit` was given (q, k), the nearest first, and the cosines. For other
            texts use ``index(texts).neighbors(query)``.

        Raises:
            UserError: nothing was fitted here, since the model was loaded; or k is below 1.
        """
        if self._fitted_inputs is None:
            raise UserError(
                "there are no fitted texts to search: call fit, or index(texts).neighbors(query) "
                "for a model that was loaded"
            )
        if self._fitted_index is None:
            self._fitted_index = Index(self, self.embed_inputs(self._fitted_inputs))
        return self._fitted_index.neighbors(query, k)

    @available_if(_calibrated)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Float64:  # noqa: N803
        """See :meth:`.Predictor.predict_proba`; there is none if ``calibrate`` is False."""
        return super().predict_proba(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def refuse(unsupported: dict[str, Any]) -> None:
    """Refuse arguments of ``fit`` that other estimators have.

    Raises:
        UserError: there is one.
    """
    if "sample_weight" in unsupported:
        raise UserError(
            "sample_weight is not supported, since objectives compare texts with each other: use "
            "sampler='balanced' to give the classes equal weight"
        )
    if unsupported:
        raise UserError(
            f"fit has no argument {min(unsupported)!r}: give it texts and labels, and everything "
            "else to the estimator itself"
        )

"""What the estimators that learn from labelled text have in common: scikit-learn's contract."""

from __future__ import annotations

from typing import Any

from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from textmetric.errors import UserError
from textmetric.predictor import Predictor
from textmetric.types import Float64


def _calibrated(estimator: Any) -> bool:
    return bool(estimator.calibrate) and getattr(estimator, "temperature_", 1.0) is not None


class TextClassifier(
    Predictor, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator  # type: ignore[misc]
):  # fmt: skip
    """An estimator that embeds texts and predicts their classes from the embeddings."""

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

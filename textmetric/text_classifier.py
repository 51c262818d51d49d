"""What the estimators that learn from labelled text have in common: scikit-learn's contract."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from textmetric.errors import UserError
from textmetric.measures import softmax
from textmetric.types import Bools, Float64


def _has_temperature(estimator: Any) -> bool:
    if estimator.calibrate and getattr(estimator, "temperature_", 1.0) is not None:
        return True
    raise AttributeError(
        "there are no probabilities, since no temperature was fitted on held-out texts: fit with "
        "calibrate=True, or use decision_function"
    )


class TextClassifier(
    ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator  # type: ignore[misc]
):  # fmt: skip
    """An estimator that embeds texts and predicts their classes from the embeddings.

    Attributes:
        classes_: (C,) the labels, sorted.
        class_prior_: (C,) float64, the share of each class in the labelled texts.
        temperature_: what the scores are divided by to give probabilities; None if there is none.
    """

    classes_: npt.NDArray[Any]
    class_prior_: Float64
    temperature_: float | None

    def scores(self, X: Any) -> tuple[Float64, Bools]:  # noqa: N803
        """The scores (n, C) of the classes, and which of the n texts have a known token (n,)."""
        raise NotImplementedError  # abstract: every estimator has its own

    def decision_function(self, X: Any) -> Float64:  # noqa: N803
        """Scores whose softmax is :meth:`predict_proba`.

        Args:
            X: n texts.

        Returns:
            (n, C); with two classes (n,), the score of the second minus that of the first. A text
            without a known token has the logarithms of the class priors.
        """
        decisions, _ = self._decisions(X)
        return decisions[:, 1] - decisions[:, 0] if len(self.classes_) == 2 else decisions

    @available_if(_has_temperature)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Float64:  # noqa: N803
        """The probability (n, C) of each class, in the order of ``classes_``.

        It is the softmax of the scores of the head, of the logistic regression, or of the cosines
        to the class centroids, over a temperature that was fitted on held-out texts (Guo et al.
        2017, arXiv 1706.04599). A text without a known token has the class priors.

        Args:
            X: n texts.

        Raises:
            AttributeError: ``calibrate`` is False, so no temperature was fitted.
        """
        probabilities: Float64 = softmax(self._decisions(X)[0])
        return probabilities

    def predict(self, X: Any, *, reject: Any = None) -> npt.NDArray[Any]:  # noqa: N803
        """The label (n,) of each text.

        Args:
            X: n texts.
            reject: the label of a text without a known token, such as ``"unknown"``. By default
                such a text gets the most frequent class, with a warning that counts these texts.
        """
        decisions, known = self._decisions(X)
        labels: npt.NDArray[Any] = self.classes_[decisions.argmax(axis=1)]
        if known.all():
            return labels
        if reject is not None:
            kept = np.asarray(labels, dtype=object)
            kept[~known] = reject
            same = all(isinstance(label, str) for label in (reject, *self.classes_.tolist()))
            return kept.astype(str) if same else kept
        warnings.warn(
            f"{np.count_nonzero(~known)} of {len(known)} texts have no known token, so they get "
            f"the most frequent class {self.classes_[self.class_prior_.argmax()]!s}: "
            "predict(texts, reject=...) gives them a label of its own",
            UserWarning,
            stacklevel=2,
        )
        return labels

    def _decisions(self, X: Any) -> tuple[Float64, Bools]:  # noqa: N803
        scores, known = self.scores(X)
        decisions = scores / (self.temperature_ or 1.0)
        decisions[~known] = np.log(self.class_prior_)
        return decisions, known

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

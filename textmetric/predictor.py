"""From scores of classes to labels and probabilities, for estimators and for saved models."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.measures.calibration import softmax
from textmetric.types import Bools, Float64


class Predictor:
    """What predicts the classes of texts from scores.

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
        raise NotImplementedError  # abstract: every predictor has its own

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

    def predict_proba(self, X: Any) -> Float64:  # noqa: N803
        """The probability (n, C) of each class, in the order of ``classes_``.

        It is the softmax of the scores of the head, of the logistic regression, or of the cosines
        to the class centroids, over a temperature that was fitted on held-out texts (Guo et al.
        2017, arXiv 1706.04599). A text without a known token has the class priors.

        Args:
            X: n texts.

        Raises:
            UserError: there is no temperature.
        """
        decisions, _ = self._decisions(X)
        if self.temperature_ is None:
            raise UserError(
                "there are no probabilities, since no temperature was fitted on held-out texts: "
                "train by TextEmbedder with calibrate=True, or use decision_function"
            )
        return softmax(decisions)

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
        return self.decisions(scores, known), known

    def decisions(self, scores: Float64, known: Bools) -> Float64:
        """What labels and probabilities are made of: scores over the temperature.

        Args:
            scores: (n, C) of :meth:`scores`.
            known: (n,) whether the text has a known token.

        Returns:
            (n, C); of a text without a known token, the logarithms of the class priors.
        """
        decisions: Float64 = scores / (self.temperature_ or 1.0)
        with np.errstate(divide="ignore"):  # a class without train rows
            decisions[~known] = np.log(self.class_prior_)
        return decisions


def class_prior(counts: npt.ArrayLike | None, classes: int) -> Float64:
    """The share (C,) of each class, by its number of rows; equal shares if they are not known."""
    shares = np.ones(classes) if counts is None else np.asarray(counts, dtype=np.float64)
    prior: Float64 = shares / shares.sum()
    return prior

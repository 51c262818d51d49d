"""TextEnsemble: many embedders, each of a few meta-classes, as one (DREML, Xuan et al. 2018)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from tqdm.auto import tqdm

from textmetric.embedder import STUDY, TextEmbedder, Texts, checked_labels, divided
from textmetric.errors import UserError, shown
from textmetric.measures import centroid_predict, class_centroids, unit
from textmetric.sampling.streams import Stream, generator_of
from textmetric.schema import LONGEST, Section, Seed, validated
from textmetric.text import LabelledTokens
from textmetric.types import Int32


class Ensemble(Section):
    """What is checked of the parameters of :class:`TextEnsemble`."""

    members: int = Field(default=8, ge=1, le=LONGEST)
    meta_classes: int = Field(default=2, ge=2, lt=1 << 31)
    seed: Seed = 0


class TextEnsemble(ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Embeddings from an ensemble: each member learns to tell a few groups of the classes apart.

    Every member deals the C classes at random and evenly onto M meta-classes and trains its own
    embedder on those, by softmax in the paper; the embedding is all of theirs side by side. Xuan,
    Souvenir & Pless, "Deep randomized ensembles for metric learning", ECCV 2018 (arXiv
    1808.04469).

    Each member's embedding counts the same: its rows have length 1/√L, so that the dot product of
    two embeddings is the mean of the L cosines. No two members have the same grouping while there
    is another one. 4 classes have three groupings in two, so of eight members three have the first,
    three the second and two the third, for example; these differ by their seed.

    Args:
        embedder: what a member is, a :class:`~textmetric.TextEmbedder`, which stays as it is; None
            for one with ``cross_entropy`` and else its defaults. Its seed is not used.
        members: L.
        meta_classes: M, at least 2 and at most the number of classes.
        seed: of the groupings and the members; same seed, same result.
        progress: show a progress bar over the members.

    Attributes:
        members_: the L embedders; their labels are the meta-classes 0 … M − 1.
        groupings_: (L, C) int32, the meta-class of each class.
        classes_: (C,) the labels, sorted.

    >>> texts = ["red apple pie", "green apple juice", "fast red car", "slow green car"] * 2
    >>> ensemble = TextEnsemble(TextEmbedder("cross_entropy", dim=4, epochs=20), members=3)
    >>> ensemble.fit(texts, ["food", "food", "road", "road"] * 2).transform(["apple car"]).shape
    (1, 12)
    """

    def __init__(
        self,
        embedder: TextEmbedder | None = None,
        *,
        members: int = 8,
        meta_classes: int = 2,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.embedder = embedder
        self.members = members
        self.meta_classes = meta_classes
        self.seed = seed
        self.progress = progress

    def fit(self, texts: Texts, labels: Sequence[Any]) -> TextEnsemble:
        """Learn from n texts and their n labels, as :meth:`.TextEmbedder.fit`.

        Raises:
            UserError: as :meth:`.TextEmbedder.fit`, or fewer classes than meta-classes.
        """
        settings = validated(
            Ensemble,
            {"members": self.members, "meta_classes": self.meta_classes, "seed": self.seed},
        )
        template = (
            TextEmbedder("cross_entropy", **STUDY) if self.embedder is None else self.embedder
        )
        if not isinstance(template, TextEmbedder):
            raise UserError(
                f"embedder is {shown(template)}, expected a TextEmbedder: give one, or None"
            )
        texts = template.checked_inputs(texts)
        classes, codes = checked_labels(labels, len(texts))
        if settings.meta_classes > len(classes):
            raise UserError(
                f"meta_classes is {settings.meta_classes}, but there are {len(classes)} classes: "
                "give fewer meta-classes, or texts of more classes"
            )
        vocabulary, tokens, vectors = template.encoded(texts)
        self.groupings_ = balanced_groupings(
            len(classes), settings.meta_classes, settings.members, settings.seed
        )
        labelled, unlabelled = divided(tokens, codes)
        self.members_ = []
        # Far apart, or the members of one seed would be those of the next but one.
        seeds = generator_of(settings.seed, Stream.MEMBERS).integers(1 << 32, size=settings.members)
        for grouping, seed in tqdm(
            list(zip(self.groupings_, seeds, strict=True)), unit="member", disable=not self.progress
        ):
            member = clone(template).set_params(seed=int(seed))
            data = LabelledTokens(labelled.tokens, grouping[labelled.labels])
            member.fit_tokens(vocabulary, data, unlabelled, np.unique(grouping), vectors)
            self.members_.append(member)
        self.classes_ = classes
        embeddings = self.transform(texts)[codes >= 0]
        self._centroids = class_centroids(embeddings, labelled.labels, len(classes))
        return self

    def transform(self, texts: Texts) -> npt.NDArray[np.float32]:
        """The embeddings (n, L · dim) float32 of n texts; zero for one without a known token."""
        members = self._fitted()
        inputs = members[0].model_inputs(texts)
        parts = [unit(member.model_.embed(inputs)) for member in members]
        embeddings = np.concatenate(parts, axis=1) / math.sqrt(len(parts))
        return embeddings.astype(np.float32)

    def predict(self, texts: Texts) -> npt.NDArray[Any]:
        """The label (n,) of each text: that of the nearest class centroid by cosine."""
        embeddings = self.transform(texts)
        labels: npt.NDArray[Any] = self.classes_[centroid_predict(self._centroids, embeddings)]
        return labels

    def _fitted(self) -> list[TextEmbedder]:
        if not hasattr(self, "members_"):
            raise NotFittedError("this TextEnsemble is not fitted: call fit")
        return self.members_


def balanced_groupings(classes: int, meta_classes: int, members: int, seed: int) -> Int32:
    """Groupings of the classes into meta-classes whose sizes differ by at most one.

    Two groupings are the same if they group the classes alike, whatever the groups are called. None
    comes twice before every other has come as often.

    Args:
        classes: C.
        meta_classes: M, at most C.
        members: how many groupings.
        seed: of the ensemble.

    Returns:
        (members, C) int32 in 0 … M − 1; the groups are numbered by their first class.
    """
    random = generator_of(seed, Stream.GROUPINGS)
    dealt = np.arange(classes) % meta_classes
    possible = number_of_groupings(classes, meta_classes)
    met: set[tuple[int, ...]] = set()
    groupings: list[tuple[int, ...]] = []
    while len(groupings) < members:
        if len(met) == possible:
            met.clear()
        _, first, group = np.unique(
            random.permutation(dealt), return_index=True, return_inverse=True
        )
        grouping = tuple(np.argsort(np.argsort(first))[group].tolist())
        if grouping not in met:
            met.add(grouping)
            groupings.append(grouping)
    return np.array(groupings, dtype=np.int32)


def number_of_groupings(classes: int, meta_classes: int) -> int:
    """How many different balanced groupings there are.

    >>> [number_of_groupings(4, 2), number_of_groupings(4, 3), number_of_groupings(5, 2)]
    [3, 6, 10]
    """
    sizes = Counter(np.bincount(np.arange(classes) % meta_classes).tolist())
    arrangements = math.factorial(classes)
    for size, groups in sizes.items():
        arrangements //= math.factorial(size) ** groups * math.factorial(groups)
    return arrangements

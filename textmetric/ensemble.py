"""TextEnsemble: many embedders, each of a few meta-classes, as one (DREML, Xuan et al. 2018)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from textmetric.errors import UserError, needing, shown

with needing("TextEnsemble", "train"):
    from pydantic import Field
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.utils import Tags, get_tags
    from tqdm.auto import tqdm

from textmetric.embedder import STUDY, TextEmbedder, checked_labels, divided
from textmetric.encoders import inputs_of
from textmetric.inference import cosine_scores
from textmetric.measures import class_centroids, fit_temperature, unit
from textmetric.predictor import class_prior
from textmetric.sampling.streams import Stream, generator_of
from textmetric.schema import LONGEST, Section, Seed, validated
from textmetric.search import Texts
from textmetric.text import LabelledTokens, RaggedTokens, Tokens
from textmetric.text_classifier import TextClassifier, refuse
from textmetric.training.selection import folds
from textmetric.types import Bools, Float32, Float64, Int32


class Ensemble(Section):
    """What is checked of the parameters of :class:`TextEnsemble`."""

    members: int = Field(default=8, ge=1, le=LONGEST)
    meta_classes: int = Field(default=2, ge=2, lt=1 << 31)
    calibrate: bool = True
    seed: Seed = 0


class TextEnsemble(TextClassifier):
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
        calibrate: fit the temperature of :meth:`predict_proba`. This trains the members twice: the
            first ones see a part of the texts, and the temperature is fitted on the rest.
        seed: of the groupings and the members; same seed, same result.
        progress: show a progress bar over the members.

    Attributes:
        members_: the L embedders; their labels are the meta-classes 0 … M − 1.
        groupings_: (L, C) int32, the meta-class of each class.
        centroids_: (C, L · dim) float64, the class centroids.
        classes_: (C,) the labels, sorted.
        class_prior_: (C,) the share of each class in the labelled texts.
        temperature_: of :meth:`predict_proba`; None if it was not fitted.

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
        calibrate: bool = True,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.embedder = embedder
        self.members = members
        self.meta_classes = meta_classes
        self.calibrate = calibrate
        self.seed = seed
        self.progress = progress

    def fit(self, X: Texts, y: Sequence[Any], **unsupported: Any) -> TextEnsemble:  # noqa: N803
        """Learn from n texts and their n labels.

        Args:
            X: n texts, as :meth:`.TextEmbedder.fit`.
            y: n labels.
            unsupported: what other estimators take, such as ``sample_weight``.

        Raises:
            UserError: as :meth:`.TextEmbedder.fit`, or fewer classes than meta-classes.
        """
        refuse(unsupported)
        settings = validated(
            Ensemble,
            {name: getattr(self, name) for name in Ensemble.model_fields},
        )
        own = TextEmbedder("cross_entropy", **STUDY) if self.embedder is None else self.embedder
        if not isinstance(own, TextEmbedder):
            raise UserError(f"embedder is {shown(own)}, expected a TextEmbedder: give one, or None")
        template = clone(own)  # it notes the width of vectors
        inputs = template.checked_inputs(X)
        classes, codes = checked_labels(y, len(inputs))
        if settings.meta_classes > len(classes):
            raise UserError(
                f"meta_classes is {settings.meta_classes}, but there are {len(classes)} classes: "
                "give fewer meta-classes, or texts of more classes"
            )
        vocabulary, tokens, vectors = template.encoded(inputs)
        self.groupings_ = balanced_groupings(
            len(classes), settings.meta_classes, settings.members, settings.seed
        )
        labelled, unlabelled = divided(tokens, codes)
        # Far apart, or the members of one seed would be those of the next but one.
        seeds = generator_of(settings.seed, Stream.MEMBERS).integers(1 << 32, size=settings.members)
        bar = tqdm(
            total=settings.members * (1 + self.calibrate),
            unit="member",
            disable=not self.progress,
        )

        def trained(rows: LabelledTokens) -> list[TextEmbedder]:
            members = []
            for grouping, seed in zip(self.groupings_, seeds, strict=True):
                member = clone(template).set_params(seed=int(seed), calibrate=False)
                data = LabelledTokens(rows.tokens, grouping[rows.labels])
                member.fit_tokens(vocabulary, data, unlabelled, np.unique(grouping), vectors)
                members.append(member)
                bar.update()
            return members

        def embedded(members: list[TextEmbedder], rows: LabelledTokens) -> Float32:
            return _side_by_side(members, inputs_of(rows.tokens, vectors))

        with bar:
            self.temperature_ = None
            if self.calibrate:
                kept, held_out = (
                    labelled.take(rows) for rows in next(folds(labelled, settings.seed))
                )
                first = trained(kept)
                centroids = class_centroids(embedded(first, kept), kept.labels, len(classes))
                scores = cosine_scores(centroids, embedded(first, held_out))
                self.temperature_ = fit_temperature(scores, held_out.labels)
            self.members_ = trained(labelled)
        self.centroids_ = class_centroids(
            embedded(self.members_, labelled), labelled.labels, len(classes)
        )
        self.classes_ = classes
        self.class_prior_ = class_prior(np.bincount(labelled.labels), len(classes))
        for name in ("n_features_in_", "feature_names_in_"):  # of given vectors
            if hasattr(template, name):
                setattr(self, name, getattr(template, name))
        self._fitted_inputs, self._fitted_index = inputs_of(tokens, vectors), None
        self._n_features_out = self.centroids_.shape[1]
        return self

    def scores(self, X: Texts) -> tuple[Float64, Bools]:  # noqa: N803
        """The cosines (n, C) to the class centroids, and which texts have a known token (n,)."""
        members = self._fitted()
        inputs, known = self.inputs(X)
        return cosine_scores(self.centroids_, _side_by_side(members, inputs)), known

    def embed_inputs(self, inputs: Tokens | Float32) -> Float32:
        """The embeddings (n, L · dim) float32 of n texts; zero for one without a known token."""
        return _side_by_side(self._fitted(), inputs)

    def inputs(self, X: Texts) -> tuple[RaggedTokens | Float32, Bools]:  # noqa: N803
        """See :meth:`.TextClassifier.inputs`: all members embed the same."""
        member = self._fitted()[0]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(member, name, getattr(self, name))
        return member.inputs(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.embedder is not None:
            tags.input_tags = get_tags(self.embedder).input_tags
        return tags

    def _fitted(self) -> list[TextEmbedder]:
        if not hasattr(self, "members_"):
            raise NotFittedError("this TextEnsemble is not fitted: call fit")
        return self.members_


def _side_by_side(members: list[TextEmbedder], inputs: Tokens | Float32) -> Float32:
    """The embeddings (n, L · dim) float32 of what the members embed."""
    parts = [unit(member.model_.embed(inputs)) for member in members]
    embeddings: Float32 = (np.concatenate(parts, axis=1) / math.sqrt(len(parts))).astype(np.float32)
    return embeddings


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

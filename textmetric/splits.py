"""Training sets of the study: the full corpus, and corpora with scarce labels. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from textmetric.errors import UserError
from textmetric.text.dataset import (
    LabelledTokens,
    TokenizedCorpus,
    renumbering,
    token_counts,
)
from textmetric.text.vocabulary import Vocabulary

# One row of a label has no positive: neither a triplet nor the cohesion is defined.
_FEWEST_ROWS = 2


def make_split(
    corpus: TokenizedCorpus,
    *,
    scarce: Sequence[int] = (),
    keep: float = 1.0,
    rare: int = 0,
    seed: int = 0,
) -> TokenizedCorpus:
    """Make the training set that one entry of ``splits`` in params.yaml describes.

    Args:
        corpus: the whole corpus of the split's role.
        scarce: ids of the labels to cut, see :func:`scarce`; empty for the full corpus.
        keep: the share of their train rows that the scarce labels keep, in (0, 1].
        rare: mark this many labels with the fewest train rows, see :func:`full`.
        seed: chooses the rows that stay, >= 0.

    Raises:
        UserError: a value out of range, ``keep`` without ``scarce``, or both ``scarce`` and
            ``rare``, which would mark two kinds of labels as one.
    """
    if len(scarce) == 0:
        if keep != 1:
            raise UserError(
                f"keep is {keep} but scarce names no label to cut: name labels in scarce, or "
                "leave keep out"
            )
        return full(corpus, rare)
    if rare:
        raise UserError("scarce and rare are both given, expected one of them: leave one out")
    return _cut(corpus, scarce, keep, seed)


def full(corpus: TokenizedCorpus, rare: int = 0) -> TokenizedCorpus:
    """Give the corpus as it is, its ``rare`` smallest labels marked as ``scarce``.

    The vocabulary is that of all train rows already, so nothing is encoded again.

    Args:
        corpus: any corpus.
        rare: how many labels with the fewest train rows to mark, ties by label id; at least 0,
            and fewer than there are, so that sufficient labels remain to compare with.

    Raises:
        UserError: ``rare`` out of range.
    """
    labels = len(corpus.label_names)
    if not 0 <= rare < labels:
        raise UserError(
            f"rare is {rare}, expected 0 to {labels - 1}, since the corpus has {labels} labels: "
            "choose a number in that range"
        )
    rarest = np.argsort(corpus.train_counts, kind="stable")[:rare]
    return replace(corpus, scarce=sorted(rarest.tolist()))


def scarce(
    corpus: TokenizedCorpus, labels: Sequence[int], keep: float, seed: int
) -> TokenizedCorpus:
    """Cut the train rows of some labels, and mark these labels as ``scarce``.

    A label of n train rows keeps ``round(keep * n)`` of them, but at least 2 (a single row has
    no positive), and never more than n. Which rows stay depends on the seed and the label alone,
    not on what else is cut; the rows of a smaller ``keep`` are among those of a larger one. The
    rows that stay keep their order.

    Only train is cut: validation and test keep all their rows, those of the scarce labels too,
    so that measures of different splits are taken on the same texts. The vocabulary is rebuilt
    from the train rows that stay: tokens that no longer occur are dropped from it and from every
    part, and the others are ordered by their new frequencies. (``min_freq`` is not asked for
    again: a token that was known stays known as long as it occurs.)

    Args:
        corpus: the whole corpus.
        labels: ids of the labels to cut, in any order; one given twice is cut once.
        keep: the share of their train rows that these labels keep, in (0, 1].
        seed: chooses the rows, >= 0.

    Raises:
        UserError: no label given, a label that does not exist, or ``keep`` or ``seed`` out of
            range.
    """
    names = corpus.label_names
    chosen = sorted({int(label) for label in labels})
    if not chosen:
        raise UserError("scarce names no label to cut: name at least one label id")
    for label in chosen:
        if not 0 <= label < len(names):
            known = ", ".join(f"{number} = {name}" for number, name in enumerate(names))
            raise UserError(
                f"scarce label {label} does not exist, expected an id of the {len(names)} labels "
                f"of the corpus: choose among {known}"
            )
    if not 0 < keep <= 1:
        raise UserError(
            f"keep is {keep}, expected a share above 0 and at most 1: 0.1 keeps a tenth"
        )
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more: choose another")

    stays = np.ones(len(corpus.train), bool)
    for label in chosen:
        rows = np.flatnonzero(corpus.train.labels == label)
        shuffled = np.random.default_rng([seed, label]).permutation(rows)
        stays[shuffled[max(_FEWEST_ROWS, round(keep * rows.size)) :]] = False
    train = corpus.train.take(np.flatnonzero(stays))

    old = corpus.vocabulary.tokens
    counts = token_counts(train.tokens, len(old)).tolist()
    vocabulary = Vocabulary.build(dict(zip(old, counts, strict=True)))
    new_ids = renumbering(old, vocabulary)
    return TokenizedCorpus(
        vocabulary,
        names,
        train=_renumbered(train, new_ids),
        validation=_renumbered(corpus.validation, new_ids),
        test=_renumbered(corpus.test, new_ids),
        scarce=chosen,
    )


# The name under which make_split, whose argument `scarce` hides the function, can call it.
_cut = scarce


def _renumbered(part: LabelledTokens, new_ids: NDArray[np.int32]) -> LabelledTokens:
    return LabelledTokens(part.tokens.remap(new_ids), part.labels)

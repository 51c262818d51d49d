"""Training sets of the study: full, with scarce labels, and with unseen labels. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import ROLES, Layout, Role, Split, moved
from textmetric.params import SplitEntry
from textmetric.sampling.draws import share_of_label
from textmetric.schema import validated
from textmetric.text.dataset import LabelledTokens, TokenizedCorpus, token_counts
from textmetric.text.ragged import RaggedTokens
from textmetric.text.vocabulary import Vocabulary
from textmetric.types import PARTS, PathLike

if TYPE_CHECKING:
    import pandas as pd


def write_entries(folder: PathLike, splits: Mapping[Split, SplitEntry]) -> None:
    """Write what the splits of each role are, next to the folders of the splits.

    Args:
        folder: the folder of all splits; it gets ``<role>/splits.json``.
        splits: each with its entry in params.yaml.
    """
    layout = Layout()
    for role in ROLES:
        entries = {split.name: entry for split, entry in splits.items() if split.role == role}
        write_json(
            moved(layout.entries(role), layout.splits, Path(folder)),
            {name: entry.model_dump() for name, entry in entries.items()},
        )


def read_entries(layout: Layout, roles: Sequence[Role] = ROLES) -> dict[Split, SplitEntry]:
    """The splits that stage split wrote with their entries: role by role, each in its order.

    Args:
        layout: where everything is.
        roles: of these roles only.

    Raises:
        UserError: a file is missing or damaged, or holds a name that is no plain folder name.
    """
    return {
        Split(role, name): validated(SplitEntry, entry)
        for role in roles
        for name, entry in read_json(layout.entries(role)).items()
    }


def make_split(
    corpus: TokenizedCorpus,
    *,
    scarce: Sequence[int] = (),
    keep: float = 1.0,
    rare: int = 0,
    open_share: float | None = None,
    seed: int = 0,
) -> TokenizedCorpus:
    """Make the training set that one entry of ``splits`` in params.yaml describes.

    Args:
        corpus: the whole corpus of the split's role.
        scarce: ids of the labels to cut, see :func:`scarce`; empty for the full corpus.
        keep: the share of their train rows that the scarce labels keep, in (0, 1].
        rare: mark this many labels with the fewest train rows, see :func:`full`.
        open_share: train on this share of the labels and test on the others, see
            :func:`open_classes`; None for the same labels in both.
        seed: chooses the rows that stay, or the labels to train on, >= 0.

    Raises:
        UserError: a value out of range, ``keep`` without ``scarce``, or more than one of
            ``scarce``, ``rare`` and ``open``, which are different kinds of splits.
    """
    kinds = {"scarce": len(scarce) > 0, "rare": rare > 0, "open": open_share is not None}
    given = [kind for kind, is_given in kinds.items() if is_given]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(given)} are both given, expected one of them: leave one out"
        )
    if open_share is not None and keep == 1:
        return open_classes(corpus, open_share, seed)
    if len(scarce) == 0:
        if keep != 1:
            raise UserError(
                f"keep is {keep} but scarce names no label to cut: name labels in scarce, or "
                "leave keep out"
            )
        return full(corpus, rare)
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

    stays = ~np.isin(corpus.train.labels, chosen)
    for label in chosen:
        stays[share_of_label(corpus.train.labels, label, keep, seed)] = True
    return _of_train(
        corpus,
        names,
        train=corpus.train.take(np.flatnonzero(stays)),
        validation=corpus.validation,
        test=corpus.test,
        scarce=chosen,
    )


# The name under which make_split, whose argument `scarce` hides the function, can call it.
_cut = scarce


def open_classes(corpus: TokenizedCorpus, share: float, seed: int) -> TokenizedCorpus:
    """Train on some of the labels, test on the others, which training never sees.

    ``round(share * C)`` labels, drawn at random, are trained on: train and validation keep
    their rows only. **Test holds every row of the other labels**, those of the train and
    validation parts too (in this order: train, validation, test), as is usual for open classes
    (CUB-200: Wah et al. 2011; Song et al. 2016): no model has seen them. The labels that are
    trained on come first in ``label_names``, so that a classifier has an output for each of
    these and no other. The vocabulary is rebuilt as by :func:`scarce`.

    Args:
        corpus: the whole corpus.
        share: the share of the labels to train on, in (0, 1).
        seed: chooses the labels, >= 0.

    Raises:
        UserError: ``share`` or ``seed`` out of range, or fewer than two labels on a side.
    """
    labels = len(corpus.label_names)
    if not 0 < share < 1:
        raise UserError(
            f"open is {share}, expected a share of the labels above 0 and below 1: 0.5 trains on "
            "half of them"
        )
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more: choose another")
    seen = round(share * labels)
    if not 2 <= seen <= labels - 2:
        raise UserError(
            f"open is {share}, so {seen} of the {labels} labels of the corpus are trained on, "
            "expected at least 2 on either side: choose another share, or a corpus with more "
            "labels"
        )
    order = np.random.default_rng(seed).permutation(labels)
    order = np.concatenate([np.sort(order[:seen]), np.sort(order[seen:])])
    new_label = np.argsort(order).astype(np.int32)
    parts = {part: _relabelled(getattr(corpus, part), new_label) for part in PARTS}
    known = {name: _rows(part, part.labels < seen) for name, part in parts.items()}
    unseen = [_rows(parts[name], parts[name].labels >= seen) for name in PARTS]
    if not len(known["train"]):
        raise UserError("no train row is left for the open split: raise data.limit or open")
    return _of_train(
        corpus,
        [corpus.label_names[label] for label in order],
        train=known["train"],
        validation=known["validation"],
        test=_joined(unseen),
        unseen=list(range(seen, labels)),
    )


def rows_of_test(frame: pd.DataFrame, unseen: Sequence[str]) -> NDArray[np.int64]:
    """Where the test texts of a split are in the frame of its corpus.

    Args:
        frame: the corpus, with the columns ``label`` and ``split``.
        unseen: names of the labels that only the test part has; empty except for open splits.

    Returns:
        (n,) row numbers of ``frame``, in the order of the split's test part.
    """
    part = frame["split"].to_numpy()
    if not len(unseen):
        return np.flatnonzero(part == "test")
    of_unseen = frame["label"].isin(list(unseen)).to_numpy()
    return np.concatenate([np.flatnonzero((part == name) & of_unseen) for name in PARTS])


def _of_train(
    corpus: TokenizedCorpus,
    label_names: list[str],
    *,
    train: LabelledTokens,
    validation: LabelledTokens,
    test: LabelledTokens,
    scarce: Sequence[int] = (),
    unseen: Sequence[int] = (),
) -> TokenizedCorpus:
    """A split with the vocabulary of its own train rows; the parts come in ``corpus``'s ids."""
    old = corpus.vocabulary.tokens
    vocabulary, new_ids = Vocabulary.ranked(old, token_counts(train.tokens, len(old)))
    return TokenizedCorpus(
        vocabulary,
        label_names,
        train=_renumbered(train, new_ids),
        validation=_renumbered(validation, new_ids),
        test=_renumbered(test, new_ids),
        scarce=list(scarce),
        unseen=list(unseen),
    )


def _renumbered(part: LabelledTokens, new_ids: NDArray[np.int32]) -> LabelledTokens:
    return LabelledTokens(part.tokens.remap(new_ids), part.labels)


def _rows(part: LabelledTokens, wanted: NDArray[np.bool_]) -> LabelledTokens:
    return part.take(np.flatnonzero(wanted))


def _relabelled(part: LabelledTokens, new_label: NDArray[np.int32]) -> LabelledTokens:
    return LabelledTokens(part.tokens, new_label[part.labels])


def _joined(parts: Sequence[LabelledTokens]) -> LabelledTokens:
    lengths = np.concatenate([part.tokens.lengths for part in parts])
    return LabelledTokens(
        RaggedTokens(
            np.concatenate([part.tokens.ids for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]),
        ),
        np.concatenate([part.labels for part in parts]),
    )

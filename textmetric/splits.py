"""Training sets of the study: full, with scarce labels, and with unseen labels. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from textmetric.errors import UserError
from textmetric.files import read_json, write_json
from textmetric.grid import ROLES, Layout, Role, Split, moved
from textmetric.params import SplitEntry
from textmetric.sampling.draws import rows_of_each, share_of_label
from textmetric.schema import validated
from textmetric.text import LabelledTokens, RaggedView, TokenizedCorpus, Tokens, Vocabulary
from textmetric.types import PARTS, Bools, Int64, Integers, PathLike

if TYPE_CHECKING:
    import pandas as pd

HELD_OUT = 0.2
"""Of the labels that an open split does not test, the share held out for validation."""


def write_entries(folder: PathLike, splits: Mapping[Split, SplitEntry]) -> None:
    """Write the entries of the splits of each role to ``<role>/splits.json``.

    Args:
        folder: the folder of all splits.
        splits: each split with its entry in params.yaml.
    """
    layout = Layout()
    for role in ROLES:
        entries = {split.name: entry for split, entry in splits.items() if split.role == role}
        write_json(
            moved(layout.entries(role), layout.splits, Path(folder)),
            {name: entry.written() for name, entry in entries.items()},
        )


def read_entries(layout: Layout, roles: Sequence[Role] = ROLES) -> dict[Split, SplitEntry]:
    """Read what :func:`write_entries` wrote: role by role, each in its order.

    Args:
        layout: the paths of all files.
        roles: the roles to read.

    Raises:
        UserError: a file is missing or damaged, or a name in it is not a plain folder name.
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
    unlabel: bool = False,
    seed: int = 0,
) -> TokenizedCorpus:
    """Make the training set that one entry of ``splits`` in params.yaml describes.

    Args:
        corpus: the whole corpus of the split's role.
        scarce: ids of the labels to cut, see :func:`cut_labels`; empty to cut none.
        keep: the share of their train rows that the scarce labels keep, in (0, 1].
        rare: mark this many labels with the fewest train rows, see :func:`full`.
        open_share: train and validate on this share of the labels and test on the others, see
            :func:`open_classes`; None for the same labels in all parts.
        unlabel: keep the text of the rows that a scarce label loses, see :func:`cut_labels`.
        seed: chooses the rows that stay, or the labels to train on, >= 0.

    Raises:
        UserError: a value is out of range, ``keep`` or ``unlabel`` is given without ``scarce``, or
            more than one of ``scarce``, ``rare`` and ``open`` is given.
    """
    kinds = {"scarce": len(scarce) > 0, "rare": rare > 0, "open": open_share is not None}
    given = [kind for kind, is_given in kinds.items() if is_given]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(given)} are both given, expected one of them: leave one out"
        )
    if keep != 1 and not kinds["scarce"]:
        raise UserError(
            f"keep is {keep} but scarce names no label to cut: name labels in scarce, or "
            "leave keep out"
        )
    if unlabel and not kinds["scarce"]:
        raise UserError(
            "unlabel is true but scarce names no label to cut: name labels in scarce, or leave "
            "unlabel out"
        )
    if kinds["scarce"]:
        return cut_labels(corpus, scarce, keep, seed, unlabel=unlabel)
    if open_share is not None:
        return open_classes(corpus, open_share, seed)
    return full(corpus, rare)


def full(corpus: TokenizedCorpus, rare: int = 0) -> TokenizedCorpus:
    """Return the whole corpus, with its ``rare`` smallest labels marked as ``scarce``.

    Args:
        corpus: any corpus.
        rare: how many labels with the fewest train rows to mark, ties by label id; at least 0,
            and fewer than there are, so that other labels remain to compare with.

    Raises:
        UserError: ``rare`` is out of range.
    """
    labels = len(corpus.label_names)
    if not 0 <= rare < labels:
        raise UserError(
            f"rare is {rare}, expected 0 to {labels - 1}, since the corpus has {labels} labels: "
            "choose a number in that range"
        )
    rarest = np.argsort(corpus.train_counts, kind="stable")[:rare]
    return replace(corpus.viewed(), scarce=sorted(rarest.tolist()))


def cut_labels(
    corpus: TokenizedCorpus,
    labels: Sequence[int],
    keep: float,
    seed: int,
    *,
    unlabel: bool = False,
) -> TokenizedCorpus:
    """Cut the train rows of some labels, and mark these labels as ``scarce``.

    :func:`.share_of_label` chooses the rows that stay: a label of n train rows keeps
    ``round(keep * n)`` of them, but at least 2 (a single row has no positive), and never more than
    n. The rows that stay keep their order.

    Validation and test keep all their rows, so that different splits are measured on the same
    texts. Texts without a label all stay. The vocabulary is built again from the train rows that
    stay and the texts without a label: tokens that no longer occur are dropped from it and from
    every part, and the others are ordered by their new frequencies. ``min_freq`` is not applied
    again: a token stays known as long as it occurs.

    Args:
        corpus: the whole corpus.
        labels: ids of the labels to cut, in any order; repeated ids count once.
        keep: the share of their train rows that these labels keep, in (0, 1].
        seed: chooses the rows, >= 0.
        unlabel: the other rows of these labels lose their label but not their text: they join the
            texts without a label, after those that the corpus has.

    Raises:
        UserError: no label is given, a label does not exist, or ``keep`` or ``seed`` is out of
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
    _check_seed(seed)
    corpus = corpus.viewed()
    stays = ~np.isin(corpus.train.labels, chosen)
    for label in chosen:
        stays[share_of_label(corpus.train.labels, label, keep, seed)] = True
    train = corpus.train.view(np.flatnonzero(stays))
    unlabelled = _without_labels(corpus, ~stays) if unlabel else corpus.unlabelled
    return _with_own_vocabulary(replace(corpus, train=train, scarce=chosen, unlabelled=unlabelled))


def of_rows(
    corpus: TokenizedCorpus, train: Integers, validation: Integers, test: Integers
) -> TokenizedCorpus:
    """Make the parts from rows of the train part; its other rows are left out.

    The vocabulary is built again from the new train part as in :func:`cut_labels`.

    Args:
        corpus: the whole corpus; its validation and test parts are not used.
        train: the rows to learn from.
        validation: the rows to choose by.
        test: the rows to measure on.
    """
    corpus = corpus.viewed()
    return _with_own_vocabulary(
        replace(
            corpus,
            train=corpus.train.view(train),
            validation=corpus.train.view(validation),
            test=corpus.train.view(test),
        )
    )


def few_rows(
    corpus: TokenizedCorpus, rows: int, seed: int, *, unlabel: bool = False
) -> TokenizedCorpus:
    """Keep as many train rows of every label, or all of one that has fewer.

    The rows are drawn by :func:`.rows_of_each`. Validation and test keep all their rows; the
    vocabulary is built again as in :func:`cut_labels`.

    Args:
        corpus: the whole corpus.
        rows: how many of each label, at least 2.
        seed: chooses the rows, >= 0.
        unlabel: the other rows lose their label but not their text, see :func:`cut_labels`.

    Raises:
        UserError: ``rows`` or ``seed`` is out of range.
    """
    _check_seed(seed)
    corpus = corpus.viewed()
    stays = np.zeros(len(corpus.train), dtype=bool)
    stays[rows_of_each(corpus.train.labels, rows, seed)] = True
    return _with_own_vocabulary(
        replace(
            corpus,
            train=corpus.train.view(np.flatnonzero(stays)),
            unlabelled=_without_labels(corpus, ~stays) if unlabel else corpus.unlabelled,
        )
    )


def _without_labels(corpus: TokenizedCorpus, rows: Bools) -> Tokens:
    """The texts without a label, and after them those of the given train rows."""
    return _one_after_another([corpus.unlabelled, corpus.train.tokens.view(np.flatnonzero(rows))])


def _one_after_another(views: Sequence[Tokens]) -> Tokens:
    """Views of the same sources as one."""
    same = [view for view in views if isinstance(view, RaggedView)]
    assert len(same) == len(views)
    return replace(same[0], rows=np.concatenate([view.rows for view in same]))


def open_classes(corpus: TokenizedCorpus, share: float, seed: int) -> TokenizedCorpus:
    """Train on some of the labels, validate on others, and test on the rest.

    The labels are drawn at random. Of the C labels, ``n = round(share * C)`` are not tested. Of
    these, ``round(HELD_OUT * n)``, but at least 2, are held out for validation, and the other
    ones are trained on. If fewer than 2 would be trained on (n below 4), none is held out and the
    validation part is empty.

    Train keeps its rows of the labels that are trained on. **Validation and test hold every row
    of their labels**, from the train, validation and test parts in this order, as is usual for
    open classes (CUB-200: Wah et al. 2011; Song et al. 2016). The labels that are trained on come
    first in ``label_names``, so that a classifier has an output for each of them and no other;
    then those held out, then those of test. Texts without a label all stay. The vocabulary is
    built again as in :func:`cut_labels`.

    Args:
        corpus: the whole corpus.
        share: the share of the labels for training and validation, in (0, 1).
        seed: chooses the labels, >= 0.

    Raises:
        UserError: ``share`` or ``seed`` is out of range, fewer than two labels are left for
            training or for test, or no train row is left.
    """
    labels = len(corpus.label_names)
    if not 0 < share < 1:
        raise UserError(
            f"open is {share}, expected a share of the labels above 0 and below 1: 0.5 trains on "
            "one half and tests on the other"
        )
    _check_seed(seed)
    seen = round(share * labels)
    if not 2 <= seen <= labels - 2:
        raise UserError(
            f"open is {share}, so of the {labels} labels of the corpus {seen} are for training and "
            f"{labels - seen} for test, expected at least 2 each: choose another share, or a "
            "corpus with more labels"
        )
    held_out = max(2, round(HELD_OUT * seen))
    trained = seen - held_out if seen - held_out >= 2 else seen
    drawn = np.random.default_rng(seed).permutation(labels)
    order = np.concatenate([np.sort(few) for few in np.split(drawn, [trained, seen])])
    new_label = np.argsort(order).astype(np.int32)
    corpus = corpus.viewed()
    parts = []
    for part in PARTS:
        rows: LabelledTokens = getattr(corpus, part)
        parts.append(replace(rows, labels=new_label[rows.labels]))
    train = _rows_of_labels(parts[:1], 0, trained)
    if not len(train):
        raise UserError("no train row is left for the open split: raise data.limit or open")
    return _with_own_vocabulary(
        TokenizedCorpus(
            corpus.vocabulary,
            [corpus.label_names[label] for label in order],
            train=train,
            validation=_rows_of_labels(parts, trained, seen),
            test=_rows_of_labels(parts, seen, labels),
            held_out=list(range(trained, seen)),
            unseen=list(range(seen, labels)),
            given=corpus.given,
            found=corpus.found,
            unlabelled=corpus.unlabelled,
        )
    )


def _rows_of_labels(parts: Sequence[LabelledTokens], first: int, end: int) -> LabelledTokens:
    """The rows of the labels ``first`` to ``end - 1``, part by part."""
    found = [
        rows.view(np.flatnonzero((first <= rows.labels) & (rows.labels < end))) for rows in parts
    ]
    texts = [rows.texts for rows in found if rows.texts is not None]
    return LabelledTokens(
        _one_after_another([rows.tokens for rows in found]),
        np.concatenate([rows.labels for rows in found]),
        np.concatenate(texts) if texts else None,
    )


def rows_of_test(frame: pd.DataFrame, unseen: Sequence[str]) -> Int64:
    """The rows of a corpus that are the test part of a split.

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


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more: choose another")


def _with_own_vocabulary(split: TokenizedCorpus) -> TokenizedCorpus:
    """Build the vocabulary again from the texts to learn from, and give every part its ids.

    Tokens that have a given vector stay, whether they occur or not.
    """
    old = split.vocabulary
    counts = split.train.tokens.counts(len(old)) + split.unlabelled.counts(len(old))
    if split.given:
        stays = np.flatnonzero((np.arange(len(old)) < split.given) | (counts > 0))
        vocabulary = Vocabulary([old.tokens[place] for place in stays.tolist()], old.tokenizer)
        new_ids = np.zeros(len(old), np.int32)
        new_ids[stays] = np.arange(len(stays))
    else:
        vocabulary, new_ids = Vocabulary.ranked(old.tokens, counts, tokenizer=old.tokenizer)

    def renumbered(rows: LabelledTokens) -> LabelledTokens:
        return replace(rows, tokens=rows.tokens.remap(new_ids))

    return replace(
        split,
        vocabulary=vocabulary,
        train=renumbered(split.train),
        validation=renumbered(split.validation),
        test=renumbered(split.test),
        unlabelled=split.unlabelled.remap(new_ids),
    )

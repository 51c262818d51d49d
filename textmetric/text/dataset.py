"""A whole corpus as arrays: vocabulary, labels, and the tokens of train, validation and test."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from textmetric.errors import UserError, needing
from textmetric.files import (
    damaged,
    map_array,
    read_json,
    reading,
    release,
    replacing_folder,
    write_array,
    write_json,
)
from textmetric.text.ragged import RaggedTokens, RaggedView, Tokens, row_numbers
from textmetric.text.tokenizer import BASIC_ENGLISH, Tokenizer, chunks
from textmetric.text.vocabulary import UNKNOWN, Vocabulary
from textmetric.types import PARTS, UNLABELLED, Bools, Int32, Int64, Integers, PathLike

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS_AT_ONCE = 1 << 13
_IDS_AT_ONCE = 1 << 22  # that are checked before their pages go back to the system


@dataclass(frozen=True, eq=False)
class LabelledTokens:
    """Texts as token ids, each with the id of its label.

    Args:
        tokens: n rows of token ids.
        labels: (n,) int32, ids >= 0 into ``label_names`` of the corpus.
        texts: (n,) int32, the row of each text among the vectors of the corpus's texts, for a
            frozen encoder; None if there are no such vectors.

    Raises:
        ValueError: the labels or the rows have another type or number.
    """

    tokens: Tokens
    labels: Int32
    texts: Int32 | None = None

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int32 or self.labels.shape != (len(self.tokens),):
            raise ValueError(
                f"labels are {self.labels.dtype} of shape {self.labels.shape}, expected int32, "
                f"one for each of the {len(self.tokens)} rows"
            )
        if self.texts is not None and (
            self.texts.dtype != np.int32 or self.texts.shape != self.labels.shape
        ):
            raise ValueError(
                f"texts are {self.texts.dtype} of shape {self.texts.shape}, expected int32, one "
                f"for each of the {len(self.tokens)} rows"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: ArrayLike) -> LabelledTokens:
        """Copy the given rows, in the given order; see :meth:`RaggedTokens.take`."""
        rows = row_numbers(rows)
        return self._with(self.tokens.take(rows), rows)

    def view(self, rows: ArrayLike) -> LabelledTokens:
        """The same rows as :meth:`take`, whose tokens are read when they are asked for."""
        rows = row_numbers(rows)
        return self._with(self.tokens.view(rows), rows)

    def _with(self, tokens: Tokens, rows: Integers) -> LabelledTokens:
        texts = None if self.texts is None else self.texts[rows]
        return LabelledTokens(tokens, self.labels[rows], texts)

    def by_text(self, texts: int) -> LabelledTokens:
        """The same rows for a frozen encoder: each has one token, its row among the vectors.

        Args:
            texts: how many vectors there are.

        Raises:
            UserError: the rows are unknown, or there is no such vector.
        """
        if self.texts is None or (len(self.texts) and self.texts.max() >= texts):
            raise UserError(
                "the training sets do not match the vectors of the texts: run the stages tokenize, "
                "encode and split again (dvc repro)"
            )
        return replace(self, tokens=RaggedTokens.one_each(self.texts))

    def save(self, prefix: PathLike, *, rows: bool = False) -> None:
        """Write ``<prefix>.ids.npy``, ``<prefix>.offsets.npy`` and ``<prefix>.labels.npy``.

        If there are vectors of the texts, their rows are written to ``<prefix>.texts.npy``.

        Args:
            prefix: the folder, and what the names of the files start with.
            rows: write which rows of their corpus the texts are, ``<prefix>.rows.npy``, in place
                of their tokens, see :meth:`TokenizedCorpus.save`.
        """
        _save_tokens(self.tokens, prefix, rows)
        write_array(f"{os.fspath(prefix)}.labels.npy", self.labels)
        if self.texts is not None:
            write_array(f"{os.fspath(prefix)}.texts.npy", self.texts)

    @classmethod
    def load(cls, prefix: PathLike, *, stored: RaggedView | None = None) -> LabelledTokens:
        """Map what :meth:`save` wrote into memory, read only.

        Args:
            prefix: as it was given to :meth:`save`.
            stored: the tokens of the corpus, if the rows of the texts were written.

        Raises:
            UserError: a file is missing or damaged, or does not match the others.
        """
        path = f"{os.fspath(prefix)}.labels.npy"
        tokens, labels = _load_tokens(prefix, stored), map_array(path, np.int32)
        if len(labels) != len(tokens):
            raise damaged(
                path,
                f"holds {len(labels)} labels, expected one for each of the {len(tokens)} rows of "
                "tokens next to it",
            )
        path = f"{os.fspath(prefix)}.texts.npy"
        texts = map_array(path, np.int32) if os.path.exists(path) else None
        if texts is not None and (len(texts) != len(tokens) or (texts < 0).any()):
            raise damaged(
                path, f"does not hold a row for each of the {len(tokens)} rows of tokens next to it"
            )
        return cls(tokens, labels, texts)


@dataclass(frozen=True, eq=False)
class TokenizedCorpus:
    """A corpus ready for training, without the text.

    Args:
        vocabulary: the tokens of the train part and of the texts without a label.
        label_names: the name of each label id.
        train: the texts to learn from.
        validation: the texts to tune with; may be empty.
        test: the texts to measure on; may be empty.
        scarce: ids of the labels that were cut or are rare, rising; they are also measured alone.
        held_out: ids of the labels that only the validation part has: the last ones before
            ``unseen``, or none.
        unseen: ids of the labels that only the test part has: the last ones, or none.
        given: how many tokens of the vocabulary, ``<unk>`` included, came with given vectors: the
            first ones, or none.
        found: the share of the train texts' tokens, in [0, 1], that are among these; NaN if there
            are none.
        unlabelled: more texts to learn from, without a label; none by default.
    """

    vocabulary: Vocabulary
    label_names: list[str]
    train: LabelledTokens
    validation: LabelledTokens
    test: LabelledTokens
    scarce: list[int] = field(default_factory=list)
    held_out: list[int] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)
    given: int = 0
    found: float = math.nan
    unlabelled: Tokens = field(default_factory=RaggedTokens.empty)

    @property
    def texts(self) -> Tokens:
        """All texts to learn from: those of train, then those without a label."""
        if not len(self.unlabelled):
            return self.train.tokens
        return RaggedView.over([self.train.tokens, self.unlabelled])

    def viewed(self) -> TokenizedCorpus:
        """The same corpus, each part a view of all its texts: the parts, then those unlabelled."""
        parts = {part: getattr(self, part) for part in PARTS}
        sources = (*(part.tokens for part in parts.values()), self.unlabelled)
        ends = np.cumsum([0, *map(len, sources)])
        *views, unlabelled = (
            RaggedView(sources, np.arange(start, end, dtype=np.int32))
            for start, end in pairwise(ends.tolist())
        )
        found = {
            name: replace(part, tokens=view)
            for (name, part), view in zip(parts.items(), views, strict=True)
        }
        return replace(self, unlabelled=unlabelled, **found)

    def by_text(self, texts: int) -> TokenizedCorpus:
        """The corpus as a frozen encoder takes it, see :meth:`LabelledTokens.by_text`."""
        parts = {part: getattr(self, part).by_text(texts) for part in PARTS}
        return replace(
            self, vocabulary=Vocabulary([UNKNOWN]), unlabelled=RaggedTokens.empty(), **parts
        )

    @property
    def trained_labels(self) -> list[str]:
        """The names of the labels that training sees; their ids are the same."""
        return self.label_names[: len(self.label_names) - len(self.held_out + self.unseen)]

    @property
    def train_counts(self) -> Int64:
        """(number of labels,) the number of train rows of each label."""
        return np.bincount(self.train.labels, minlength=len(self.label_names))

    @property
    def empty_rows(self) -> dict[str, int]:
        """How many rows of each part have no known token; their embedding is zero."""
        return {
            part: int(np.count_nonzero(getattr(self, part).tokens.lengths == 0)) for part in PARTS
        }

    def save(
        self,
        folder: PathLike,
        *,
        within: PathLike | None = None,
        tokens: PathLike | None = None,
    ) -> None:
        """Write the corpus as a folder of its own, and replace what is there.

        The files are ``vocabulary.txt``; ``labels.json`` (``names``, ``train_rows`` by label,
        ``scarce``, ``held_out``, ``unseen``, ``empty_rows`` by part); ``ids``, ``offsets`` and
        ``labels`` of each part as ``.npy``, and ``texts`` if there are vectors of the texts. If
        there are texts without a label, also their ``ids`` and ``offsets``, and
        ``unlabelled_rows`` in ``labels.json``.

        Of a split, ``tokens`` says where the tokens are. Then ``rows`` takes the place of ``ids``
        and ``offsets``: the row of each text among those of train, validation, test and without
        a label, one after another. If the split has a vocabulary of its own, ``new_ids.npy`` has
        the id there of each id of the tokens, 0 for a token that it lacks. The folder can only be
        read together with the tokens.

        Args:
            folder: the folder to write.
            within: a folder that must contain it, see :func:`textmetric.files.replacing_folder`.
            tokens: the folder of the corpus that this one is a split of, relative to ``folder``;
                None: write the tokens.
        """
        with replacing_folder(folder, within=within) as temporary:
            self.vocabulary.save(temporary / "vocabulary.txt")
            for part in PARTS:
                getattr(self, part).save(temporary / part, rows=tokens is not None)
            about: dict[str, Any] = {
                "names": self.label_names,
                "train_rows": self.train_counts,
                "scarce": self.scarce,
                "held_out": self.held_out,
                "unseen": self.unseen,
                "empty_rows": self.empty_rows,
            }
            if self.given:
                about |= {"given": self.given, "found": self.found}
            if len(self.unlabelled):
                _save_tokens(self.unlabelled, temporary / UNLABELLED, tokens is not None)
                about["unlabelled_rows"] = len(self.unlabelled)
            if tokens is not None:
                view = _as_view(self.train.tokens)
                about["tokens"] = {
                    "folder": Path(tokens).as_posix(),
                    "rows": list(map(len, view.sources)),
                    "renumbered": view.new_ids is not None,
                }
                if view.new_ids is not None:
                    write_array(temporary / "new_ids.npy", view.new_ids)
            write_json(temporary / "labels.json", about)

    @classmethod
    def load(cls, folder: PathLike) -> TokenizedCorpus:
        """Read what :meth:`save` wrote; the arrays are mapped into memory, read only.

        Raises:
            UserError: a file is missing or damaged, or does not match the others.
        """
        folder = Path(folder)
        path = folder / "labels.json"
        about = read_json(path)
        with reading(path, "JSON with the lists names, scarce, held_out and unseen"):
            names = list(map(str, about["names"]))
            scarce, held_out, unseen = (
                list(map(int, about[key])) for key in ("scarce", "held_out", "unseen")
            )
            given, found = int(about.get("given", 0)), float(about.get("found", math.nan))
            more = int(about.get("unlabelled_rows", 0))
        vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        stored = _stored(folder, about, len(vocabulary)) if "tokens" in about else None
        parts = {part: LabelledTokens.load(folder / part, stored=stored) for part in PARTS}
        for part, rows in parts.items():
            # Otherwise an id out of range fails much later, in training.
            if isinstance(rows.tokens, RaggedTokens):
                _check_range(folder / f"{part}.ids.npy", rows.tokens.ids, 1, len(vocabulary))
            _check_range(folder / f"{part}.labels.npy", rows.labels, 0, len(names))
        _check_range(path, np.array(scarce, np.int64), 0, len(names))
        others = held_out + unseen
        if others != list(range(len(names) - len(others), len(names))):
            raise damaged(
                path,
                f"has the held-out labels {held_out} and the unseen labels {unseen}, expected the "
                f"last of the {len(names)} in this order",
            )
        unlabelled: Tokens = RaggedTokens.empty()
        if more:
            unlabelled = _load_tokens(folder / UNLABELLED, stored)
        if len(unlabelled) != more:
            kind = "offsets" if stored is None else "rows"
            raise damaged(
                folder / f"{UNLABELLED}.{kind}.npy",
                f"holds {len(unlabelled)} rows, expected the {more} of labels.json next to it",
            )
        if isinstance(unlabelled, RaggedTokens):
            _check_range(folder / f"{UNLABELLED}.ids.npy", unlabelled.ids, 1, len(vocabulary))
        return cls(
            vocabulary,
            names,
            **parts,
            scarce=scarce,
            held_out=held_out,
            unseen=unseen,
            given=given,
            found=found,
            unlabelled=unlabelled,
        )


def tokenize_train(
    texts: Iterable[str],
    *,
    min_freq: int = 1,
    max_size: int | None = None,
    tokenizer: Tokenizer = BASIC_ENGLISH,
) -> tuple[Vocabulary, RaggedTokens]:
    """Build the vocabulary of ``texts`` and encode them, in one pass.

    Args:
        texts: the train texts.
        min_freq: tokens that occur less often are left out, >= 1.
        max_size: how many tokens to keep at most, without ``<unk>``, >= 1; None for all.
        tokenizer: splits the texts; the vocabulary keeps it.

    Raises:
        UserError: an argument is out of range, there is no token at all, or an item is not a
            string.
    """
    from textmetric.text.numbering import TokenNumbers, renumber

    # A token gets its number when it first occurs, and its id when all frequencies are known.
    # 0 is <unk> in both, so a literal "<unk>" is dropped.
    table = TokenNumbers([UNKNOWN])
    rows = RaggedTokens.joined(
        table.rows(tokenizer.separated(chunk), grow=True) for chunk in chunks(texts)
    )
    vocabulary, new_ids = Vocabulary.ranked(
        table.tokens(), table.counts, min_freq=min_freq, max_size=max_size, tokenizer=tokenizer
    )
    kept = renumber(rows.ids, rows.offsets, new_ids)
    return vocabulary, RaggedTokens(rows.ids[:kept], rows.offsets)


def tokenize_given(
    texts: Iterable[str],
    given: Vocabulary,
    *,
    extend: bool = False,
    min_freq: int = 1,
    max_size: int | None = None,
) -> tuple[Vocabulary, RaggedTokens, float]:
    """Encode ``texts`` by the vocabulary that came with given token vectors.

    Args:
        texts: the train texts.
        given: the tokens that have a vector, with their tokenizer.
        extend: add the tokens of the texts that have none, after the others.
        min_freq: those that occur less often are not added, >= 1.
        max_size: how many to add at most, >= 1; None for all.

    Returns:
        The vocabulary; the tokens that it knows; the share of the texts' tokens, in [0, 1], that
        have a given vector.

    Raises:
        UserError: see :func:`tokenize_train`.
    """
    found, rows = tokenize_train(texts, tokenizer=given.tokenizer)
    counts = np.bincount(rows.ids, minlength=len(found))
    vocabulary, ids, share = _known_by(
        given, found, counts, extend=extend, min_freq=min_freq, max_size=max_size
    )
    return vocabulary, rows.remap(ids), share


def _known_by(
    given: Vocabulary,
    found: Vocabulary,
    counts: Int64,
    *,
    extend: bool,
    min_freq: int,
    max_size: int | None,
) -> tuple[Vocabulary, Int32, float]:
    """What :func:`tokenize_given` knows of texts.

    Args:
        given: see :func:`tokenize_given`.
        found: all tokens of the texts.
        counts: (len(found),) how often each occurs.
        extend: see :func:`tokenize_given`.
        min_freq: see :func:`tokenize_given`.
        max_size: see :func:`tokenize_given`.

    Returns:
        The vocabulary; (len(found),) the id of each token, 0 for unknown; the share.
    """
    ids = np.fromiter((given.ids.get(token, 0) for token in found.tokens), np.int32, len(found))
    share = float(counts[ids > 0].sum() / counts.sum())
    vocabulary = given
    if extend:
        ids[0] = -1  # <unk> is no token of the texts
        new = np.flatnonzero((ids == 0) & (counts >= min_freq))[:max_size]
        ids[0] = 0
        vocabulary = given.extended(found.tokens[place] for place in new.tolist())
        ids[new] = np.arange(len(given), len(vocabulary))
    return vocabulary, ids, share


def tokenize_corpus(
    frame: pd.DataFrame,
    *,
    min_freq: int = 1,
    max_size: int | None = None,
    given: Vocabulary | None = None,
    extend: bool = False,
    tokenizer: Tokenizer = BASIC_ENGLISH,
    keep_rows: bool = False,
    progress: bool = True,
) -> TokenizedCorpus:
    """Tokenise a corpus; the vocabulary comes from its train rows and texts without a label only.

    The rows of each part keep their order. Label ids follow the sorted names of all labels in
    the frame.

    Args:
        frame: one row a text, columns ``text``, ``label`` and ``split`` (train, validation, test,
            or unlabelled for a text without a label), as :func:`textmetric.corpora.load` returns
            it.
        min_freq: tokens that occur less often in train are unknown, >= 1.
        max_size: how many tokens to know at most, without ``<unk>``, >= 1; None for all.
        given: the tokens that have a given vector, all of them known; see
            :func:`tokenize_given` for what the other arguments mean then.
        extend: add the train tokens that have none.
        tokenizer: splits the texts, unless ``given`` has one.
        keep_rows: note the row of each text in the frame, as the vectors of a frozen encoder need.
        progress: show a progress bar.

    Raises:
        UserError: there is no train row, a row has no text or label, a part is unknown, an
            argument is out of range, or no token is left.
    """
    import pandas as pd

    part_codes, parts = pd.factorize(frame["split"])
    labelled = frame["label"].notna().to_numpy()
    label_codes = np.full(len(frame), -1)
    label_codes[labelled], labels = pd.factorize(frame["label"][labelled].astype(str))

    def texts(wanted: Bools) -> Iterator[str]:
        for start in range(0, len(frame), _ROWS_AT_ONCE):
            block = frame["text"].iloc[start : start + _ROWS_AT_ONCE].to_numpy(dtype=object)
            yield from block[wanted[start : start + _ROWS_AT_ONCE]]

    return _tokenized(
        _Column(list(map(str, parts)), part_codes),
        _Column(list(map(str, labels)), label_codes),
        texts,
        min_freq=min_freq,
        max_size=max_size,
        given=given,
        extend=extend,
        tokenizer=tokenizer,
        keep_rows=keep_rows,
        progress=progress,
    )


def tokenize_file(
    path: PathLike,
    *,
    min_freq: int = 1,
    max_size: int | None = None,
    given: Vocabulary | None = None,
    extend: bool = False,
    tokenizer: Tokenizer = BASIC_ENGLISH,
    keep_rows: bool = False,
    folder: PathLike | None = None,
    progress: bool = True,
) -> TokenizedCorpus:
    """Tokenise a corpus in a file like :func:`tokenize_corpus`, without reading it whole.

    A quarter of a million texts or more are tokenised by parts of the file in parallel processes;
    the result does not depend on the parts.

    Args:
        path: a parquet file with the columns ``text``, ``label`` and ``split``, all strings. One
            row group at a time is in memory, and the tokens of a part of the file.
        min_freq: as in :func:`tokenize_corpus`.
        max_size: as in :func:`tokenize_corpus`.
        given: as in :func:`tokenize_corpus`.
        extend: as in :func:`tokenize_corpus`.
        tokenizer: as in :func:`tokenize_corpus`.
        keep_rows: as in :func:`tokenize_corpus`.
        folder: for the arrays, which are mapped into memory. They are in a temporary folder in it
            that is gone when this returns; the space on the disk is free again when the corpus is.
            None for the system's folder for temporary files.
        progress: show a progress bar.

    Raises:
        UserError: the file is missing or is not such a table, or as in :func:`tokenize_corpus`.
    """
    with needing("a corpus in parquet", "study"):
        import pyarrow as pa
        import pyarrow.parquet

    content = "a parquet table with the columns text, label and split"
    with reading(path, content, pa.ArrowException):
        file = pyarrow.parquet.ParquetFile(path)
        about = file.read(columns=["split", "label"])
        parts, labels = (_column(about[name].combine_chunks()) for name in ("split", "label"))
        if "text" not in file.schema_arrow.names:
            raise KeyError("text")

    table = _checked(parts, labels)
    from textmetric.text.by_parts import Numbered, Wanted

    learnt = {UNLABELLED: int(np.count_nonzero(table.rows["train"]))}
    wanted = [Wanted(part, rows, learnt.get(part, 0)) for part, rows in table.rows.items()]
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        splitter = tokenizer if given is None else given.tokenizer
        # relative where the folder is: newer Pythons give an absolute one
        place = Path(temporary) if folder is None else Path(folder, Path(temporary).name)
        numbered = Numbered(Path(path), place, wanted, tokenizer=splitter, progress=progress)
        numbers, counts = numbered.counted(["train", UNLABELLED])
        names, share = numbers.tokens(), math.nan
        del numbers
        if given is None:
            vocabulary, _ = Vocabulary.ranked(
                names, counts, min_freq=min_freq, max_size=max_size, tokenizer=tokenizer
            )
        else:
            every, ids = Vocabulary.ranked(names, counts, tokenizer=splitter)
            of_each = np.zeros(len(every), np.int64)
            of_each[ids] = counts
            of_each[0] = 0  # that of a literal <unk>
            vocabulary, _, share = _known_by(
                given, every, of_each, extend=extend, min_freq=min_freq, max_size=max_size
            )
        del names
        tokens = numbered.tokens(vocabulary)
    return table.corpus(vocabulary, tokens, given=given, found=share, keep_rows=keep_rows)


class _Column(NamedTuple):
    """The values of a column of strings.

    Attributes:
        names: the different values, in any order.
        codes: (n,) the place of each row's value in ``names``, -1 where it is missing.
    """

    names: list[str]
    codes: Integers


def _column(values: pa.Array) -> _Column:
    encoded = values.dictionary_encode()
    return _Column(
        list(map(str, encoded.dictionary.to_pylist())),
        encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False),
    )


class _Table(NamedTuple):
    """A corpus without its texts.

    Attributes:
        rows: (n,) by part, and for texts without a label: which rows are in it, as a mask.
        names: of the labels, sorted.
        codes: (n,) the place of each row's label in ``names``; any number where there is none.
    """

    rows: dict[str, Bools]
    names: list[str]
    codes: Int32

    def corpus(
        self,
        vocabulary: Vocabulary,
        tokens: Mapping[str, RaggedTokens],
        *,
        given: Vocabulary | None,
        found: float,
        keep_rows: bool,
    ) -> TokenizedCorpus:
        """The corpus with the tokens of each part, and of the texts without a label."""

        def labelled(part: str) -> LabelledTokens:
            rows = self.rows[part]
            places = np.flatnonzero(rows).astype(np.int32) if keep_rows else None
            return LabelledTokens(tokens[part], self.codes[rows], places)

        return TokenizedCorpus(
            vocabulary,
            self.names,
            train=labelled("train"),
            validation=labelled("validation"),
            test=labelled("test"),
            given=0 if given is None else len(given),
            found=found,
            unlabelled=tokens[UNLABELLED],
        )


def _checked(parts: _Column, labels: _Column) -> _Table:
    """What the columns ``split`` and ``label`` say.

    Raises:
        UserError: see :func:`tokenize_corpus`.
    """
    known = (*PARTS, UNLABELLED)
    unknown = sorted({*parts.names, *["nan"] * bool((parts.codes < 0).any())} - set(known))
    if unknown:
        raise UserError(
            f"column split holds {unknown[0]!r}, expected {', '.join(known)}: rename it"
        )
    if "train" not in parts.names:
        raise UserError("the corpus has no train row: add some, or lower data.validation")
    rows = {
        part: parts.codes == (parts.names.index(part) if part in parts.names else -1)
        for part in known
    }
    missing = np.flatnonzero((labels.codes < 0) & ~rows[UNLABELLED])
    if missing.size:
        raise UserError(
            f"row {missing[0]} (counted from 0) has no label: fill or drop it, or write "
            f"{UNLABELLED} in its column split"
        )
    named = np.flatnonzero((labels.codes >= 0) & rows[UNLABELLED])
    if named.size:
        raise UserError(
            f"row {named[0]} (counted from 0) has a label, but {UNLABELLED} in its column "
            "split: write train there, or empty the label"
        )
    order = sorted(range(len(labels.names)), key=labels.names.__getitem__)
    codes = np.argsort(order).astype(np.int32)[labels.codes]
    return _Table(rows, [labels.names[label] for label in order], codes)


def _tokenized(
    parts: _Column,
    labels: _Column,
    texts: Callable[[Bools], Iterable[str]],
    *,
    min_freq: int,
    max_size: int | None,
    given: Vocabulary | None,
    extend: bool,
    tokenizer: Tokenizer,
    keep_rows: bool,
    progress: bool,
) -> TokenizedCorpus:
    """See :func:`tokenize_corpus`; ``texts`` returns the texts where its argument is true."""
    table = _checked(parts, labels)
    with needing("tokenizing a corpus", "train"):
        from tqdm import tqdm  # here, since those who only read a vocabulary may lack it

    def of_part(part: str) -> Iterable[str]:
        bar: Iterable[str] = tqdm(
            texts(table.rows[part]),
            desc=f"tokenize {part}",
            total=int(np.count_nonzero(table.rows[part])),
            unit=" texts",
            disable=not progress,
        )
        return bar

    found = math.nan
    learnt: Iterable[str] = of_part("train")
    if UNLABELLED in parts.names:
        learnt = chain(learnt, of_part(UNLABELLED))
    if given is None:
        vocabulary, tokens = tokenize_train(
            learnt, min_freq=min_freq, max_size=max_size, tokenizer=tokenizer
        )
    else:
        vocabulary, tokens, found = tokenize_given(
            learnt, given, extend=extend, min_freq=min_freq, max_size=max_size
        )
    train, unlabelled = tokens.cut(int(np.count_nonzero(table.rows["train"])))
    validation, test = (vocabulary.encode(of_part(part)) for part in PARTS[1:])
    by_part = {"train": train, "validation": validation, "test": test, UNLABELLED: unlabelled}
    return table.corpus(vocabulary, by_part, given=given, found=found, keep_rows=keep_rows)


def _as_view(tokens: Tokens) -> RaggedView:
    """What has rows to write."""
    if isinstance(tokens, RaggedTokens):
        raise ValueError("the tokens are no view of those of a corpus: take the split of a corpus")
    return tokens


def _save_tokens(tokens: Tokens, prefix: PathLike, rows: bool) -> None:
    if rows:
        write_array(f"{os.fspath(prefix)}.rows.npy", _as_view(tokens).rows.astype(np.int32))
    else:
        tokens.save(prefix)


def _load_tokens(prefix: PathLike, stored: RaggedView | None) -> Tokens:
    if stored is None:
        return RaggedTokens.load(prefix)
    path = Path(f"{os.fspath(prefix)}.rows.npy")
    rows = map_array(path, np.int32)
    _check_range(path, rows, 0, sum(map(len, stored.sources)))
    return replace(stored, rows=rows)


def _stored(folder: Path, about: Mapping[str, Any], tokens: int) -> RaggedView:
    """No row of the tokens that a split was made from, with its own ids.

    Args:
        folder: of the split.
        about: its ``labels.json``.
        tokens: size of its vocabulary.
    """
    path = folder / "labels.json"
    with reading(path, "JSON that says which tokens it is of"):
        where = about["tokens"]
        place = Path(os.path.normpath(folder / where["folder"]))
        expected, renumbered = list(map(int, where["rows"])), bool(where["renumbered"])
        if len(expected) != len(PARTS) + 1:
            raise ValueError(f"rows of {len(expected)} parts")
    new_ids: Int32 | None = None
    if renumbered:
        new_ids = map_array(folder / "new_ids.npy", np.int32)
        _check_range(folder / "new_ids.npy", new_ids, 0, tokens)
        tokens = len(new_ids)
    sources = []
    for name, rows in zip((*PARTS, UNLABELLED), expected, strict=True):
        part = RaggedTokens.load(place / name) if rows or name in PARTS else RaggedTokens.empty()
        if len(part) != rows:
            raise damaged(path, f"is of other tokens than those of {place}")
        _check_range(place / f"{name}.ids.npy", part.ids, 1, tokens)
        sources.append(part)
    return RaggedView(tuple(sources), np.empty(0, np.int32), new_ids)


def _check_range(path: Path, ids: Integers, low: int, end: int) -> None:
    for first in range(0, ids.size, _IDS_AT_ONCE):
        some = ids[first : first + _IDS_AT_ONCE]
        if some.min() < low or some.max() >= end:
            raise damaged(
                path, f"holds an id outside {low} to {end - 1}, so it does not match its folder"
            )
        release(ids)

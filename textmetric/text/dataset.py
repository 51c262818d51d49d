"""A whole corpus as arrays: vocabulary, labels, and the tokens of train, validation and test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from textmetric.errors import UserError
from textmetric.files import read_json, replacing_folder, write_json
from textmetric.text.ragged import RaggedTokens, map_array, write_array
from textmetric.text.tokenizer import BASIC_ENGLISH
from textmetric.text.vocabulary import UNKNOWN, Vocabulary
from textmetric.types import PARTS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Frequencies are counted by blocks of tokens: np.bincount copies what it counts to int64.
_TOKENS_AT_ONCE = 1 << 22
_ROWS_AT_ONCE = 1 << 13


@dataclass(frozen=True, eq=False)
class LabelledTokens:
    """Texts as token ids, each with the id of its label.

    Args:
        tokens: n rows of token ids.
        labels: (n,) int32, ids >= 0 into ``label_names`` of the corpus.

    Raises:
        ValueError: labels of another type or number.
    """

    tokens: RaggedTokens
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int32 or self.labels.shape != (len(self.tokens),):
            raise ValueError(
                f"labels are {self.labels.dtype} of shape {self.labels.shape}, expected int32, "
                f"one for each of the {len(self.tokens)} rows"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: ArrayLike) -> LabelledTokens:
        """Copy the given rows, in the given order; see :meth:`RaggedTokens.take`."""
        rows = np.asarray(rows)
        if rows.size == 0:
            rows = rows.astype(np.int64)
        return LabelledTokens(self.tokens.take(rows), self.labels[rows])

    def save(self, prefix: str | os.PathLike[str]) -> None:
        """Write ``<prefix>.ids.npy``, ``<prefix>.offsets.npy`` and ``<prefix>.labels.npy``."""
        self.tokens.save(prefix)
        write_array(f"{os.fspath(prefix)}.labels.npy", self.labels)

    @classmethod
    def load(cls, prefix: str | os.PathLike[str]) -> LabelledTokens:
        """Map what :meth:`save` wrote into memory, read only.

        Raises:
            UserError: a file is missing, damaged, or does not fit the others.
        """
        path = f"{os.fspath(prefix)}.labels.npy"
        tokens, labels = RaggedTokens.load(prefix), map_array(path, np.int32)
        if len(labels) != len(tokens):
            raise UserError(
                f"{path} holds {len(labels)} labels, expected one for each of the {len(tokens)} "
                "rows of tokens next to it: write them again (dvc repro)"
            )
        return cls(tokens, labels)


@dataclass(frozen=True, eq=False)
class TokenizedCorpus:
    """A corpus ready for training: complete in one folder, without the text.

    Args:
        vocabulary: the tokens of the train part.
        label_names: the name of each label id.
        train: the texts to learn from.
        validation: the texts to tune with; may have no row.
        test: the texts to measure on; may have no row.
        scarce: ids of the labels that were cut or are rare, rising; the measures tell of them
            apart.
        unseen: ids of the labels that only the test part has: the last ones, or none.
    """

    vocabulary: Vocabulary
    label_names: list[str]
    train: LabelledTokens
    validation: LabelledTokens
    test: LabelledTokens
    scarce: list[int] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)

    @property
    def trained_labels(self) -> list[str]:
        """The names of the labels that training sees; a label's id is its place here too."""
        return self.label_names[: len(self.label_names) - len(self.unseen)]

    @property
    def train_counts(self) -> NDArray[np.int64]:
        """(number of labels,) int64, the train rows of each label."""
        return np.bincount(self.train.labels, minlength=len(self.label_names))

    @property
    def empty_rows(self) -> dict[str, int]:
        """How many rows of each part have no known token, so that their embedding is zero."""
        return {
            part: int(np.count_nonzero(getattr(self, part).tokens.lengths == 0)) for part in PARTS
        }

    def save(
        self, folder: str | os.PathLike[str], *, within: str | os.PathLike[str] | None = None
    ) -> None:
        """Write the corpus as a folder of its own; what stood there is replaced.

        ``within`` is a folder that ``folder`` must lie in, see
        :func:`textmetric.files.replacing_folder`.

        ``vocabulary.txt``; ``labels.json`` (``names``, ``train_rows`` by label, ``scarce``,
        ``unseen``, ``empty_rows`` by part); ``ids``, ``offsets`` and ``labels`` of each part as
        ``.npy``.
        """
        with replacing_folder(folder, within=within) as temporary:
            self.vocabulary.save(temporary / "vocabulary.txt")
            for part in PARTS:
                getattr(self, part).save(temporary / part)
            write_json(
                temporary / "labels.json",
                {
                    "names": self.label_names,
                    "train_rows": self.train_counts,
                    "scarce": self.scarce,
                    "unseen": self.unseen,
                    "empty_rows": self.empty_rows,
                },
            )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TokenizedCorpus:
        """Read what :meth:`save` wrote; the arrays are mapped into memory, read only.

        Raises:
            UserError: a file is missing, damaged, or does not fit the others.
        """
        folder = Path(folder)
        about = read_json(folder / "labels.json")
        try:
            names = list(map(str, about["names"]))
            scarce, unseen = (list(map(int, about[key])) for key in ("scarce", "unseen"))
        except (TypeError, KeyError, ValueError):
            raise UserError(
                f"{folder / 'labels.json'} has not the keys names, scarce and unseen, each with a "
                "list: write it again (dvc repro)"
            ) from None
        vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        parts = {part: LabelledTokens.load(folder / part) for part in PARTS}
        for part, rows in parts.items():
            # An id out of range would only be met deep inside a training.
            _check_range(folder / f"{part}.ids.npy", rows.tokens.ids, 1, len(vocabulary))
            _check_range(folder / f"{part}.labels.npy", rows.labels, 0, len(names))
        _check_range(folder / "labels.json", np.array(scarce, np.int64), 0, len(names))
        if unseen != list(range(len(names) - len(unseen), len(names))):
            raise UserError(
                f"{folder / 'labels.json'} has the unseen labels {unseen}, expected the last of "
                f"the {len(names)}: write it again (dvc repro)"
            )
        return cls(vocabulary, names, **parts, scarce=scarce, unseen=unseen)


def tokenize_train(
    texts: Iterable[str], *, min_freq: int = 1, max_size: int | None = None
) -> tuple[Vocabulary, RaggedTokens]:
    """Build the vocabulary of ``texts`` and encode them, in one pass over them.

    Args:
        texts: the train texts.
        min_freq: tokens that occur less often are left out, >= 1.
        max_size: how many tokens to keep at most, without ``<unk>``, >= 1; None for all.

    Raises:
        UserError: an argument out of range, no token at all, or an item that is no string.
    """
    from textmetric.text.numbering import TokenNumbers, renumber

    # A new token gets the next number when it is first met; the numbers take their final order
    # when all frequencies are known. 0 is <unk> in both, so a literal "<unk>" is dropped.
    table = TokenNumbers([UNKNOWN])
    rows = RaggedTokens.joined(
        table.rows(lowered, grow=True) for lowered in BASIC_ENGLISH.chunks(texts)
    )
    vocabulary, new_ids = Vocabulary.ranked(
        table.tokens(), table.counts, min_freq=min_freq, max_size=max_size
    )
    kept = renumber(rows.ids, rows.offsets, new_ids)
    return vocabulary, RaggedTokens(rows.ids[:kept], rows.offsets)


def tokenize_corpus(
    frame: pd.DataFrame,
    *,
    min_freq: int = 1,
    max_size: int | None = None,
    progress: bool = True,
) -> TokenizedCorpus:
    """Tokenise a corpus; the vocabulary comes from its train rows only.

    The rows of each part keep their order. Label ids follow the sorted names of all labels in
    the frame.

    Args:
        frame: one row a text, columns ``text``, ``label`` and ``split`` (train, validation or
            test), as the corpora give it.
        min_freq: tokens that occur less often in train are unknown, >= 1.
        max_size: how many tokens to know at most, without ``<unk>``, >= 1; None for all.
        progress: show a progress bar.

    Raises:
        UserError: no train row, a row without text or label, an unknown part, an argument out
            of range, or no token is left.
    """
    import pandas as pd

    missing = np.flatnonzero(frame["label"].isna().to_numpy())
    part_codes, parts = pd.factorize(frame["split"])
    label_codes, labels = pd.factorize(frame["label"].astype(str))
    label_codes[missing] = -1

    def texts(wanted: NDArray[np.bool_]) -> Iterator[str]:
        for start in range(0, len(frame), _ROWS_AT_ONCE):
            block = frame["text"].iloc[start : start + _ROWS_AT_ONCE].to_numpy(dtype=object)
            yield from block[wanted[start : start + _ROWS_AT_ONCE]]

    return _tokenized(
        _Column(list(map(str, parts)), part_codes),
        _Column(list(map(str, labels)), label_codes),
        texts,
        min_freq=min_freq,
        max_size=max_size,
        progress=progress,
    )


def tokenize_file(
    path: str | os.PathLike[str],
    *,
    min_freq: int = 1,
    max_size: int | None = None,
    progress: bool = True,
) -> TokenizedCorpus:
    """Tokenise a corpus as :func:`tokenize_corpus` does, from a file, a block of it at a time.

    Args:
        path: a parquet file with the columns ``text``, ``label`` and ``split``, all strings. Each
            row group is held in memory while it is read.
        min_freq: as of :func:`tokenize_corpus`.
        max_size: as of :func:`tokenize_corpus`.
        progress: show a progress bar.

    Raises:
        UserError: the file is missing or no such table, or as :func:`tokenize_corpus`.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        about = file.read(columns=["split", "label"])
        parts, labels = (_column(about[name].combine_chunks()) for name in ("split", "label"))
        if "text" not in file.schema_arrow.names:
            raise KeyError("text")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run stages.download first (dvc repro)") from None
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} cannot be read as a parquet table with the columns text, label and split "
            f"({reason}): write it again (dvc repro)"
        ) from None

    def texts(wanted: NDArray[np.bool_]) -> Iterator[str]:
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            if wanted[first:last].any():
                for batch in file.iter_batches(_ROWS_AT_ONCE, [group], columns=["text"]):
                    mask = pa.array(wanted[first : first + len(batch)])
                    yield from batch.column(0).filter(mask).to_numpy(zero_copy_only=False)
                    first += len(batch)
            first = last

    return _tokenized(parts, labels, texts, min_freq=min_freq, max_size=max_size, progress=progress)


class _Column(NamedTuple):
    """The values of a column of strings.

    Attributes:
        names: each different one, in any order.
        codes: (n,) the place of each row's value in ``names``, -1 where it is missing.
    """

    names: list[str]
    codes: NDArray[np.integer]


def _column(values: pa.Array) -> _Column:
    encoded = values.dictionary_encode()
    return _Column(
        list(map(str, encoded.dictionary.to_pylist())),
        encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False),
    )


def _tokenized(
    parts: _Column,
    labels: _Column,
    texts: Callable[[NDArray[np.bool_]], Iterable[str]],
    *,
    min_freq: int,
    max_size: int | None,
    progress: bool,
) -> TokenizedCorpus:
    """See :func:`tokenize_corpus`; ``texts`` gives those of the rows where its argument is true."""
    strangers = sorted({*parts.names, *["nan"] * bool((parts.codes < 0).any())} - set(PARTS))
    if strangers:
        raise UserError(
            f"column split holds {strangers[0]!r}, expected {', '.join(PARTS)}: rename it"
        )
    if "train" not in parts.names:
        raise UserError("the corpus has no train row: give it some, or lower data.validation")
    missing = np.flatnonzero(labels.codes < 0)
    if missing.size:
        raise UserError(f"row {missing[0]} (counted from 0) has no label: fill or drop it")
    order = sorted(range(len(labels.names)), key=labels.names.__getitem__)
    codes = np.argsort(order).astype(np.int32)[labels.codes]
    rows = {
        part: parts.codes == (parts.names.index(part) if part in parts.names else -1)
        for part in PARTS
    }

    def of_part(part: str) -> Iterable[str]:
        bar: Iterable[str] = tqdm(
            texts(rows[part]),
            desc=f"tokenize {part}",
            total=int(np.count_nonzero(rows[part])),
            unit=" texts",
            disable=not progress,
        )
        return bar

    vocabulary, train = tokenize_train(of_part("train"), min_freq=min_freq, max_size=max_size)
    validation, test = (vocabulary.encode(of_part(part)) for part in PARTS[1:])
    return TokenizedCorpus(
        vocabulary,
        [labels.names[label] for label in order],
        train=LabelledTokens(train, codes[rows["train"]]),
        validation=LabelledTokens(validation, codes[rows["validation"]]),
        test=LabelledTokens(test, codes[rows["test"]]),
    )


def token_counts(tokens: RaggedTokens, size: int) -> NDArray[np.int64]:
    """(size,) int64, how often each id in [0, size) occurs."""
    counts = np.zeros(size, np.int64)
    for first in range(0, tokens.ids.size, _TOKENS_AT_ONCE):
        counts += np.bincount(tokens.ids[first : first + _TOKENS_AT_ONCE], minlength=size)
    return counts


def _check_range(path: Path, ids: NDArray[np.integer], low: int, end: int) -> None:
    if ids.size and (ids.min() < low or ids.max() >= end):
        raise UserError(
            f"{path} holds an id outside {low} to {end - 1}, so it does not belong to the files "
            "next to it: write them again (dvc repro)"
        )

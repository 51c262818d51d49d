"""What the downloaded corpora share: class names for numbers, and a check of the published size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textmetric.corpora.delimited import csv_table
from textmetric.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def titled(data: bytes, source: str, classes: Sequence[str]) -> pd.DataFrame:
    """The layout of the corpora of Zhang, Zhao and LeCun (NIPS 2015).

    Args:
        data: CSV without a header: the class number from 1, a title, a text.
        source: what to call it in messages.
        classes: the class names, in the order of the numbers.

    Returns:
        ``text`` (title, a space, text) and ``label``.

    Raises:
        UserError: the file has another layout.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ("class", "title", "text")
    numbers, titles, texts = csv_table(data, source, columns, header=columns).columns
    known = pa.array([str(number) for number in range(1, len(classes) + 1)])
    codes = pc.index_in(numbers, known)
    if codes.null_count:
        row = pc.index(pc.is_null(codes), value=True).as_py()
        raise UserError(
            f"row {row + 1} of {source} has the class {numbers[row].as_py()!r}, where"
            f" 1 to {len(classes)} is expected: it is not the original file, get it again"
        )
    table = {
        "text": pc.binary_join_element_wise(titles, texts, " "),
        "label": pc.take(pa.array(classes), codes),
    }
    frame: pd.DataFrame = pa.table(table).to_pandas()
    return frame


def checked(
    corpus: str, part: str, frame: pd.DataFrame, rows: Mapping[str, int], classes: int
) -> pd.DataFrame:
    """A part of a corpus, if its size is the published one.

    Args:
        corpus: its name.
        part: of ``rows``.
        frame: ``text`` and ``label``.
        rows: the published number of rows by part.
        classes: the published number of classes, the same in each part.

    Raises:
        UserError: a count differs. For addresses without a known checksum this is the only check.
    """
    found, found_classes = len(frame), frame["label"].nunique()
    if (found, found_classes) != (rows[part], classes):
        raise UserError(
            f"the {part} part of {corpus} has {found} rows of {found_classes} classes, where"
            f" {rows[part]} rows of {classes} classes are published; give another version of the"
            " corpus as a table by its path"
        )
    return frame


def join(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the parts of a corpus together.

    Args:
        parts: ``text`` and ``label`` by part.

    Returns:
        The columns ``text``, ``label``, and ``split``, which holds the part.
    """
    import pandas as pd

    return pd.concat([frame.assign(split=part) for part, frame in parts.items()], ignore_index=True)

"""What a report is made of, before it becomes Markdown (``markdown.py``) or a page (``page/``).

The content is decided once, in ``study.py``; the two writers only set it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textmetric.report.tables import number, with_interval


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Attributes:
        text: what stands in it, in Markdown: a mean with half of its interval, a name.
        value: what to sort by; None sorts by the text.
        seeds: the value of each seed, in the order of ``Document.seeds``, where the cell is a
            mean over seeds; a seed without a value has None.
    """

    text: str
    value: float | None = None
    seeds: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Column:
    """The head of a column; ``sampler`` names the one that its values belong to, if any."""

    title: str
    sampler: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows of equal length; the first column names the rows."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Picture:
    """A PNG: its path from the root of the project, and what it shows, for who cannot see it."""

    path: str
    alt: str


@dataclass(frozen=True)
class Map:
    """The t-SNE of a split: a picture on paper, interactive on the page."""

    split: str
    picture: Picture


Block = str | Table | Picture | Map
"""A string is one paragraph of Markdown (or a list of lines that start with ``- ``)."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        anchor: unique, letters, digits and hyphens: the target of links, such as ``table-7-1``.
        title: the heading, in Markdown.
        blocks: the content, in order.
        level: 2 for a section, 3 for a part of one.
    """

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    level: int = 2


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    sections: Sequence[Section]
    seeds: Sequence[int]
    samplers: Sequence[str]


def mean_cell(interval: Sequence[float | None] | None, seeds: Sequence[float | None] = ()) -> Cell:
    """A mean with half of its interval.

    Args:
        interval: (mean, low, high), None for what is unknown.
        seeds: the value of each seed.

    >>> mean_cell([0.5, 0.4, 0.6], [0.4, 0.6])
    Cell(text='0.500 ± 0.100', value=0.5, seeds=(0.4, 0.6))
    """
    known = [None if value is None or value != value else float(value) for value in seeds]
    value = interval[0] if interval else None
    if value is None or value != value:
        return Cell(number(None))
    return Cell(with_interval(interval), float(value), tuple(known))

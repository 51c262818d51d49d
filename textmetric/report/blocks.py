"""The parts of a report: sections, tables, pictures. Cells hold values; writers format them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textmetric.grid import Sampler
from textmetric.measures import Outcome


@dataclass(frozen=True)
class Count:
    """A whole number."""

    value: int


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its interval.

    Attributes:
        interval: (mean, low, high), None or NaN for what is unknown.
        seeds: the value of each seed, in the order of ``Document.seeds``; a single one stands for
            all.
    """

    interval: Sequence[float | None]
    seeds: Sequence[float | None] = ()


@dataclass(frozen=True)
class Published:
    """A value of the original study, which has no interval."""

    value: float


@dataclass(frozen=True)
class Difference:
    """A difference of two means with its interval, (mean, low, high)."""

    interval: Sequence[float]


@dataclass(frozen=True)
class Effect:
    """An effect size; infinite if the differences of all seeds are equal and not zero."""

    value: float


@dataclass(frozen=True)
class PValue:
    """A corrected p value; NaN if there is none."""

    value: float


@dataclass(frozen=True)
class Judgement:
    """The outcome of a comparison, and what its two sides are called."""

    outcome: Outcome
    first: str = "metric"
    second: str = "classification"


Cell = str | Count | Mean | Published | Difference | Effect | PValue | Judgement | None
"""One field of a table: a string is Markdown, None is a value that does not exist."""


@dataclass(frozen=True)
class Column:
    """The head of a column; ``sampler`` is the one that its values belong to, if any."""

    title: str
    sampler: Sampler | None = None


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
    """A PNG: its path from the root of the project, and what it shows, as alternative text."""

    path: str
    alt: str


@dataclass(frozen=True)
class Map:
    """The t-SNE of a split: a picture in Markdown, interactive on the page."""

    split: str
    picture: Picture


Block = str | Table | Picture | Map
"""A string is one paragraph of Markdown (or a list of lines that start with ``- ``)."""


@dataclass(frozen=True)
class Section:
    """A heading and its content.

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
    samplers: Sequence[Sampler]

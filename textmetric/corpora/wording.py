"""How messages about a table name what their reader can set: keys of a mapping, or options."""

from __future__ import annotations

from typing import NamedTuple


class Wording(NamedTuple):
    """The ends of messages about a table.

    Attributes:
        columns: what to do where a column is missing.
        delimiter: what to do where another delimiter is found; ``{}`` is the delimiter.
        tab: how a tab is written.
        encoding: what to do where another encoding is found; ``{}`` is its name.
    """

    columns: str
    delimiter: str
    tab: str
    encoding: str


MAPPING = Wording(
    columns="name the right ones in the corpus mapping ({path: ..., text: ..., label: ...})",
    delimiter="add delimiter: {} to the corpus mapping",
    tab='"\\t"',  # as YAML has it
    encoding="add encoding: {} to the corpus mapping",
)
"""The words of a corpus in params.yaml."""

OPTIONS = Wording(
    columns="name the right ones with --text and --label",
    delimiter="give --delimiter {}",
    tab="tab",
    encoding="give --encoding {}",
)
"""The words of the command line."""

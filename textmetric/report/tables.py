"""Markdown tables, and numbers as they stand in them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence


def plain(text: str) -> str:
    r"""A name from the data as it is to be read, with nothing in it taken for Markdown.

    >>> plain("__init__ <b>")
    '\\_\\_init\\_\\_ \\<b\\>'
    """
    return re.sub(r"([\\`*_\[\]<>~$])", r"\\\1", " ".join(text.split()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A Markdown table: the first column to the left, the others to the right.

    >>> print(table(["arm", "MAP@R"], [["a|b", "0.5"]]))
    | arm | MAP@R |
    |:--|--:|
    | a\|b | 0.5 |
    """
    lines = [_row(head), f"|:--|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def number(value: float | None) -> str:
    """Three decimals; a dash where there is no value.

    >>> number(0.12345), number(None)
    ('0.123', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def with_interval(interval: Sequence[float | None] | None) -> str:
    """A mean with half of its 95 % interval, or the mean alone where there is no interval.

    >>> with_interval([0.5, 0.4, 0.6]), with_interval([0.5, None, None])
    ('0.500 ± 0.100', '0.500')
    """
    if interval is None:
        return "–"
    mean, low, high = interval
    if low is None or high is None or math.isnan(low):
        return number(mean)
    return f"{number(mean)} ± {(high - low) / 2:.3f}"


def difference(interval: Sequence[float]) -> str:
    """A difference with its sign and interval.

    >>> difference([0.05, 0.01, 0.09])
    '+0.050 [+0.010, +0.090]'
    """
    mean, low, high = interval
    if math.isnan(mean):
        return "–"
    return f"{mean:+.3f}" + ("" if math.isnan(low) else f" [{low:+.3f}, {high:+.3f}]")

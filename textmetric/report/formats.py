"""How values are written: the only place that turns them into text."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from textmetric.errors import printable
from textmetric.measures import Outcome
from textmetric.report.blocks import (
    Cell,
    Count,
    Difference,
    Effect,
    Judgement,
    Mean,
    Published,
    PValue,
)

NO_DIFFERENCE = "no difference at 95 %"
NO_VERDICT = "no verdict"
DEPENDS = "depends on the sampler"
MISSING = "–"


def plain(text: str) -> str:
    r"""Any text as Markdown that is read as it is: one line, no markup, no link, no HTML.

    A ``|`` is left to :func:`table`. Characters that act instead of being seen are escapes, see
    :func:`.printable`. What is written from right to left is isolated, so that the numbers after it
    keep their place.

    >>> plain("__init__ <b> &lt; www.a.b")
    '\\_\\_init\\_\\_ \\<b\\> \\&lt; www\\.a.b'
    """
    line = _ACTIVE.sub(r"\\\g<0>", printable(" ".join(text.split())))
    if any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in line):
        return f"\u2068{line}\u2069"
    return re.sub(r"\A(\d+)([.)])", r"\1\\\2", line)  # the number of a list


_ACTIVE = re.compile(
    r"[\\`*_\[\]<>~$&]"
    r"|\A[#+=-]"  # a heading, a list, a line
    r"|:(?=//)|(?<=www)\.|@",  # links without brackets, which code hosts make
    re.IGNORECASE,
)


def word(value: object) -> str:
    """The value of a parameter: a number or a plain word stays as it is, see :func:`plain`.

    >>> word(-0.2), word("semi_hard")
    ('-0.2', 'semi_hard')
    """
    text = str(value)
    return text if re.fullmatch(r"-?[A-Za-z0-9.]+([_-]+[A-Za-z0-9.]+)*", text) else plain(text)


def code(text: str) -> str:
    """A text as code in Markdown, in one line.

    >>> code("a`b")
    '``a`b``'
    """
    line = printable(" ".join(text.split()))
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " * (line[:1] == "`" or line[-1:] == "`")
    return f"{fence}{pad}{line}{pad}{fence}"


def number(value: float | None) -> str:
    """Three decimals; a dash for a value that does not exist.

    >>> number(0.12345), number(None)
    ('0.123', '–')
    """
    return MISSING if value is None or math.isnan(value) else f"{value:.3f}"


def with_interval(interval: Sequence[float | None]) -> str:
    """A mean with half of its 95 % interval, or the mean alone if there is no interval.

    >>> with_interval([0.5, 0.4, 0.6]), with_interval([0.5, None, None])
    ('0.500 ± 0.100', '0.500')
    """
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
        return MISSING
    return f"{mean:+.3f}" + ("" if math.isnan(low) else f" [{low:+.3f}, {high:+.3f}]")


def effect(value: float) -> str:
    """An effect size with its sign.

    >>> effect(1.25), effect(float("-inf"))
    ('+1.2', '−∞')
    """
    if math.isnan(value):
        return MISSING
    return f"{'+' if value > 0 else '−'}∞" if math.isinf(value) else f"{value:+.1f}"


def p_value(value: float) -> str:
    """A p value, at least a thousandth.

    >>> p_value(0.0123), p_value(0.0001)
    ('0.012', '< 0.001')
    """
    if math.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def words(judgement: Judgement) -> str:
    """An outcome in words.

    >>> words(Judgement(Outcome.FIRST))
    'metric better'
    """
    return {
        Outcome.FIRST: f"{judgement.first} better",
        Outcome.SECOND: f"{judgement.second} better",
        Outcome.NO_DIFFERENCE: NO_DIFFERENCE,
        Outcome.DEPENDS: DEPENDS,
        Outcome.UNKNOWN: NO_VERDICT,
    }[judgement.outcome]


def cell_text(cell: Cell) -> str:
    """A cell in Markdown."""
    if cell is None:
        return MISSING
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Count):
        return f"{cell.value:,}"
    if isinstance(cell, Mean):
        return with_interval(cell.interval)
    if isinstance(cell, Published):
        return f"{cell.value:.2f}"
    if isinstance(cell, Difference):
        return difference(cell.interval)
    if isinstance(cell, Effect):
        return effect(cell.value)
    if isinstance(cell, PValue):
        return p_value(cell.value)
    better = cell.outcome in (Outcome.FIRST, Outcome.SECOND)
    return f"**{words(cell)}**" if better else words(cell)


def cell_value(cell: Cell) -> float | None:
    """What to sort a cell by; None sorts by its text."""
    if cell is None or isinstance(cell, str | Judgement):
        return None
    value = cell.interval[0] if isinstance(cell, Mean | Difference) else cell.value
    return None if value is None or math.isnan(value) else float(value)


def cell_seeds(cell: Cell) -> list[float | None]:
    """The value of each seed behind a mean that is known; empty for other cells."""
    if not isinstance(cell, Mean) or cell_value(cell) is None:
        return []
    return [None if value is None or math.isnan(value) else float(value) for value in cell.seeds]


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

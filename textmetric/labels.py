"""Which values can be the label of a text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np

from textmetric.errors import UserError, shown

MISSING = ("nan", "NaN", "<NA>", "NaT")
"""What pandas and numpy write as a string for a missing value."""

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # in a str, a whole one is one character


def is_missing(label: object) -> bool:
    """Whether a label is a missing value of pandas or numpy, or the string that they write for it.

    >>> [is_missing(label) for label in (float("nan"), "nan", None, "", "Nan", 0)]
    [True, True, False, False, False, False]
    """
    if isinstance(label, str):
        return label in MISSING
    # pandas' own, without an import of pandas
    if type(label).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(label, np.datetime64 | np.timedelta64):
        return bool(np.isnat(label))
    return isinstance(label, Real) and math.isnan(label)


def check_labels(labels: Iterable[tuple[int, Any]]) -> None:
    """Check that labels name classes: all strings, all finite numbers, or all truth values.

    Args:
        labels: the place of each label, and the label.

    Raises:
        UserError: a label is missing or is of another type, two types are mixed, or a string could
            not be saved as it is.
    """
    first: tuple[int, Any, str] | None = None
    for row, label in labels:
        if is_missing(label):
            raise UserError(
                f"label {row} is {shown(label)}, a missing value: fill it in, or drop its row"
            )
        if isinstance(label, str) and _PAIR.search(label):
            raise UserError(
                f"label {row} is {label[:60]!a}, where two halves of a surrogate pair stand apart, "
                "which become one character when they are saved: write that character"
            )
        kind = _kind(label)
        if not kind:
            raise UserError(
                f"label {row} is {shown(label)}, expected a string, a finite number or a truth "
                "value: give each row one label"
            )
        first = first or (row, label, kind)
        if kind != first[2]:
            raise UserError(
                f"label {first[0]} is the {first[2]} {shown(first[1])}, but label {row} is the "
                f"{kind} {shown(label)}: give all labels the same type"
            )


def _kind(label: object) -> str:
    if isinstance(label, str):
        return "string"
    if isinstance(label, bool | np.bool_):
        return "truth value"
    return "number" if isinstance(label, Real) and math.isfinite(label) else ""

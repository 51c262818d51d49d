from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from textmetric.measures import Outcome
from textmetric.report import formats, names
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

NAN = math.nan


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (names, formats):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


@pytest.mark.parametrize(
    ("cell", "text", "value"),
    [
        (None, "–", None),
        ("**a** [b](#c)", "**a** [b](#c)", None),
        (Count(12_000), "12,000", 12_000),
        (Mean([0.5, 0.4, 0.6]), "0.500 ± 0.100", 0.5),
        (Mean([np.float64(0.5), None, None]), "0.500", 0.5),
        (Mean([NAN, NAN, NAN], [NAN]), "–", None),
        (Mean([None, None, None]), "–", None),
        (Published(0.4), "0.40", 0.4),
        (Difference([-0.25, NAN, NAN]), "-0.250", -0.25),
        (Difference([0.05, 0.01, 0.09]), "+0.050 [+0.010, +0.090]", 0.05),
        (Difference([NAN, NAN, NAN]), "–", None),
        (Effect(-math.inf), "−∞", -math.inf),
        (Effect(NAN), "–", None),
        (PValue(0.0004), "< 0.001", 0.0004),
        (PValue(NAN), "–", None),
        (Judgement(Outcome.FIRST), "**metric better**", None),
        (Judgement(Outcome.SECOND, "pre-training", "scratch"), "**scratch better**", None),
        (Judgement(Outcome.NO_DIFFERENCE), "no difference at 95 %", None),
        (Judgement(Outcome.UNKNOWN), "no verdict", None),
    ],
)
def test_a_cell_has_a_text_and_a_value_to_sort_by(
    cell: Cell, text: str, value: float | None
) -> None:
    assert formats.cell_text(cell) == text
    assert formats.cell_value(cell) == value


def test_a_mean_that_is_known_has_the_value_of_every_seed() -> None:
    assert formats.cell_seeds(Mean([0.5, 0.4, 0.6], [0.25, NAN, None])) == [0.25, None, None]
    assert formats.cell_seeds(Mean([NAN, NAN, NAN], [0.25, NAN])) == []
    assert formats.cell_seeds(Count(3)) == []

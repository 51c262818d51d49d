from __future__ import annotations

import doctest
import math

from textmetric.report import names, tables


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (names, tables):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_what_is_no_arm_keeps_its_name() -> None:
    assert names.arm_title("my_own_picture") == "my_own_picture"
    assert names.arm_title("scratch") == "from scratch"


def test_a_value_that_is_missing_is_a_dash_and_one_seed_has_no_interval() -> None:
    assert tables.with_interval(None) == "–"
    assert tables.with_interval([None, None, None]) == "–"
    assert tables.with_interval([0.5, math.nan, math.nan]) == "0.500"
    assert tables.difference([math.nan] * 3) == "–"
    assert tables.difference([-0.25, math.nan, math.nan]) == "-0.250"

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from textmetric import errors
from textmetric.errors import printable
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
    for module in (names, formats, errors):
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


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "[x](javascript:alert(1))",
    "![](http://a.b/c.png)",
    "http://a.b/c",
    "HTTPS://a.b",
    "WWW.a.b",
    "me@a.b",
    "<http://a.b>",
    "[x]: http://a.b",
    "a|b",
    "|",
    "a\\|b",
    "\\",
    "`",
    "``a`|",
    "*a* __b__ ~~c~~ $d$",
    "# a",
    "a\n\n# b",
    "- a",
    "+ a",
    "1) a",
    "123. a",
    "---",
    "===",
    "> a",
    "~~~",
    "&lt;b&gt; &amp; &#60;",
    "a\r\nb\x0bc\u2028d\x85e",
    "\x1b[31mred\x1b[0m",
    "\u202eright to left",
    "\u200bhidden\ufeff",
    "\x00\ud800",
    "中文 عربي हिन्दी 🙂",
    "می\u200cخواهم",
]
# A code host's dialect: tables, and links of bare addresses where the package for these is there.
GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ANY_TEXT = st.one_of(
    st.text(st.characters(codec=None)), st.text('\\\\`*_[]()<>~$&|#+-=.!:/@"w1 a\n')
)


def read_as(name: str) -> str:
    """What a reader should see of a name."""
    return printable(" ".join(name.split()))


def without_isolates(text: str) -> str:
    return text.removeprefix("\u2068").removesuffix("\u2069")


def seen(tokens: list[Token]) -> list[str]:
    """The text of each inline part; anything but text is a failure."""
    found = []
    for token in tokens:
        if token.type == "inline":
            children = token.children or []
            assert {each.type for each in children} <= {"text"}, token.content
            found.append(without_isolates("".join(each.content for each in children)))
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_read_as_it_is_wherever_it_is_written(name: str) -> None:
    check_that_it_is_read_as_it_is(name)


@given(ANY_TEXT)
def test_any_name_is_read_as_it_is_wherever_it_is_written(name: str) -> None:
    check_that_it_is_read_as_it_is(name)


def check_that_it_is_read_as_it_is(name: str) -> None:
    shown = read_as(name)
    text = formats.plain(name)
    text.encode()
    assert not set(text) & set("\n\r\x1b\u202e")
    cells = GFM.parse(formats.table(["a", "b"], [[text, "1"], ["2", text]]))
    assert seen(cells) == ["a", "b", shown, "1", "2", shown]
    if not shown:
        return
    paragraph = GFM.parse(text)
    assert [token.type for token in paragraph] == ["paragraph_open", "inline", "paragraph_close"]
    assert seen(paragraph) == [shown]
    heading = GFM.parse(f"## {text} (1)")
    assert [token.type for token in heading] == ["heading_open", "inline", "heading_close"]
    assert [one.replace("\u2069 (1)", " (1)") for one in seen(heading)] == [f"{shown} (1)"]


def test_what_is_written_from_right_to_left_is_isolated_from_what_follows() -> None:
    assert formats.plain("*שלום*") == "\u2068\\*שלום\\*\u2069"
    assert formats.plain("عربي 1") == "\u2068عربي 1\u2069"
    assert formats.plain("中文 é") == "中文 é"


@pytest.mark.parametrize("name", ["http://a.b", "HTTPS://a.b", "www.a.b", "WWW.a.b", "me@a.b"])
def test_no_address_is_left_for_a_code_host_to_make_a_link_of(name: str) -> None:
    assert not any(sign in formats.plain(name).lower() for sign in ("http://", "s://", "www.a"))
    assert "e@" not in formats.plain(name)


@given(ANY_TEXT)
def test_any_text_as_code_is_read_as_it_is(text: str) -> None:
    shown = read_as(text)
    if shown:
        (inline,) = [token for token in GFM.parse(f"of {formats.code(text)}") if token.children]
        kinds = [(each.type, each.content) for each in inline.children or []]
        assert kinds == [("text", "of "), ("code_inline", shown)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-05, "1e-05"),
        (-1, "-1"),
        (None, "None"),
        ("semi_hard", "semi_hard"),
        ("_a_", r"\_a\_"),
        ("<b>", r"\<b\>"),
        (["a", "b*"], r"\['a', 'b\*'\]"),
    ],
)
def test_the_value_of_a_parameter_is_escaped_if_it_is_no_plain_word(
    value: object, text: str
) -> None:
    assert formats.word(value) == text

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.text import Text

from textmetric.grid import ARMS
from textmetric.report import lettering as module
from textmetric.report.figures import label_dots, tsne_panels
from textmetric.report.lettering import NOTE, lettering, on_every_machine

SCRIPTS = {
    "Latin": "Čeština",
    "Greek": "Ελληνικά",
    "Cyrillic": "Русский",
    "Arabic": "عربي",
    "Devanagari": "हिन्दी",
    "Thai": "ไทย",
    "Chinese": "中文",
    "Japanese": "日本語カナ",
    "Korean": "한국어",
    "emoji": "🚀",
}
NAMES = list(SCRIPTS.values())
EAST_ASIAN = ("Chinese", "Japanese", "Korean")


def font(path: Path, letters: str, family: str = "Test") -> str:
    """Write a font that has these letters, each a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 500), (500, 500), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(letter):X}" for letter in sorted(set(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({int(name[1:], 16): name for name in names[1:]})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Choose the fonts that the machine has."""
    known = matplotlib.font_manager.fontManager.ttflist.copy()

    def have(*paths: str) -> None:
        monkeypatch.setattr(module, "system_fonts", lambda: list(paths))
        module._fonts_for.cache_clear()

    yield have
    module._fonts_for.cache_clear()
    matplotlib.font_manager.fontManager.ttflist[:] = known


def drawings(folder: Path, names: list[str]) -> None:
    """Both pictures that show names; a glyph that no font has is a warning of matplotlib."""
    labels = np.arange(len(names)).repeat(2)
    dots = np.random.default_rng(0).normal(size=(len(labels), 2))
    values = [[label, arm, 0.5, 0.4, 0.6] for arm in ARMS[:2] for label in range(len(names))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tsne_panels(folder / "tsne.png", {ARMS[0]: dots}, labels, names)
        label_dots(
            folder / "dots.png",
            pd.DataFrame(values, columns=["label", "arm", "mean", "low", "high"]),
            names,
            "cohesion",
        )


def texts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What is written in figures from now on, and whether it is a formula."""
    found: list[tuple[str, object]] = []
    save = Figure.savefig

    def spy(figure: Figure, *args: object, **kwargs: object) -> None:
        for text in figure.findobj(Text):
            found.append(text._preprocess_math(text.get_text()))
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return found


@pytest.mark.parametrize("with_font", [False, True])
def test_no_letter_is_missing_with_and_without_a_font_for_east_asia(
    with_font: bool,
    fonts: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = "".join(SCRIPTS[script] for script in EAST_ASIAN)
    fonts(*[font(tmp_path / "east.ttf", ours)] * with_font)
    written = texts(monkeypatch)
    drawings(tmp_path, NAMES)
    shown = {text for text, _ in written}
    for label, (script, name) in enumerate(SCRIPTS.items()):
        own = script in ("Latin", "Greek", "Cyrillic") or (with_font and script in EAST_ASIAN)
        if script != "Arabic":  # it needs a new matplotlib
            assert (name in shown) is own
            assert (f"label {label}" in shown) is not own
    assert NOTE in shown


def test_every_name_that_can_be_written_is_and_then_there_is_no_note(
    fonts: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matplotlib, "__version_info__", (3, 11))
    east = font(tmp_path / "a.ttf", SCRIPTS["Chinese"] + SCRIPTS["Japanese"], "East")
    rest = font(tmp_path / "b.ttf", "".join(NAMES).replace("中", ""), "Rest")
    fonts(east, rest, str(tmp_path / "missing.ttf"))
    found = lettering(NAMES)
    assert found.names == NAMES
    assert found.families == ["DejaVu Sans", "Rest", "East"]  # of most letters first
    assert not found.note(range(len(NAMES)))
    written = texts(monkeypatch)
    drawings(tmp_path, NAMES)
    assert set(NAMES) <= {text for text, _ in written}
    assert NOTE not in {text for text, _ in written}


def test_names_of_letters_that_matplotlib_has_need_no_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "system_fonts", lambda: pytest.fail("fonts were searched"))
    names = ["a", "Čeština", "Русский", "two\nlines", "\x1b[1m\u202e", "e\u0301cole"]
    shown = ["a", "Čeština", "Русский", "two lines", "\\x1b[1m\\u202e", "école"]
    module._fonts_for.cache_clear()
    assert lettering(names) == (shown, [], frozenset())


def test_a_matplotlib_that_does_not_join_letters_shows_numbers_instead(
    fonts: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fonts(font(tmp_path / "all.ttf", "".join(NAMES)))
    for version, numbered in (((3, 10), ["Arabic", "Devanagari"]), ((3, 11), [])):
        monkeypatch.setattr(matplotlib, "__version_info__", version)
        labels = lettering(NAMES).numbered
        assert [script for n, script in enumerate(SCRIPTS) if n in labels] == numbered
        assert on_every_machine("عربي") is (version == (3, 11))


def test_a_name_is_never_a_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["$a_b$", "x^2", "\\alpha", "a\\$b$c", "$", "{$_}$", "$$"]
    written = texts(monkeypatch)
    drawings(tmp_path, names)
    for name in names:
        assert (name, False) in written
    assert not any(formula for text, formula in written if text in names)


def test_a_wide_name_is_cut_to_the_columns_of_a_narrow_one(
    fonts: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fonts(font(tmp_path / "east.ttf", "中"))
    written = texts(monkeypatch)
    drawings(tmp_path, ["中" * 40, "n" * 40])
    assert {"中" * 15 + "…", "n" * 31 + "…"} <= {text for text, _ in written}

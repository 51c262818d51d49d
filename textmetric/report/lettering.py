"""The letters of names in pictures: a font that has them, or the number of the label instead.

Matplotlib brings DejaVu Sans: Latin, Greek, Cyrillic, Arabic, Hebrew and a few more. For other
letters the fonts of this machine are searched.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from textmetric.errors import printable

BUNDLED = "DejaVu Sans"
NOTE = "“label” and a number: a name in letters that no font of this machine has"
"""What a picture says that has such names."""
_UPRIGHT = ("regular", "book", "roman", "normal", "medium")


class Lettering(NamedTuple):
    """How names are written in a picture.

    Attributes:
        names: what to write for each name: itself in one line, or ``label 3`` if it is that of
            label 3 and no font has its letters.
        families: the fonts to use, in order; empty for matplotlib's own.
        numbered: the labels that are written as numbers.
    """

    names: list[str]
    families: list[str]
    numbered: frozenset[int]

    def note(self, labels: Iterable[int]) -> str:
        """:data:`NOTE` if one of these labels is written as a number, else nothing."""
        return NOTE * any(int(label) in self.numbered for label in labels)


def lettering(names: Sequence[str]) -> Lettering:
    """How to write names, of which the n-th is that of label n.

    Fonts are taken in the order of how many of the missing letters they have.
    """
    lines = [_line(name) for name in names]
    if all(map(str.isascii, lines)):
        return Lettering(lines, [], frozenset())
    families, missing = _fonts_for(frozenset("".join(lines)) - _letters(_path_of_bundled()))
    numbered = frozenset(
        number for number, line in enumerate(lines) if missing & set(line) or not _drawn_well(line)
    )
    for number in numbered:
        lines[number] = f"label {number}"
    return Lettering(lines, [BUNDLED, *families] if families else [], numbered)


def on_every_machine(name: str) -> bool:
    """Whether the font that matplotlib brings is enough for a name."""
    line = _line(name)
    return line.isascii() or (_drawn_well(line) and set(line) <= _letters(_path_of_bundled()))


def _line(name: str) -> str:
    return printable(" ".join(unicodedata.normalize("NFC", name).split()))


def _drawn_well(line: str) -> bool:
    """Whether matplotlib orders and joins the letters as their script wants it."""
    import matplotlib

    return matplotlib.__version_info__ >= (3, 11) or not any(
        unicodedata.bidirectional(sign) in ("R", "AL") or unicodedata.category(sign)[0] == "M"
        for sign in line
    )


@cache
def _fonts_for(missing: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Fonts of this machine that have the letters, and the letters that none has."""
    from matplotlib.font_manager import fontManager

    families: list[str] = []
    paths = system_fonts() if missing else []
    fonts = {path: about for path in paths if (about := _about(path))}
    while missing and fonts:
        best = max(fonts, key=lambda path: (len(missing & _letters(path)), fonts[path].upright))
        found = missing & _letters(best)
        if not found:
            break
        fontManager.addfont(best)
        families.append(fonts[best].family)
        missing -= found
    return families, missing


def system_fonts() -> list[str]:
    """The font files of this machine, in a fixed order."""
    from matplotlib.font_manager import findSystemFonts

    return sorted(findSystemFonts(), key=lambda path: (Path(path).name, path))


@cache
def _path_of_bundled() -> str:
    from matplotlib.font_manager import findfont

    return str(findfont(BUNDLED))


class _Font(NamedTuple):
    family: str
    upright: bool  # neither bold nor slanted


@cache
def _about(path: str) -> _Font | None:
    """What a font is called; None if it is of no use."""
    font = _opened(path)
    # Letters that are pictures cannot be drawn.
    if font is None or not font.scalable or "COLOR" in str(font.face_flags):
        return None
    return _Font(font.family_name, font.style_name.lower() in _UPRIGHT)


@cache
def _letters(path: str) -> frozenset[str]:
    font = _opened(path)
    return frozenset() if font is None else frozenset(map(chr, font.get_charmap()))


def _opened(path: str) -> Any:
    from matplotlib.ft2font import FT2Font

    try:
        return FT2Font(path)
    except (OSError, RuntimeError):  # damaged, or a format that FreeType does not know
        return None

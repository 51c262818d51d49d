"""The blocks of a report as HTML. Whatever comes from the data is escaped, never trusted."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from textmetric.errors import UserError, needing

with needing("the report", "study"):
    from markdown_it import MarkdownIt

from textmetric.grid import Arm
from textmetric.report.blocks import (
    Block,
    Cell,
    Document,
    Judgement,
    Map,
    Picture,
    Section,
    Table,
)
from textmetric.report.formats import cell_seeds, cell_text, cell_value, number
from textmetric.report.names import arm_title
from textmetric.report.page.maps import Look, SplitMap, looks

_LONG_TABLE = 30
"""A table with more rows scrolls under its own head."""
_PROSE = 40
"""A column with a longer text than this many characters is given the width to read it."""
_MANY_CLASSES = 20
"""A legend with more classes can be filtered by typing."""
_PNG = b"\x89PNG\r\n\x1a\n"

# A string of a report is a paragraph or a list: nothing else may come out of it. Images would
# be loaded from outside; those of a report are Picture blocks.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable(
    ["code", "heading", "hr", "html_block", "html_inline", "image", "lheading", "reference"]
)
# Titles are inside links and buttons, which must not hold another link.
_TITLE = MarkdownIt("commonmark", {"html": False}).disable(
    ["autolink", "html_inline", "image", "link"]
)
_SIGNS = {
    "circle": '<circle cx="6" cy="6" r="4.6"/>',
    "square": '<rect x="1.8" y="1.8" width="8.4" height="8.4"/>',
    "diamond": '<path d="M6 .4 11.6 6 6 11.6 .4 6Z"/>',
    "triangle": '<path d="M6 .6 11.6 10.6H.4Z"/>',
}


def title_html(markdown: str) -> str:
    """A title in inline HTML without links."""
    return str(_TITLE.renderInline(markdown))


def title_text(markdown: str) -> str:
    """A title in words alone, escaped for HTML."""
    tokens = _TITLE.parseInline(markdown)[0].children or []
    return escape("".join(token.content for token in tokens))


def contents(sections: Sequence[Section]) -> str:
    """The list of sections, parts of a section indented below it."""
    return "\n".join(
        f'<li class="level-{_level(section)}"><a href="#{escape(section.anchor)}">'
        f"{title_html(section.title)}</a></li>"
        for section in sections
    )


def controls(document: Document) -> str:
    """The choice of a seed, and of the samplers where there are several."""
    parts = []
    if document.seeds:
        options = "".join(
            f'<option value="{place}" data-seed="{seed}">seed {seed}</option>'
            for place, seed in enumerate(document.seeds)
        )
        parts.append(
            '<label class="choice">Seeds <select name="seed">'
            f'<option value="">mean of all seeds</option>{options}</select></label>'
        )
    if len(document.samplers) > 1:
        boxes = "".join(
            '<label><input type="checkbox" name="sampler" checked '
            f'value="{escape(name)}"> {escape(name)}</label>'
            for name in document.samplers
        )
        parts.append(f'<fieldset class="choice"><legend>Samplers</legend>{boxes}</fieldset>')
    return "\n".join(parts)


def section_html(
    section: Section,
    document: Document,
    maps: Mapping[str, SplitMap],
    root: Path,
) -> str:
    """A section with its heading and blocks.

    Args:
        section: what to set.
        document: what it is a part of.
        maps: the interactive maps by split; a split without one keeps its picture.
        root: the folder that the paths of pictures start from.

    Raises:
        UserError: a picture is missing or is no PNG.
    """
    level = _level(section)
    body = "\n".join(
        _block(block, section, f"{section.anchor}_{place}", document, maps, root)
        for place, block in enumerate(section.blocks)
    )
    anchor = escape(section.anchor)
    return (
        f'<section id="{anchor}" class="level-{level}">\n'
        f"<h{level}>{title_html(section.title)}</h{level}>\n{body}\n</section>"
    )


def _level(section: Section) -> int:
    return min(max(section.level, 2), 6)


def _block(
    block: Block,
    section: Section,
    key: str,
    document: Document,
    maps: Mapping[str, SplitMap],
    root: Path,
) -> str:
    if isinstance(block, str):
        return f'<div class="text">{_MARKDOWN.render(block)}</div>'
    if isinstance(block, Table):
        return _table(block, section, len(document.seeds))
    if isinstance(block, Map):
        if block.split in maps:
            return _map(block, maps[block.split], key, root)
        block = block.picture
    return f'<figure class="picture">{_picture(block, root)}</figure>'


def _table(table: Table, section: Section, seeds: int) -> str:
    kinds = [
        _kind([row[place] for row in table.rows], place) for place in range(len(table.columns))
    ]
    head = "".join(
        f'<th scope="col" aria-sort="none"{_of(column.sampler)}{kind}>'
        f'<button type="button">{title_html(column.title)}</button></th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    rows = []
    for row in table.rows:
        cells = [
            f"<{tag}{_of(column.sampler)}{kind}{_values(cell, seeds)}>"
            f"<span>{_MARKDOWN.renderInline(cell_text(cell))}</span></{tag.split()[0]}>"
            for tag, cell, column, kind in zip(
                _tags(len(row)), row, table.columns, kinds, strict=True
            )
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    long = " long" * (len(table.rows) > _LONG_TABLE)
    return (
        f'<div class="table{long}" role="region" aria-label="Table: {title_text(section.title)}">'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody>\n</table></div>"
    )


def _tags(cells: int) -> Iterator[str]:
    """The first cell of a row names it."""
    for place in range(cells):
        yield "td" if place else 'th scope="row"'


def _kind(cells: Sequence[Cell], place: int) -> str:
    """How a column is set: names to the left, numbers to the right, long texts with room."""
    if place > 0 and not any(isinstance(cell, str | Judgement) for cell in cells):
        return ' class="number"'
    return ' class="prose"' * (place > 0 and any(len(cell_text(cell)) > _PROSE for cell in cells))


def _of(sampler_name: str | None) -> str:
    return f' data-sampler="{escape(sampler_name)}"' if sampler_name else ""


def _values(cell: Cell, seeds: int) -> str:
    """What the script sorts by, and shows for a single seed: rounded here, once for all."""
    value, by_seed = cell_value(cell), cell_seeds(cell)
    # The script reads "Infinity", not "inf".
    known = "" if value is None else f' data-value="{repr(value).replace("inf", "Infinity")}"'
    if not by_seed:
        return known
    # What draws nothing has one value, the same with every seed.
    missing = seeds - len(by_seed)
    padding = by_seed * missing if len(by_seed) == 1 else [None] * missing
    shown = [number(one) for one in (*by_seed, *padding)]
    return f'{known} data-seeds="{escape(json.dumps(shown, ensure_ascii=False))}"'


def _picture(picture: Picture, root: Path) -> str:
    """A PNG inside the page, with its size, so that nothing moves when it is decoded."""
    path = root / picture.path
    try:
        data = path.read_bytes()
    except OSError:
        raise UserError(
            f"{path} cannot be read, expected the PNG of a figure: run the stage that draws it "
            "(dvc repro)"
        ) from None
    if data[:8] != _PNG or len(data) < 24:
        raise UserError(f"{path} is not a PNG: draw it again (dvc repro)")
    width, height = struct.unpack(">II", data[16:24])
    return (
        f'<img alt="{escape(picture.alt)}" width="{width}" height="{height}" decoding="async" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}">'
    )


def _map(block: Map, split_map: SplitMap, key: str, root: Path) -> str:
    """Panels: a row a sampler, a column an objective; the picture is for paper."""
    split = escape(split_map.split)
    families = list(dict.fromkeys(arm.family for arm in split_map.arms))
    places = {arm: place for place, arm in enumerate(split_map.arms)}
    rows = []
    for sampler in dict.fromkeys(arm.sampler for arm in split_map.arms):
        arms = [Arm(family, sampler) for family in families]
        row = [
            _panel(split_map, arm, places[arm], key) if arm in places else "<div></div>"
            for arm in arms
        ]
        rows.append(f'<div class="panels"{_of(sampler)}>\n' + "\n".join(row) + "\n</div>")
    classes = looks(split_map)
    seeds = [int(seed) for seed in split_map.seeds]
    search = (
        '<input type="search" placeholder="find a class" aria-label="find a class">'
        if len(classes) > _MANY_CLASSES
        else ""
    )
    panels = "\n".join(rows)
    legend = "\n".join(_legend_button(place, look) for place, look in enumerate(classes))
    return (
        f'<figure class="map" data-map="{split}" data-seeds="{json.dumps(seeds)}" '
        f'aria-label="t-SNE of {split}">\n'
        f'<div class="paper">{_picture(block.picture, root)}</div>\n'
        '<div class="screen">\n'
        f'<div class="legend">{search}<div role="toolbar" aria-label="classes of {split}">\n'
        f"{legend}\n</div></div>\n{panels}\n"
        '<p class="said" aria-live="polite"></p>\n</div>\n'
        f'<figcaption class="screen"><span class="which-seed" aria-live="polite"></span> '
        f'<span id="page_keys_{escape(key)}">Point at a dot, or use the arrow keys in a panel, to '
        "read it and to find it in the other panels. Click a dot or a class, or press Enter, to "
        "highlight the class; Escape clears. Wheel after a click into the panel (before it: Ctrl "
        "+ wheel), pinch, + and − zoom; drag moves; double click or 0 resets.</span>"
        "</figcaption>\n</figure>"
    )


def _panel(split_map: SplitMap, arm: Arm, place: int, key: str) -> str:
    title = escape(arm_title(arm))
    dots = f"{len(split_map.labels):,} dots"
    return (
        f'<div class="panel"><p><span>{title}</span>'
        f'<button type="button" class="reset" aria-label="reset the view of {title}" hidden>'
        "reset view</button></p>"
        f'<div class="plot" data-arm="{place}" tabindex="0" role="application" '
        f'aria-roledescription="map" aria-label="t-SNE of {escape(split_map.split)}, {title}: '
        f'{dots}" aria-describedby="page_keys_{escape(key)}">'
        '<canvas></canvas><span class="ring" hidden></span></div></div>'
    )


def _legend_button(place: int, look: Look) -> str:
    scarce = "<small> scarce</small>" * look.scarce
    return (
        f'<button type="button" aria-pressed="false" data-class="{place}">'
        f'<svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" fill="{look.colour}">'
        f"{_SIGNS[look.shape]}</svg>{escape(look.name)}{scarce} <small>{look.dots:,}</small>"
        "</button>"
    )

"""The report as one HTML file: tables to sort, t-SNE maps to explore, nothing to load.

``page.html`` is the frame, ``page.css`` and ``page.js`` are embedded in the page that is
written. docs/page.md explains how to read it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from textmetric.files import reading, replacing_file
from textmetric.grid import Layout, Role, Split
from textmetric.report.blocks import Document, Map
from textmetric.report.page.maps import SplitMap, TextPool, packed
from textmetric.report.page.markup import (
    contents,
    controls,
    section_html,
    title_html,
    title_text,
)
from textmetric.report.study import Study, read_maps
from textmetric.splits import rows_of_test

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SplitMap", "read_split_maps", "write_page"]


def write_page(
    path: str | os.PathLike[str],
    document: Document,
    maps: Mapping[str, SplitMap],
    *,
    root: str | os.PathLike[str],
) -> None:
    """Write ``document`` as one HTML file that loads nothing; same input, same bytes.

    Args:
        path: the file to write.
        document: the report.
        maps: split → its t-SNE. A :class:`~textmetric.report.blocks.Map` of a split that is
            not among them shows its picture.
        root: the folder that the paths of pictures start from.

    Raises:
        UserError: a picture is missing or is no PNG, or the page cannot be written.
    """
    shown = dict.fromkeys(
        block.split
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Map) and block.split in maps
    )
    pool = TextPool()
    data = [_data(f"page_map_{split}", packed(maps[split], pool)) for split in shown]
    data.append(_data("page_texts", pool.texts))
    style, script = _part("page.css"), _part("page.js")
    page = Template(_part("page.html")).substitute(
        # Only this script and this style run, and the page cannot ask the network for anything.
        policy=(
            f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
            f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
        ),
        title=title_html(document.title),
        title_text=title_text(document.title),
        controls=controls(document),
        contents=contents(document.sections),
        sections="\n".join(
            section_html(section, document, maps, Path(root)) for section in document.sections
        ),
        data="\n".join(data),
        style=style,
        script=script,
    )
    with replacing_file(path) as temporary:
        # A text may hold half of a surrogate pair, which no file in UTF-8 can.
        temporary.write_bytes(page.encode("utf-8", "replace"))


def read_split_maps(layout: Layout, study: Study, splits: Sequence[Split]) -> dict[str, SplitMap]:
    """The t-SNE of every split with the texts of its dots.

    Raises:
        UserError: a file is missing or damaged.
    """
    import pandas as pd

    frames: dict[Role, pd.DataFrame] = {}
    for role in {split.role for split in splits}:
        with reading(layout.corpus(role), "a corpus"):
            frames[role] = pd.read_parquet(layout.corpus(role))
    found = {}
    for split in splits:
        maps, about = read_maps(layout, split, study.arms), study.about(split.name)
        frame = frames[split.role]
        rows = rows_of_test(frame, [about.label_names[label] for label in about.unseen])
        found[split.name] = SplitMap(
            split=split.name,
            arms=study.arms,
            seeds=maps.seeds,
            coordinates=np.stack([maps.coordinates[arm] for arm in study.arms]),
            labels=maps.labels,
            label_names=about.label_names,
            scarce=about.scarce,
            texts=frame["text"].iloc[rows[maps.rows]].tolist(),
        )
    return found


def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _digest(part: str) -> str:
    """The hash by which a content security policy knows a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode('ascii')}"


def _data(key: str, value: Any) -> str:
    """JSON inside of the page: no ``<`` is left, so no text can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(key)}">{text}</script>'

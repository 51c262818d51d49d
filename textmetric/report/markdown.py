"""The report as Markdown, for code hosts and editors."""

from __future__ import annotations

import os
import posixpath

from textmetric.files import replacing_file
from textmetric.report.blocks import Block, Document, Map, Picture, Section, Table
from textmetric.report.formats import cell_text, table


def write_markdown(path: str | os.PathLike[str], document: Document, *, folder: str) -> None:
    """Write a document as one Markdown file.

    Args:
        path: the file to write.
        document: what to write.
        folder: the file's folder below the root of the project, such as ``reports``: the paths
            of pictures are relative to it.
    """
    text = "\n\n".join([f"# {document.title}", *(_section(s, folder) for s in document.sections)])
    with replacing_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _section(section: Section, folder: str) -> str:
    # code hosts derive anchors from the headings, each in its own way; this one is the same
    head = f'<a id="{section.anchor}"></a>\n\n{"#" * section.level} {section.title}'
    return "\n\n".join([head, *(_block(block, folder) for block in section.blocks)])


def _block(block: Block, folder: str) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, Table):
        return table(
            [column.title for column in block.columns],
            [list(map(cell_text, row)) for row in block.rows],
        )
    picture: Picture = block.picture if isinstance(block, Map) else block
    return f"![{picture.alt}]({posixpath.relpath(picture.path, folder)})"

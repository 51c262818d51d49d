"""The report as Markdown, for code hosts and editors."""

from __future__ import annotations

import os
import posixpath

from textmetric.files import replacing_file
from textmetric.report.document import Block, Document, Map, Picture, Section, Table
from textmetric.report.tables import table


def write_markdown(path: str | os.PathLike[str], document: Document, *, folder: str) -> None:
    """Write a document as one Markdown file.

    Args:
        path: the file to write.
        document: what to write.
        folder: where the file stands below the root of the project, such as ``reports``: the
            paths of pictures are relative to it.
    """
    text = "\n\n".join([f"# {document.title}", *(_section(s, folder) for s in document.sections)])
    with replacing_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _section(section: Section, folder: str) -> str:
    # code hosts make anchors of their own from the headings; this one is ours on all of them
    head = f'<a id="{section.anchor}"></a>\n\n{"#" * section.level} {section.title}'
    return "\n\n".join([head, *(_block(block, folder) for block in section.blocks)])


def _block(block: Block, folder: str) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, Table):
        return table(
            [column.title for column in block.columns],
            [[cell.text for cell in row] for row in block.rows],
        )
    picture: Picture = block.picture if isinstance(block, Map) else block
    return f"![{picture.alt}]({posixpath.relpath(picture.path, folder)})"

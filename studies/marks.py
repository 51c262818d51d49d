"""Text that programs write into pages, between ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textmetric.errors import UserError
from textmetric.files import replacing_file


def filled(page: Path, parts: Mapping[str, str]) -> str:
    """The text of a page with other text between its marks.

    Args:
        page: the file.
        parts: name in the marks → text.

    Raises:
        UserError: the page cannot be read or lacks a mark.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page} cannot be read ({error}): name a page") from None
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, last, after = rest.partition(end)
        if not found or not last:
            raise UserError(f"{page} has no lines {begin} and {end}: add them where the text goes")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def fill_in(page: Path, parts: Mapping[str, str]) -> None:
    """Write :func:`filled` to the page.

    Raises:
        UserError: the page cannot be read or written, or lacks a mark.
    """
    text = filled(page, parts)
    with replacing_file(page) as path:
        path.write_text(text, encoding="utf-8")

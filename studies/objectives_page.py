"""Write the formulas and parameters of the objectives into docs/objectives.md.

They come from the objectives themselves: the formula, the batch, the deviations and the log from
the docstring, the table from the schema of the parameters. Each goes between the lines
`<!-- NAME -->` and `<!-- end of NAME -->`.

Example: python -m studies.objectives_page
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
from pathlib import Path
from typing import Any

from textmetric import command
from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.losses import OBJECTIVES, class_of
from textmetric.report.formats import table

PAGE = Path("docs/objectives.md")
WIDTH = 100


def section(kind: type) -> str:
    """The generated part of an objective's section."""
    formula, *others = (inspect.getdoc(kind) or "").split("\n\n")
    paragraphs = [f"**Formula.** {formula}", *(_headed(other) for other in others)]
    text = "\n\n".join(_wrapped(paragraph.replace("``", "`")) for paragraph in paragraphs)
    rows = [_row(name, field) for name, field in kind.Params.model_fields.items()]  # type: ignore[attr-defined]
    if not rows:
        return f"{text}\n\n**Parameters.** None."
    head = ["key", "default", "paper", "meaning"]
    return f"{text}\n\n**Parameters.**\n\n{table(head, rows)}"


def filled(page: str) -> str:
    """The page with every generated part as the code has it.

    Raises:
        UserError: an objective has no section.
    """
    for names in OBJECTIVES.values():
        for name in names:
            start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
            if start not in page or end not in page:
                raise UserError(
                    f"{PAGE} has no lines {start.strip()} and {end.strip()}: add a section for it"
                )
            before, _, rest = page.partition(start)
            after = rest.partition(end)[2]
            page = f"{before}{start}\n{section(class_of(name))}\n\n{end}{after}"
    return page


def _headed(paragraph: str) -> str:
    """A paragraph with its first word in bold, if the word is a heading."""
    head, _, rest = paragraph.partition(": ")
    if head not in ("Batch", "Deviations", "Log"):
        return paragraph
    return f"**{head}.** {rest[0].upper()}{rest[1:]}"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(
        " ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False
    )


def _row(name: str, field: Any) -> list[str]:
    extra = field.json_schema_extra or {}
    meaning = str(field.description or "").replace("``", "`")
    return [f"`{name}`", _value(field.default), str(extra["paper"]).replace("``", "`"), meaning]


def _value(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, str) else f"{default}"


def main(arguments: argparse.Namespace) -> None:
    """Write the page."""
    text = filled(PAGE.read_text(encoding="utf-8"))
    with replacing_file(PAGE) as path:
        path.write_text(text, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    command.run(main, command.parser("studies.objectives_page", __doc__))

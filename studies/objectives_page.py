"""Write the formulas and parameters of the objectives into docs/objectives.md.

They come from the objectives themselves: the formula, the batch, the deviations and the log from
the docstring, the table from the schema of the parameters. Each goes between the lines
`<!-- NAME -->` and `<!-- end of NAME -->`.

Example: python -m studies.objectives_page
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, get_args

from studies.marks import fill_in
from textmetric import command
from textmetric.losses import OBJECTIVES, class_of
from textmetric.report.formats import table

PAGE = Path("docs/objectives.md")
WIDTH = 100


def section(kind: type) -> str:
    """The generated part of an objective's section."""
    formula, *others = (inspect.getdoc(kind) or "").split("\n\n")
    paragraphs = [f"**Formula.** {formula}", *(_headed(other) for other in others)]
    text = "\n\n".join(_wrapped(_linked(part.replace("``", "`"))) for part in paragraphs)
    rows = [_row(name, field) for name, field in kind.Params.model_fields.items()]  # type: ignore[attr-defined]
    if not rows:
        return f"{text}\n\n**Parameters.** None."
    head = ["key", "values", "default", "paper", "meaning"]
    words = table(head, rows).replace("--:", ":--")  # to the left: they are not numbers
    return f"{text}\n\n**Parameters.**\n\n{words}"


def sections() -> dict[str, str]:
    """The generated part of every objective, by its name."""
    return {name: section(class_of(name)) for names in OBJECTIVES.values() for name in names}


def _headed(paragraph: str) -> str:
    """A paragraph with its first word in bold, if the word is a heading."""
    head, _, rest = paragraph.partition(": ")
    if head not in ("Batch", "Deviations", "Log"):
        return paragraph
    return f"**{head}.** {rest[0].upper()}{rest[1:]}"


def _linked(text: str) -> str:
    return re.sub(r"arXiv\s+(\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(
        " ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False
    )


def _row(name: str, field: Any) -> list[str]:
    extra = field.json_schema_extra or {}
    meaning = str(field.description or "").replace("``", "`")
    paper = str(extra["paper"]).replace("``", "`")
    return [f"`{name}`", _values(field), _value(field.default), paper, meaning]


def _values(field: Any) -> str:
    """What the parameter can be: its choices, or its limits."""
    if field.annotation is bool:
        return "`true`, `false`"
    limits = [
        f"{sign} {getattr(limit, key):g}"
        for limit in field.metadata
        for key, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if hasattr(limit, key)
    ]
    return ", ".join(limits or [f"`{choice}`" for choice in get_args(field.annotation)])


def _value(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, str) else f"{default}"


def main(arguments: argparse.Namespace) -> None:
    """Write the page."""
    fill_in(PAGE, sections())
    print(PAGE)


if __name__ == "__main__":
    command.run(main, command.parser("studies.objectives_page", __doc__))

"""Collect what the studies' pages answer: the table of questions in the README and in the report.

A study writes its answer into its page, in a comment that readers do not see, as :func:`comment`
makes it. This program reads the pages of a folder, in the order of their names, writes the table
into the README, between ``<!-- answers -->`` and ``<!-- end of answers -->``, and the answers into
textmetric/report/answers.json, which the report of a run shows.

Examples:
    python -m studies.answers
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from studies import marks
from studies.names import ROOT
from textmetric import command
from textmetric.errors import UserError
from textmetric.files import write_json
from textmetric.report.document import ANSWERS
from textmetric.report.formats import table

MARK = "answers"
KEYS = ("question", "judged by", "found")
JOINED = "-\\u002d"
"""Two hyphens in JSON, which would end a comment of HTML."""
_COMMENT = re.compile(r"^<!-- answer (\{.*\}) -->$", re.MULTILINE)


def comment(question: str, judged_by: str, found: str) -> str:
    """The line of a page that :func:`read` finds.

    Args:
        question: what was claimed or asked, in Markdown.
        judged_by: the measure.
        found: the verdict, with its interval or its counts.
    """
    words = json.dumps(
        dict(zip(KEYS, (question, judged_by, found), strict=True)), ensure_ascii=False
    )
    return f"<!-- answer {words.replace('--', JOINED)} -->"


def read(pages: Iterable[Path]) -> list[dict[str, str]]:
    """The answers of the pages, each with the name of its ``page``.

    Raises:
        UserError: an answer is damaged.
    """
    found = []
    for page in pages:
        for words in _COMMENT.findall(page.read_text(encoding="utf-8")):
            try:
                answer = json.loads(words)
                found.append({key: str(answer[key]) for key in KEYS} | {"page": page.name})
            except (ValueError, KeyError):
                raise UserError(
                    f"{page} has a damaged answer: let its study write it again"
                ) from None
    return found


def summary(answers: Sequence[dict[str, Any]]) -> str:
    """The table of the README."""
    rows = [
        [*(answer[key] for key in KEYS), f"[{answer['page']}](docs/{answer['page']})"]
        for answer in answers
    ]
    return table(["what was claimed or asked", "judged by", "found", "page"], rows)


def main(arguments: argparse.Namespace) -> None:
    """Write the table and the file."""
    answers = read(sorted(arguments.pages.glob("*.md")))
    if not answers:
        raise UserError(f"{arguments.pages} has no page with an answer: run a study first")
    marks.fill_in(arguments.readme, {MARK: summary(answers)})
    write_json(arguments.file, answers)
    print(f"{arguments.readme}, {arguments.file}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.answers", __doc__)
    made.add_argument("--pages", type=Path, default=ROOT / "docs", metavar="FOLDER", help="(docs)")
    made.add_argument(
        "--readme", type=Path, default=ROOT / "README.md", metavar="FILE", help="(README.md)"
    )
    made.add_argument(
        "--file", type=Path, default=ANSWERS, metavar="FILE",
        help="(textmetric/report/answers.json)",
    )  # fmt: skip
    return made


if __name__ == "__main__":
    command.run(main, parser())

"""What the pages of the studies answer, collected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies import answers
from textmetric.errors import UserError

ODD = 'a "b" <!-- c --> | d -- \\_e & &amp; ü'


def test_an_answer_is_read_as_it_was_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    lines = [answers.comment("one?", "MAP@R", "yes"), answers.comment(ODD, ODD, ODD)]
    page.write_text("# Title\n\n" + "\n".join(lines) + "\n\ntext <!-- answer no -->\n")
    one, odd = answers.read([page])
    assert one == {"question": "one?", "judged by": "MAP@R", "found": "yes", "page": "page.md"}
    assert odd == dict.fromkeys(answers.KEYS, ODD) | {"page": "page.md"}
    # a comment of HTML ends at the first "-->"
    assert all(line.index("-->") == len(line) - 3 for line in lines)


def test_a_damaged_answer_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('<!-- answer {"question": "one?"} -->\n')
    with pytest.raises(UserError, match=r"page\.md has a damaged answer"):
        answers.read([page])


def test_the_table_and_the_file_are_in_the_order_of_the_pages(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    pages.mkdir()
    for name in ("b", "a"):
        (pages / f"{name}.md").write_text(answers.comment(f"{name}?", "x", "y") + "\n")
    readme, file = tmp_path / "README.md", tmp_path / "answers.json"
    readme.write_text("before\n<!-- answers -->\nold\n<!-- end of answers -->\nafter\n")
    words = ["--pages", str(pages), "--readme", str(readme), "--file", str(file)]
    answers.main(answers.parser().parse_args(words))
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.endswith(".md) |")]
    assert rows == ["| a? | x | y | [a.md](docs/a.md) |", "| b? | x | y | [b.md](docs/b.md) |"]
    assert [answer["page"] for answer in json.loads(file.read_text())] == ["a.md", "b.md"]
    words[1] = str(tmp_path / "none")
    with pytest.raises(UserError, match="has no page with an answer"):
        answers.main(answers.parser().parse_args(words))

"""docs/objectives.md has the formulas and parameters of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.marks import filled
from studies.objectives_page import PAGE, section, sections
from textmetric.errors import UserError
from textmetric.losses import OBJECTIVES, class_of

ROOT = Path(__file__).parents[2]
NAMES = [name for names in OBJECTIVES.values() for name in names]


def test_the_page_is_what_the_code_says() -> None:
    page = ROOT / PAGE
    text = page.read_text(encoding="utf-8")
    assert filled(page, sections()) == text, "run python -m studies.objectives_page"


def test_a_page_without_an_objective_is_an_error_that_says_what_to_add(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    page.write_text(text.replace("<!-- triplet -->\n", ""), encoding="utf-8")
    with pytest.raises(UserError, match=r"has no lines <!-- triplet --> and .*: add them"):
        filled(page, sections())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_meaning_and_every_objective_says_what_it_logs(name: str) -> None:
    kind = class_of(name)
    for key, field in kind.Params.model_fields.items():
        assert field.description, key
        assert f"| `{key}` | " in section(kind)
    for head in ("**Formula.**", "**Batch.**", "**Log.**", "**Parameters.**"):
        assert head in section(kind), head

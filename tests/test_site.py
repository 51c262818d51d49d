"""The site has every page and every public name, and Sphinx builds it without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import textmetric
from textmetric import errors, losses, measures

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NEEDED = ("sphinx", "furo", "myst_parser")
DOCUMENTED = re.compile(r"^\.\. auto(?:class|function|data):: ([\w.]+)$", re.MULTILINE)


def documented() -> list[str]:
    """The names in the reference, without their modules."""
    pages = [page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.rst"))]
    return [name.rpartition(".")[2] for page in pages for name in DOCUMENTED.findall(page)]


def test_every_page_is_in_the_navigation() -> None:
    index = (DOCS / "index.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   (?:.* <)?([\w./-]+)>?$", index, re.MULTILINE)
    pages = [DOCS.joinpath(entry).resolve() for entry in listed]
    on_disk = [*ROOT.glob("*.md"), *(ROOT / "reports").glob("*.md"), *DOCS.rglob("*.md")]
    assert [page.name for page in on_disk if page.with_suffix("") not in pages] == []


def test_the_reference_has_all_that_is_public() -> None:
    objectives = [
        place.rpartition(".")[2] for names in losses.OBJECTIVES.values() for place in names.values()
    ]
    public = {
        *(set(textmetric.__all__) - {"__version__"}),
        *(set(measures.__all__) - {"Distance"}),
        *objectives,
        errors.UserError.__name__,
    }
    assert public - set(documented()) == set()


def test_no_name_is_in_the_reference_twice() -> None:
    names = [name for name in documented() if name not in ("load", "retrieval")]
    assert sorted(names) == sorted(set(names))


def test_sphinx_builds_the_site_without_a_warning(tmp_path: Path) -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: make docs installs what the site needs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs"]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), ".", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.stderr, built.returncode) == ("", 0)
    assert (tmp_path / "site" / "index.html").exists()

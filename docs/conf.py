"""The site: every page of the repository, and a reference of the library. ``make docs`` builds it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import textmetric  # noqa: E402  (of this checkout)

project = "TextMetric"
version = release = textmetric.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

# The source folder is the repository, so that the links between pages are those of GitHub.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "reports/*.md"]
exclude_patterns = [
    ".*", "benchmarks", "build", "data", "dvc_plots", "inputs", "metrics", "models", "plots",
    "stages", "studies", "tests", "textmetric", "docs/README.md",
]  # fmt: skip

html_theme = "furo"
html_title = "TextMetric"
html_show_copyright = False
html_copy_source = False
html_extra_path = ["site"]
html_theme_options = {"navigation_with_keys": True}

myst_heading_anchors = 4
# a page may be a part of another, such as the table of a class
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = True
autodoc_default_options = {"members": True, "inherited-members": "BaseEstimator,Module,tuple"}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_use_ivar = True
napoleon_use_rtype = False

# Roles that name what is not in the reference are errors; types of arrays and of torch are not.
nitpicky = True
nitpick_ignore_regex = [("py:class", r".*"), ("py:obj", r".*")]

ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)


def anchors_as_targets(app: Any, name: str, source: list[str]) -> None:
    """Make the anchors that a page writes in HTML known to links."""
    if name.startswith("reports/"):
        source[0] = ANCHOR.sub(lambda found: f"({found[1].lower()})=", source[0])
        source[0] = re.sub(r"\(#([\w-]+)\)", lambda found: f"(#{found[1].lower()})", source[0])


def targets_as_anchors(app: Any, doctree: nodes.document) -> None:
    """Let links from other pages find these targets, as they find headings."""
    name = app.env.docname
    if name.startswith("reports/"):
        slugs = app.env.metadata[name].setdefault("myst_slugs", {})
        for label, target in doctree.nameids.items():
            if target and label not in slugs:
                slugs[label] = (0, target, label)


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("source-read", anchors_as_targets)
    app.connect("doctree-read", targets_as_anchors)

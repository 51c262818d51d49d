"""The site: all pages of the repository, and a reference of the library; ``make docs``."""

from __future__ import annotations

import functools
import pkgutil
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

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {
    name: name for name in ("Bools", "Float32", "Float64", "Floats", "Int32", "Int64", "Integers")
}
autodoc_default_options = {
    "members": True,
    # scikit-learn and torch document their own
    "inherited-members": "BaseEstimator,ClassifierMixin,TransformerMixin,_SetOutputMixin,"
    "ClassNamePrefixFeaturesOutMixin,Module,tuple",
    "exclude-members": "get_metadata_routing,set_fit_request,set_predict_request,set_score_request",
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_use_ivar = True
napoleon_use_rtype = False

# A role that names nothing is an error. Types in signatures, such as numpy's, have no page here.
nitpicky = True
nitpick_ignore_regex = [("py:class", r".*"), ("py:obj", r".*")]

ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)
PAGE = re.compile(r"(?<![\w/])(?:``)?docs/([\w-]+)\.md(?:``)?")
anchors: dict[str, list[str]] = {}
"""The anchors that each page writes in HTML."""


def anchors_as_targets(app: Any, name: str, source: list[str]) -> None:
    """Make the anchors that a page writes in HTML known to links."""
    if name.startswith("reports/"):
        anchors[name] = ANCHOR.findall(source[0])
        source[0] = ANCHOR.sub(lambda found: f"({found[1].lower()})=", source[0])
        source[0] = re.sub(r"\(#([\w-]+)\)", lambda found: f"(#{found[1].lower()})", source[0])


def targets_as_anchors(app: Any, doctree: nodes.document) -> None:
    """Let links from other pages find these targets, as they find headings."""
    name = app.env.docname
    for anchor in anchors.get(name, ()):
        slugs = app.env.metadata[name].setdefault("myst_slugs", {})
        slugs[anchor] = (0, doctree.nameids[anchor.lower()], anchor)


def link_pages(
    app: Any, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    """Make links of the pages that a docstring names."""
    lines[:] = [PAGE.sub(r":doc:`/docs/\1`", line) for line in lines]


def name_aliases(
    app: Any,
    what: str,
    name: str,
    found: object,
    options: object,
    arguments: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Write an alias inside another type by its name, too."""
    plain = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    if arguments is None:
        return None
    return plain.sub(r"\1", arguments), None if returns is None else plain.sub(r"\1", returns)


def internal(app: Any, env: Any, node: nodes.Element, content: nodes.Node) -> nodes.Node | None:
    """Show a role without a link if it names what exists but is not in the reference."""
    target = str(node.get("reftarget", ""))
    return content if node.get("refdomain") == "py" and exists(target) else None


def exists(target: str) -> bool:
    """Whether the package has a module, or a loaded module has a member, of this name."""
    if any(f".{name}".endswith(f".{target}") for name in modules()):
        return True
    owner, _, member = target.rpartition(".")
    for name, module in sys.modules.items():
        if not name.startswith("textmetric"):
            continue
        if hasattr(module, member) and f".{name}".endswith(f".{owner}" if owner else ""):
            return True
        if owner.isidentifier() and hasattr(getattr(module, owner, None), member):
            return True
    return False


@functools.cache
def modules() -> list[str]:
    """The names of all modules of the package."""
    return [each.name for each in pkgutil.walk_packages(textmetric.__path__, "textmetric.")]


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("source-read", anchors_as_targets)
    app.connect("doctree-read", targets_as_anchors)
    app.connect("autodoc-process-docstring", link_pages)
    app.connect("autodoc-process-signature", name_aliases)
    app.connect("missing-reference", internal)

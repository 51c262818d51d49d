"""Make the page of ``dvc plots show`` and ``dvc plots diff`` open without a network.

DVC's own page loads Vega from a content network. This writes .dvc/page.html, a template that
has Vega inside, and names it in .dvc/config.local, so that every page of this clone is complete.
Neither file is in git: Vega's scripts, some 900 kB, come from the installed package vl-convert.

Example: python -m textmetric.report.dvc_page
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from textmetric.errors import UserError, needing
from textmetric.files import replacing_file

PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>TextMetric: plots</title>
{refresh_tag}
<script>
(function () {
%s
})();
</script>
<style>
body { font-family: sans-serif; margin: 1.5em; }
body > div { margin-bottom: 1.5em; }
/* pictures of two revisions share the width of the window; one alone may have it all */
body > div > div img { max-width: 46vw; }
body > div > div:nth-child(2):last-child img { max-width: 94vw; }
</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""
"""DVC fills in {refresh_tag} and {plot_divs}; {scripts}, its links to Vega, is left out."""


def page_template() -> str:
    """The HTML template for DVC, with Vega, Vega-Lite and Vega-Embed inside (about 900 kB).

    Raises:
        UserError: vl-convert is not installed.
    """
    with needing("a page with Vega's scripts", "study"):
        import vl_convert
    # What the bundle names at its top must not clash with the names in DVC's page, so it gets a
    # function of its own; and no text in it may end the script element.
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return PAGE.replace("%s", bundle.replace("</script", "<\\/script"))


def install_page(root: Path) -> Path:
    """Write the template into the project at ``root`` and have DVC use it.

    Args:
        root: the folder that holds ``.dvc/``.

    Returns:
        The file written, ``root/.dvc/page.html``.

    Raises:
        UserError: there is no DVC project at ``root``, vl-convert is not installed, or DVC
            refuses the setting.
    """
    folder = root / ".dvc"
    if not folder.is_dir():
        raise UserError(f"{root} has no folder .dvc, expected a DVC project: run it in the clone")
    with replacing_file(folder / "page.html") as path:
        path.write_text(page_template(), encoding="utf-8")
    # The file first: DVC fails on a setting whose file is missing. It reads the name from .dvc/ on.
    setting = ["config", "--local", "plots.html_template", "page.html"]
    finished = subprocess.run(
        [sys.executable, "-m", "dvc", *setting], cwd=root, capture_output=True, text=True
    )
    if finished.returncode:
        raise UserError(
            f"dvc {' '.join(setting)} failed in {root}: {finished.stderr.strip().splitlines()[-1]}"
        )
    return folder / "page.html"


def main() -> None:
    """Write the page template of the DVC project in this folder."""
    argparse.ArgumentParser(
        prog="python -m textmetric.report.dvc_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        install_page(Path())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Run docs/tutorial.md and write its picture: ``make tutorial``."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_suffix(".md")
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Run the snippets in a folder of their own, and take the picture from there."""
    code = "\n".join(SNIPPET.findall(PAGE.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})
        shutil.copyfile("tutorial.png", PAGE.with_suffix(".png"))
        os.chdir(PAGE.parent)


if __name__ == "__main__":
    main()

"""``python -m textmetric`` is the command ``textmetric``."""

from __future__ import annotations

from textmetric.cli import main

if __name__ == "__main__":
    main()

"""Docstrings by package and top module: many classes with a natural long tail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora import docstrings

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 20
"""Modules with fewer texts are left out."""


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """One class a top module, such as ``scipy.stats``; otherwise as ``docstrings``.

    Raises:
        UserError: a package is not installed.
    """
    return docstrings.collect(
        docstrings.folders(docstrings.PACKAGES), by_module=True, progress=progress
    )

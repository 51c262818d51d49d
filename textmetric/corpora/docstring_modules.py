"""Docstrings by package and top module: many classes with a natural long tail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora import docstrings
from textmetric.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 20
"""Modules with fewer texts are left out."""


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """One class a top module, such as ``scipy.stats``; otherwise as ``docstrings``.

    Raises:
        UserError: a package is not installed, or a ``level`` is given.
    """
    if level is not None:
        raise UserError(
            "corpus docstring_modules has no levels: remove the key level from its mapping"
        )
    return docstrings.collect(
        docstrings.folders(docstrings.PACKAGES), by_module=True, cache=cache, progress=progress
    )

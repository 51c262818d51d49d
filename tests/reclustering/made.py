"""Rows in clusters that are partly wrong, and corrections of some."""

from __future__ import annotations

from typing import Any

import numpy as np

from textmetric.types import Float64, Int64


def blobs(rows: int = 120, classes: int = 4, seed: int = 0) -> tuple[Float64, Int64]:
    """Unit-like rows around the axes, with noise in two directions that says nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    vectors = 1.5 * np.eye(classes, classes + 3)[labels] + 0.3 * rng.normal(
        size=(rows, classes + 3)
    )
    vectors[:, classes : classes + 2] += 2 * rng.normal(size=(rows, 2))
    return vectors, labels


def corrected(labels: Int64, rows: list[int]) -> list[Any]:
    """Corrections of some rows by their class, as ``class 0``."""
    said: list[Any] = [None] * len(labels)
    for row in rows:
        said[row] = f"class {labels[row]}"
    return said


TEXTS = [f"{fruit} {sign}" for fruit in ("apple", "pear", "plum") for sign in "abcdefghij"]
"""Ten texts each about three fruits."""
CLUSTERS = ["1"] * 8 + ["2"] * 12 + ["3"] * 10
SAID: list[str | None] = ["apple", *[None] * 8, "apple", "pear", *[None] * 8, "pear"] + [None] * 10

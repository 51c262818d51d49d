"""Type aliases of arrays and paths."""

from __future__ import annotations

import os
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

PathLike = str | os.PathLike[str]

Floats = npt.NDArray[np.floating[Any]]
"""Of either precision."""
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer[Any]]
"""Of any width."""
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

PARTS = ("train", "validation", "test")
"""The parts of a corpus, in this order wherever they are numbered or concatenated."""
UNLABELLED = "unlabelled"
"""What the column of parts says of a text without a label, which is in none of them."""

Measured = Literal["test", "validation"]
MEASURED: tuple[Measured, ...] = get_args(Measured)
"""The parts that models are measured on: test for results, validation for choices."""

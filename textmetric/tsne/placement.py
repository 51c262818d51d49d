"""Place further rows on a map that shows a sample of them. No torch."""

from __future__ import annotations

import numpy as np

from textmetric.errors import UserError
from textmetric.measures import nearest_neighbours
from textmetric.measures.rows import check_rows
from textmetric.types import Float32, Floats

NEIGHBOURS = 10
_AT_ONCE = 1 << 16  # rows, so that rows of a mapped file are never all in memory


def place(
    rows: Floats, sample: Floats, coordinates: Floats, *, neighbours: int = NEIGHBOURS
) -> Float32:
    """Where rows belong on the map of a sample: the median place of their nearest sample rows.

    This is where openTSNE puts new points before it moves them (Poličar, Stražar & Zupan 2023,
    "Embedding to reference t-SNE space addresses batch effects in single-cell classification").
    Here they stay there: each row is placed independently of the others, and time and memory grow
    with the rows alone. Rows near each other in the embedding are near on the map, but no structure
    shows that the sample does not have.

    Args:
        rows: (n, d), any float type; they may be mapped (``np.load(…, mmap_mode="r")``).
        sample: (m, d) the embeddings of the rows that the map shows.
        coordinates: (m, 2) of :func:`.tsne`.
        neighbours: of which the median is taken, by cosine; all of a smaller sample.

    Returns:
        (n, 2).

    Raises:
        UserError: the sample is empty, has another number of rows than the coordinates or another
            width than the rows, or ``neighbours`` is below 1; see also :func:`.unit`.

    >>> place(np.array([[5.0, 0.0], [0.0, 2.0]]), np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]),
    ...       neighbours=1)
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    shown = np.asarray(coordinates)
    if not len(shown) or shown.shape != (len(sample), 2):
        raise UserError(
            f"coordinates have shape {shown.shape}, expected ({len(sample)}, 2) and one row or "
            "more: pass the map of the sample"
        )
    if neighbours < 1:
        raise UserError(f"neighbours is {neighbours}, expected at least 1: {NEIGHBOURS} is usual")
    check_rows(rows)
    placed = np.empty((len(rows), 2), dtype=np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        nearest = nearest_neighbours(sample, rows[block], min(neighbours, len(shown)))
        placed[block] = np.median(shown[nearest], axis=1)
    return placed

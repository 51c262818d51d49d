"""The picture of a turn: the same texts before and after."""

from __future__ import annotations

import numpy as np

from textmetric.reclustering.turn import Turn
from textmetric.report.figures import moved_panels
from textmetric.tsne.projection import sample_rows, tsne
from textmetric.types import PathLike

DOTS = 2000


def before_and_after(path: PathLike, turn: Turn, *, dots: int = DOTS, seed: int = 0) -> None:
    """Draw a t-SNE map of the learnt space twice, coloured by the old and by the new clusters.

    Args:
        path: the PNG to write.
        turn: what to draw.
        dots: how many rows at most, drawn in proportion to the new clusters.
        seed: of the draw and of the map.
    """
    chosen = sample_rows(turn.fit.clusters, dots, seed)
    coordinates = tsne(turn.rows[chosen] @ turn.fit.mapping, seed=seed)
    before, after = turn.constraints.clusters[chosen], turn.fit.clusters[chosen]
    sizes = [len(np.unique(each[each >= 0])) for each in (before, after)]
    moved_panels(
        path,
        coordinates,
        {f"before: {sizes[0]} clusters": before, f"after: {sizes[1]} clusters": after},
        turn.constraints.names,
        turn.moved[chosen],
    )

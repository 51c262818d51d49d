"""The t-SNE of a split, packed for the page: quantised coordinates, colours and shared texts."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmetric.errors import printable
from textmetric.grid import Arm
from textmetric.report.looks import class_looks

_SHAPES = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle"}
"""The markers of the PNG → the shapes of the page."""
_STEPS = 65_535
"""Finer than any screen: a panel of 500 pixels shows single steps when it is 130 times larger."""
_MARGIN = 1.06
"""The square around the dots is so much wider than they are, as in the PNG."""
_LONGEST_TEXT = 300
"""Characters of a text that the page keeps: what a reader takes in while pointing at a dot."""


@dataclass(frozen=True)
class SplitMap:
    """The t-SNE of one split, for the interactive panels.

    Attributes:
        split: its name.
        arms: the panels.
        seeds: the seeds that have a map, at least one.
        coordinates: (arms, seeds, n, 2), finite.
        labels: (n,) class ids.
        label_names: the name of each class id.
        scarce: class ids to draw as red triangles.
        texts: (n,) the text of each dot.

    Raises:
        ValueError: the shapes do not agree, or a coordinate is not finite.
    """

    split: str
    arms: Sequence[Arm]
    seeds: Sequence[int]
    coordinates: NDArray[np.float32]
    labels: NDArray[np.integer]
    label_names: Sequence[str]
    scarce: Sequence[int]
    texts: Sequence[str]

    def __post_init__(self) -> None:
        expected = (len(self.arms), len(self.seeds), len(self.labels), 2)
        if self.coordinates.shape != expected or not self.seeds:
            raise ValueError(
                f"the map of {self.split} has coordinates {self.coordinates.shape}, expected "
                f"(arms, seeds, n, 2) = {expected} with at least one seed"
            )
        if len(self.texts) != len(self.labels):
            raise ValueError(
                f"the map of {self.split} has {len(self.texts)} texts for {len(self.labels)} dots"
            )
        if not np.isfinite(self.coordinates).all():
            raise ValueError(f"the map of {self.split} has a coordinate that is not finite")


class Look(NamedTuple):
    """A class in the legend: its name, dots, colour, shape, and whether it is scarce."""

    name: str
    dots: int
    colour: str
    shape: str
    scarce: bool


def looks(split_map: SplitMap) -> list[Look]:
    """How each class that has a dot is drawn, by ascending class id, as in the PNG."""
    present, dots = np.unique(split_map.labels, return_counts=True)
    scarce = [int(label) in split_map.scarce for label in present]
    return [
        Look(
            printable(split_map.label_names[int(label)]),
            int(count),
            colour,
            _SHAPES[marker],
            marked,
        )
        for label, count, (colour, marker), marked in zip(
            present, dots, class_looks(scarce), scarce, strict=True
        )
    ]


class TextPool:
    """Texts, each held once however many dots of however many maps show it."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def places(self, texts: Iterable[str]) -> NDArray[np.uint32]:
        """(n,) the place of each text in :attr:`texts`, which grows by the new ones."""
        clipped = (_clipped(text) for text in texts)
        found = [self._places.setdefault(text, len(self._places)) for text in clipped]
        return np.array(found, dtype="<u4")

    @property
    def texts(self) -> list[str]:
        """Every text so far, long ones clipped."""
        return list(self._places)


def packed(split_map: SplitMap, pool: TextPool) -> dict[str, Any]:
    """The map as the script reads it.

    Returns:
        ``looks``, a [colour, shape, name] for each class; ``classes`` and ``texts``,
        (n,) little-endian uint32 in base64; ``points``, by arm and seed, (n, 2) little-endian
        uint16 in base64.
    """
    _, places = np.unique(split_map.labels, return_inverse=True)
    return {
        "looks": [[look.colour, look.shape, look.name] for look in looks(split_map)],
        "classes": _base64(places.astype("<u4")),
        "texts": _base64(pool.places(split_map.texts)),
        "points": [
            [_base64(quantised(of_seed)) for of_seed in of_arm] for of_arm in split_map.coordinates
        ],
    }


def quantised(coordinates: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Coordinates in steps of the square around them, with equal scales and a margin.

    Args:
        coordinates: (n, 2), finite.

    Returns:
        (n, 2) between 0 and 65,535; all in the middle where there is no spread.
    """
    exact = coordinates.astype(np.float64)
    if not len(exact):
        return np.zeros((0, 2), dtype="<u2")
    low, high = exact.min(axis=0), exact.max(axis=0)
    side = float((high - low).max()) * _MARGIN or 1.0
    shares = (exact - (low + high) / 2) / side + 0.5
    steps: NDArray[np.uint16] = np.round(shares * _STEPS).astype("<u2")
    return steps


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"


def _base64(values: NDArray[np.generic]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")

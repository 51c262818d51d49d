"""Colours and shapes of classes and arms: the same in every picture and on the page."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

SCARCE = "#D62728"
"""Red is for scarce classes only."""
# Okabe and Ito's colours without their reds, then some of Tol's: apart for colour-blind eyes.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#332288",
    "#999933",
    "#882EA0",
    "#666666",
    "#44AA99",
)
SHAPES = "osD"  # shape distinguishes as well as colour
MANY = len(PALETTE) * len(SHAPES)
"""Above this many classes there are no signs left, nor is a legend by name read."""


def class_looks(scarce: Iterable[bool]) -> list[tuple[str, str]]:
    """Colour and marker of each class: red triangles for the scarce ones.

    Shapes go along with the colours, then tell equal colours apart. A class keeps its look when
    another one is scarce.

    Args:
        scarce: whether each class is, in the order of their ids.
    """
    marks = list(scarce)
    if len(marks) > MANY:
        others = [(colour, "o") for colour in muted(len(marks))]
    else:
        others = [
            (PALETTE[i % len(PALETTE)], SHAPES[(i + i // len(PALETTE)) % len(SHAPES)])
            for i in range(len(marks))
        ]
    return [
        (SCARCE, "^") if is_scarce else look for is_scarce, look in zip(marks, others, strict=True)
    ]


def muted(count: int) -> list[str]:
    """``count`` soft colours, neighbours far apart: hues by the golden angle, without red."""
    colours = []
    for place in range(count):
        hue = 0.09 + 0.82 * (place * 0.6180339887 % 1)
        lightness = (0.62, 0.72, 0.54)[place % 3]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.42)
        colours.append(f"#{round(255 * red):02X}{round(255 * green):02X}{round(255 * blue):02X}")
    return colours

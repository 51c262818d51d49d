"""A small report with everything a page can have, at places that a test can compute."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmetric.grid import ARMS
from textmetric.report.blocks import (
    Column,
    Count,
    Document,
    Map,
    Mean,
    Picture,
    Section,
    Table,
)
from textmetric.report.page import SplitMap
from textmetric.report.page.maps import quantised

SEEDS = (0, 1, 2)
MAPPED_SEEDS = (0, 2)
SIDE = 8
"""The dots are on a grid of this many a side, in another order in every panel."""
NASTY = (
    '</script><script>window.broken = 1</script><img src=x onerror="window.broken = 2"> “é” &amp;'
)


def coordinates(arms: int, seeds: int) -> NDArray[np.float32]:
    """(arms, seeds, 64, 2): no two dots nearer than 1."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2)
    return np.array(
        [[rng.permutation(grid) for _ in range(seeds)] for _ in range(arms)], dtype=np.float32
    )


def split_map(split: str = "target", classes: int = 4, scarce: tuple[int, ...] = (1,)) -> SplitMap:
    return SplitMap(
        split=split,
        arms=ARMS,
        seeds=MAPPED_SEEDS,
        coordinates=coordinates(len(ARMS), len(MAPPED_SEEDS)),
        labels=np.arange(SIDE**2, dtype=np.int32) % classes,
        label_names=[f"class {label}" for label in range(classes)],
        scarce=scarce,
        texts=[NASTY, "", *(f"text {row}" for row in range(2, SIDE**2))],
    )


def place(one: SplitMap, arm: int, seed: int, row: int) -> tuple[float, float]:
    """Where a dot is in its panel: shares of the width from the left and from the top."""
    x, y = quantised(one.coordinates[arm, seed])[row] / 65_535
    return float(x), float(1 - y)


def table() -> Table:
    """Three rows, whose order differs by column and by seed."""
    return Table(
        [
            Column("split"),
            Column("rows"),
            *(Column(f"{arm}, MAP@R ↑", arm.sampler) for arm in ARMS),
            Column("words"),
        ],
        [
            [
                name,
                Count(rows),
                *(
                    Mean((mean, mean - 0.01, mean + 0.01), (mean - 0.1, None, mean + 0.1 * turn))
                    if mean is not None
                    else None
                    for mean in means
                ),
                words,
            ]
            for name, rows, means, turn, words in [
                ("target", 9, (0.5, 0.62, 0.7, 0.8), 3, "**b**etter"),
                ("target-scarce-10", 12_000, (0.6, 0.61, None, 0.9), 1, "`a`"),
                ("target-scarce-2", 800, (0.55, 0.63, 0.6, 0.7), 0, "c [link](#maps)"),
            ]
        ],
    )


def document(splits: tuple[str, ...] = ("target", "source")) -> Document:
    """A report with a table, text, a picture and the maps of ``splits``."""
    picture = Picture("figure.png", 'what it "shows"')
    return Document(
        title="Results of *both*",
        sections=[
            Section(
                "table-1",
                "Table `1`",
                [
                    "A paragraph with **weight** and a [link to the maps](#maps).",
                    "- one\n- two",
                    table(),
                    picture,
                ],
            ),
            Section("evil", "A <b>title</b>", [f"text {NASTY}", "![x](https://example.org/x.png)"]),
            Section("maps", "Maps", ["Look at them."]),
            *(
                Section(f"map-{split}", f"Map of {split}", [Map(split, picture)], level=3)
                for split in splits
            ),
            Section("end", "End", ["The end."]),
        ],
        seeds=SEEDS,
        samplers=("shuffled", "balanced"),
    )


def maps() -> dict[str, SplitMap]:
    return {"target": split_map(), "source": split_map("source", classes=32, scarce=(0, 5))}


def write_picture(folder: Path) -> None:
    """A PNG of 3 × 2 white pixels."""
    header = struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0\xff\xff\xff" * 2)), (b"IEND", b"")]
    (folder / "figure.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
    )

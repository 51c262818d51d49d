"""Retrieval, and all measures of a test set, next to pytorch-metric-learning with faiss.

Retrieval: of few and many rows, with few and many classes of equal size. All measures: of test sets
as large as that of DBPedia Classes (60,794 rows, 219 classes), with classes of equal size, of sizes
spread as its own are, and with a long tail. The peer looks up as many neighbours for every row as
the largest class has rows, in blocks of queries so that its memory is bounded.

All measures of larger test sets, up to ten million rows of a mapped file: what a row costs, and the
memory. Their queries are a sample, and the peer is left out, since it would take days.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.rounds import Case, Options, Side, cpu_seconds
from textmetric.measures import (
    between_class_cosine,
    centroid_cosines,
    class_centroids,
    cohesion,
    evaluate,
    retrieval,
)

ROWS = 60_794
LARGE, LARGE_QUICK = (100_000, 1_000_000, 10_000_000), (70_000,)
WRITTEN = 1 << 16  # rows of the file at once
PEER = "AccuracyCalculator's precision at 1, R-precision and MAP@R, with faiss"
PEER_BYTES_A_NEIGHBOUR = 64  # of every query, as measured
PEER_BYTES = 2 * 2**30  # of a block of queries
NAMES = {
    "recall_at_1": "precision_at_1",
    "r_precision": "r_precision",
    "map_at_r": "mean_average_precision_at_r",
}
LONG = 10**8  # neighbours: the peer takes minutes to find more


def cases(options: Options) -> Iterator[Case]:
    for rows in (1_000, 4_000) if options.quick else (1_000, 6_000, 20_000, ROWS):
        for classes in (7, 20, 208):
            embeddings, labels = test_set(rows, np.ones(classes))
            yield case(
                f"retrieval of {rows:,} x 32, {classes} classes",
                partial(measured, embeddings, labels),
                embeddings,
                labels,
            )
    rows, classes = (4_000, 60) if options.quick else (ROWS, 219)
    for shape, sizes in (
        ("equal classes", np.ones(classes)),
        # Of its 219 classes the largest has fifteen times the rows of the smallest.
        ("classes of 1 : 15", np.geomspace(1, 15, classes)),
        ("a long tail", 1 / np.arange(1, classes + 1) ** 0.8),
    ):
        embeddings, labels = test_set(rows, sizes)
        for threads in (1, 2):
            yield case(
                f"all measures of {rows:,} x 32, {shape} (of {classes}, largest "
                f"{np.bincount(labels).max():,}), {threads} thread{'s' * (threads > 1)}",
                partial(all_measured, embeddings, labels, classes),
                embeddings,
                labels,
                threads,
            )
    yield linear(4 * rows, classes)
    for rows in LARGE_QUICK if options.quick else LARGE:
        for classes in (60,) if options.quick else (4, 200):
            with tempfile.TemporaryDirectory() as folder:
                yield large(Path(folder), rows, classes)


def large(folder: Path, rows: int, classes: int) -> Case:
    """All measures of a mapped file of more rows than are all queries."""
    labels = np.random.default_rng(0).integers(0, classes, rows).astype(np.int32)

    def ours() -> dict[str, float]:
        return all_measured(np.load(folder / "rows.npy", mmap_mode="r"), labels, classes)

    random = np.random.default_rng(1)
    centres = random.normal(size=(classes, 32))
    made = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (rows, 32))
    for start in range(0, rows, WRITTEN):
        of_block = centres[labels[start : start + WRITTEN]]
        made[start : start + WRITTEN] = of_block + random.normal(size=of_block.shape)
    del made
    return Case(
        part="measures",
        case=f"all measures of {rows:,} x 32, {classes} classes, a mapped file",
        ours=ours,
        check=sampled,
        note="seconds of the processor; pages of the file that are in memory count",
        long=True,
        clock=cpu_seconds,
    )


def sampled(found: dict[str, float], _: None) -> str:
    """What the sample says: how many queries, and how sure that makes the mean."""
    return ", ".join(
        f"{name} {found[name]:.4f} ± {found[f'{name}_margin']:.4f} of "
        f"{found[f'{name}_queries']:,.0f} queries"
        for name in ("recall_at_1", "map_at_r")
    )


def case(
    name: str, ours: Side, embeddings: np.ndarray, labels: np.ndarray, threads: int = 1
) -> Case:
    return Case(
        part="measures",
        case=name,
        ours=ours,
        peer=PEER,
        theirs=partial(theirs, embeddings, labels),
        goal=0.6,
        check=same_measures,
        threads=threads,
        long=len(labels) * int(np.bincount(labels).max()) > LONG,
    )


def measured(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return retrieval(embeddings, labels, ks=(1,)).means()


def all_measured(embeddings: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, float]:
    return evaluate(
        embeddings, labels, classes=classes, scarce=[0, 1], predictions={"head": labels}
    ).flat


def linear(rows: int, classes: int) -> Case:
    """Cohesion and separation of four times the rows, of more than a cache holds either time."""
    few, many = (test_set(count, np.ones(classes)) for count in (rows, 4 * rows))
    return Case(
        part="measures",
        case=f"cohesion and between-class cosine of {4 * rows:,} x 32",
        ours=partial(in_space, *many, classes),
        peer=f"ours of {rows:,}",
        theirs=partial(in_space, *few, classes),
        goal=None if rows < ROWS else 4 * 1.2,
    )


def in_space(embeddings: np.ndarray, labels: np.ndarray, classes: int) -> tuple[float, float]:
    centroids = class_centroids(embeddings, labels, classes)
    within = float(np.nanmean(cohesion(embeddings, labels, classes)))
    return within, between_class_cosine(centroid_cosines(centroids))


def test_set(rows: int, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows about the centres of their classes, in any order; classes in proportion to ``sizes``."""
    rng = np.random.default_rng(0)
    ends = np.round(np.cumsum(sizes) / sizes.sum() * rows).astype(int)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), np.diff(ends, prepend=0)))
    embeddings = rng.normal(size=(len(sizes), 32))[labels] + rng.normal(size=(rows, 32))
    return embeddings.astype(np.float32), labels


def theirs(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(
        include=tuple(NAMES.values()), k="max_bin_count", device=torch.device("cpu")
    )
    units = torch.nn.functional.normalize(torch.from_numpy(embeddings))
    ids = torch.from_numpy(labels)
    step = PEER_BYTES // (PEER_BYTES_A_NEIGHBOUR * int(np.bincount(labels).max()))
    sums = dict.fromkeys(NAMES.values(), 0.0)
    for start in range(0, len(ids), step):
        queries = slice(start, start + step)
        # It leaves out the query only if the queries are the first rows.
        found = calculator.get_accuracy(
            units[queries],
            ids[queries],
            torch.roll(units, -start, 0),
            torch.roll(ids, -start, 0),
            ref_includes_query=True,
        )
        for name in sums:
            sums[name] += found[name] * len(ids[queries]) / len(ids)
    return sums


def same_measures(ours: dict[str, float], theirs: dict[str, float]) -> str:
    pairs = {name: (ours[name], theirs[other]) for name, other in NAMES.items()}
    summary = ", ".join(f"{name} {one:.6f} and {other:.6f}" for name, (one, other) in pairs.items())
    assert all(abs(one - other) < 1e-5 for one, other in pairs.values()), summary
    return summary

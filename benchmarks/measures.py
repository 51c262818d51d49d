"""All measures of a test set, next to the two that pytorch-metric-learning computes with faiss.

Test sets as large as that of DBPedia Classes (60,794 rows, 219 classes), with classes of equal
size, of sizes spread as its own are, and with a long tail. The peer looks up as many neighbours
for every row as the largest class has rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.rounds import Case, Options
from textmetric.measures import (
    Evaluation,
    between_class_cosine,
    centroid_cosines,
    class_centroids,
    cohesion,
    evaluate,
)

ROWS = 60_794
PEER = "AccuracyCalculator's R-precision and MAP@R, with faiss"
PEER_BYTES_A_NEIGHBOUR = 64  # of every row, as measured
MOST_PEER_BYTES = 4 * 2**30


def cases(options: Options) -> Iterator[Case]:
    rows, classes = (4_000, 60) if options.quick else (ROWS, 219)
    for shape, sizes in (
        ("equal classes", np.ones(classes)),
        # Of its 219 classes the largest has fifteen times the rows of the smallest.
        ("classes of 1 : 15", np.geomspace(1, 15, classes)),
        ("a long tail", 1 / np.arange(1, classes + 1) ** 0.8),
    ):
        embeddings, labels = test_set(rows, sizes)
        largest = int(np.bincount(labels).max())
        too_much = largest * rows * PEER_BYTES_A_NEIGHBOUR > MOST_PEER_BYTES
        for threads in (1, 2):
            yield Case(
                part="measures",
                case=f"all measures of {rows:,} x 32, {shape} (of {classes}, largest "
                f"{largest:,}), {threads} thread{'s' * (threads > 1)}",
                ours=partial(
                    evaluate,
                    embeddings,
                    labels,
                    classes=classes,
                    scarce=[0, 1],
                    predictions={"head": labels},
                ),
                peer=PEER,
                theirs=None if too_much else partial(theirs, embeddings, labels),
                goal=0.6,
                note="the peer is not run: it takes more than 4 GiB" if too_much else "",
                check=None if too_much else same_measures,
                threads=threads,
            )
    yield linear(4 * rows, classes)


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
        include=("mean_average_precision_at_r", "r_precision"),
        k="max_bin_count",
        device=torch.device("cpu"),
    )
    units = torch.nn.functional.normalize(torch.from_numpy(embeddings))
    measured: dict[str, float] = calculator.get_accuracy(units, torch.from_numpy(labels))
    return measured


def same_measures(ours: Evaluation, theirs: dict[str, float]) -> str:
    pairs = {
        "MAP@R": (ours.flat["map_at_r"], theirs["mean_average_precision_at_r"]),
        "R-precision": (ours.flat["r_precision"], theirs["r_precision"]),
    }
    summary = ", ".join(f"{name} {one:.6f} and {other:.6f}" for name, (one, other) in pairs.items())
    assert all(abs(one - other) < 1e-5 for one, other in pairs.values()), summary
    return summary
